// What a user has typed in earlier chats: a file of JSON strings, one a line, the newest last, for this
// user's eyes only. Chats that run at the same time append to it without losing each other's lines.
#ifndef CLLM_CLI_HISTORY_FILE_H
#define CLLM_CLI_HISTORY_FILE_H

#include "base/err.h"

#include <stddef.h>

enum { HISTORY_PATH_MAX = 1024 };

// Its place: cllm/run_history in the user's state folder.
bool history_file_path(char out[HISTORY_PATH_MAX], Err *err);

// Calls take(text, user) for the last `limit` entries, oldest first. A file that is much longer is cut to
// them. That there is none is no failure.
bool history_file_read(const char *path, size_t limit, void (*take)(const char *text, void *user), void *user,
                       Err *err);
bool history_file_append(const char *path, const char *text, Err *err);

#endif
