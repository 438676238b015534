// Fetching a model into the library: find it, transfer it, check it, accept it.
//
// The file grows as NAME.part, under the name's lock, for which a second pull waits, and beside a
// record of what it is a part of: only the same version is continued. What has come whole is checked by its
// SHA-256 wherever the source tells one (a mismatch is fetched once more from the beginning) and read by the
// same reader that opens models. Only then it gets its name, in one step.
#ifndef CLLM_LIBRARY_PULL_H
#define CLLM_LIBRARY_PULL_H

#include "library/library.h"
#include "library/transfer.h"

typedef enum PullStage { PULL_WAITING, PULL_FETCHING, PULL_CHECKING } PullStage;

typedef struct PullHooks {
    // name: in the library. total: 0 while it is not known. false: stop.
    bool (*progress)(void *user, PullStage stage, const char *name, int64_t done, int64_t total);
    void (*retry)(void *user, const char *why, double seconds);
    void *user;
} PullHooks;

typedef struct PullConfig {
    const Library *library;
    const char *endpoint; // of the hub
    const char *token;    // for the hub; "": none
    const char *name;     // in the library; "": after the reference or the file
    const char *sha256;   // that the file must have; "": what the source tells
    bool force;           // fetch it although it is there
    int retries, stall_s; // as in TransferConfig
    PullHooks hooks;
} PullConfig;

typedef struct PullResult {
    LibraryModel model;
    char path[LIBRARY_PATH_MAX];
    bool was_there; // nothing was fetched
} PullResult;

// Returns when the model is in the library, hooks having been called meanwhile (from this thread). False: it
// could not be found, transferred or accepted, or a hook stopped it; what has come is kept for the next time.
bool pull_model(const PullConfig *c, const ModelRef *ref, PullResult *out, Err *err);

#endif
