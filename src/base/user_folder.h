// Where a user's files belong, by the XDG base directory specification: $XDG_CACHE_HOME/cllm and its like.
// Any thread, while nobody changes the environment.
#ifndef CLLM_BASE_USER_FOLDER_H
#define CLLM_BASE_USER_FOLDER_H

#include "base/err.h"

#include <stddef.h>

typedef enum UserFolder {
    USER_CACHE,   // $XDG_CACHE_HOME, ~/.cache: what can be had again
    USER_STATE,   // $XDG_STATE_HOME, ~/.local/state: what a program remembers
    USER_RUNTIME, // $XDG_RUNTIME_DIR, else a folder of the user's own in /tmp: gone with the session
} UserFolder;

// The path of cllm/`inner` there (inner "": cllm itself). Creates nothing. Fails without a home, or when
// it is longer than size.
bool user_folder(UserFolder which, const char *inner, char *out, size_t size, Err *err);

// Makes a folder and those above it, for this user alone. That it is there already is no failure.
bool folder_create(const char *path, Err *err);

#endif
