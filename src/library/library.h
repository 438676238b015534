// The library: one folder with a user's models.
//
//   NAME.gguf        a model that was accepted
//   NAME.json        where it came from (ModelRecord); a model without one is as good
//   NAME.part        a transfer that is under way or was broken off
//   NAME.part-of     what it is a part of (pull.h)
//   NAME.lock        there and locked while somebody fetches or removes NAME
//
// Names are checked by model_name_valid, so that none leads out of the folder, and none of these is the file of
// another name. Thread: one.
#ifndef CLLM_LIBRARY_LIBRARY_H
#define CLLM_LIBRARY_LIBRARY_H

#include "base/err.h"
#include "library/model_ref.h"

#include <stddef.h>
#include <stdint.h>

enum { LIBRARY_PATH_MAX = 1024 };

typedef struct Library {
    char folder[LIBRARY_PATH_MAX - MODEL_NAME_MAX - 32];
} Library;

typedef struct ModelRecord {
    char source[MODEL_URL_MAX]; // as a user would write it: "hf:OWNER/REPO/PATH" or a URL
    char licence[64];           // "" where the source says none
    char sha256[65];            // of the file, in hexadecimal
    char tag[256];              // the server's entity tag, of files without a digest
    char fetched[24];           // "2026-11-26T03:00:00Z"
    bool verified;              // the source told the digest
} ModelRecord;

typedef struct LibraryModel {
    char name[MODEL_NAME_MAX + 1];
    int64_t bytes;
    bool recorded;   // `record` holds
    bool unfinished; // there is only a part so far
    ModelRecord record;
} LibraryModel;

// folder: "" for $XDG_CACHE_HOME/cllm/models, or ~/.cache/cllm/models. Nothing is created.
bool library_open(const char *folder, Library *out, Err *err);
bool library_create(const Library *l, Err *err); // the folder, and those above it

// The path of NAME and a suffix such as ".gguf" in the folder.
void library_path(const Library *l, const char *name, const char *suffix, char out[LIBRARY_PATH_MAX]);
bool library_find(const Library *l, const char *name, LibraryModel *out); // false: not there
// A model that came from where the reference points: what is there needs no network. false: none.
bool library_find_source(const Library *l, const ModelRef *ref, LibraryModel *out);
// All models by name, and unfinished transfers; a folder that does not exist has none. The caller frees *out.
bool library_list(const Library *l, LibraryModel **out, size_t *n, Err *err);
// The right to change what belongs to a name. false: somebody else has it (*busy), or it cannot be had.
typedef struct LibraryLock {
    char path[LIBRARY_PATH_MAX];
    int fd;
} LibraryLock;
bool library_lock(const Library *l, const char *name, LibraryLock *out, bool *busy, Err *err);
void library_unlock(LibraryLock *lock);

// The model, its record, and parts of it. *freed: bytes. Fails when none is there or a transfer is under way.
bool library_remove(const Library *l, const char *name, int64_t *freed, Err *err);

bool record_read(const char *path, ModelRecord *out); // false: none that can be read
// Replaces the record in one step.
bool record_write(const char *path, const ModelRecord *r, Err *err);

#endif
