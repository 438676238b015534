// Models by name: finding them in the library, fetching them into it, and telling the user how that goes.
#ifndef CLLM_CLI_FETCH_H
#define CLLM_CLI_FETCH_H

#include "cli/options.h"
#include "library/pull.h"

typedef struct FetchOptions {
    const char *name, *sha256; // "": as the source says
    bool force;
    int retries, stall_s;
} FetchOptions;

enum { FETCH_RETRIES = 6, FETCH_STALL_S = 30 };

// Fetches `reference` (model_ref.h; a path means the file there) into the library that *o names. Shows
// progress on stderr: a line that is rewritten on a terminal, else a line now and then. *code becomes the
// exit code if Ctrl-C or SIGTERM ended it, which is a failure too.
bool fetch_model(const Options *o, const FetchOptions *f, const char *reference, PullResult *out, int *code,
                 Err *err);

// Where a model is.
typedef struct ModelPlace {
    char *path;
    char *name; // in the library; "": it is a file elsewhere
} ModelPlace;

void model_place_free(ModelPlace *p);

// Finds a model that is a path, a name in the library or something that can be fetched, which is then fetched.
// The caller frees *out in every case. *code: the exit code if Ctrl-C ended it.
bool model_resolve(const Options *o, const char *model, ModelPlace *out, int *code, Err *err);

// The same for o->model, which becomes the path.
bool model_name_resolve(Options *o, int *code, Err *err);

// The same without fetching anything: a name that is not in the library is an error. No name at all is none.
// *in_library: the model is one of the library; *model describes it.
bool model_name_find(Options *o, LibraryModel *model, bool *in_library, Err *err);

// "98.4 MB", with the units of disks and file lists: powers of 1000.
void format_bytes(int64_t bytes, char out[24]);

#endif
