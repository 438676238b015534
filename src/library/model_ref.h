// What a user calls a model that is to be fetched, taken apart:
//
//   NAME or NAME:TYPE                       of the catalogue
//   hf:OWNER/REPO[@REVISION][:TYPE]         a repository on the hub; hf.co/… and https://huggingface.co/…
//   hf:OWNER/REPO[@REVISION]/PATH.gguf      (with /blob/ or /resolve/, as browsers show it) mean the same
//   http://…  https://…  file://…           any other address
//
// TYPE is a quantisation such as Q4_K_M, in capitals or not.
#ifndef CLLM_LIBRARY_MODEL_REF_H
#define CLLM_LIBRARY_MODEL_REF_H

#include "base/err.h"
#include "library/catalogue.h"

enum { MODEL_NAME_MAX = 96, MODEL_URL_MAX = 2048 };

typedef struct ModelRef {
    const CatalogueModel *entry;   // NULL: not of the catalogue
    char url[MODEL_URL_MAX];       // "" where it is on the hub
    char repo[200];                // OWNER/REPO
    char revision[96];             // "main" unless given
    char path[512];                // of the file in the repository; "": by type
    char type[24];                 // ""; by preference
    char name[MODEL_NAME_MAX + 1]; // in the library; "": after the file's, see model_name_of_path
} ModelRef;

// What somebody wrote: a name of the catalogue, hf:OWNER/REPO…, an address or a file. False: none of these;
// the message names the nearest of the catalogue. Asks nobody.
bool model_ref_parse(const char *text, ModelRef *out, Err *err);

// "dir/Qwen3-0.6B-Q8_0.gguf" has the type Q8_0: it ends the name, behind a "-", "." or "_".
bool model_path_has_type(const char *path, const char *type);

// How the file at `path` of the repository is called where it came from: "hf:OWNER/REPO[@REVISION]/PATH".
void model_ref_source(const ModelRef *ref, const char *path, char *out, size_t size);

// Lower-case letters, digits and "._-", beginning with a letter or a digit: what is safe as a file's name.
bool model_name_valid(const char *name);
// "…/Qwen3-0.6B-Q8_0.gguf?download=true" -> "qwen3-0.6b-q8_0"
void model_name_of_path(const char *path, char out[MODEL_NAME_MAX + 1]);

#endif
