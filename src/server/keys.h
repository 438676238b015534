// The keys that let clients in: --api-key and the lines of --api-key-file.
//
// Only SHA-256 digests are kept. A key that a client sends is hashed and compared with all of them, each
// in constant time, so that the time taken tells neither how much of a key was right nor which one it was.
// Keys appear in no message and no log line.
//
// A file has one key a line; blanks around it, empty lines and lines that begin with # do not count.
//
// Thread: the loop's, after keys_new.
#ifndef CLLM_SERVER_KEYS_H
#define CLLM_SERVER_KEYS_H

#include "base/err.h"
#include "base/str.h"

#include <stddef.h>

typedef struct Keys Keys;

// single, path: NULL or "" where there is none; without both, everybody is let in. The path is borrowed.
Keys *keys_new(const char *single, const char *path, Err *err);
void keys_free(Keys *k);           // NULL is allowed
bool keys_required(const Keys *k); // there is at least one; NULL: none

// Reads the file anew. On failure the old keys stay.
bool keys_reload(Keys *k, Err *err);
size_t keys_count(const Keys *k);

// Do these headers let a client in? `Authorization: Bearer KEY` or `x-api-key: KEY`; empty: not sent. Always
// true where no key is required.
bool keys_admit(const Keys *k, Str authorization, Str x_api_key);

#endif
