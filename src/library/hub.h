// The files of a repository on the Hugging Face hub, or on a mirror that speaks its API:
//
//   GET ENDPOINT/api/models/OWNER/REPO/revision/REVISION?blobs=true
//       {"sha": commit, "gated": …, "cardData": {"license": …},
//        "siblings": [{"rfilename": path, "size": bytes, "lfs": {"sha256": digest, "size": bytes}}]}
//   GET ENDPOINT/OWNER/REPO/resolve/COMMIT/PATH     the file, usually by a redirect
#ifndef CLLM_LIBRARY_HUB_H
#define CLLM_LIBRARY_HUB_H

#include "library/model_ref.h"
#include "library/transfer.h"

typedef struct HubFile {
    char url[MODEL_URL_MAX]; // of exactly this version
    char path[512];
    char licence[64]; // "": the repository names none
    char sha256[65];  // "": the file is so small that the hub has none
    int64_t size;
} HubFile;

extern const char hub_default_endpoint[];

// Finds the GGUF file that the reference means. Without a path and a type the repository's only one, or the
// first of a list of usual types that it has. Files in several pieces and projectors are no models here.
// Errors name the types that there are.
bool hub_find(const TransferConfig *c, const char *endpoint, const ModelRef *ref, HubFile *out, Err *err);

// The part of hub_find that needs no network: `text` is the API's reply.
bool hub_choose(Str text, const char *endpoint, const ModelRef *ref, HubFile *out, Err *err);

#endif
