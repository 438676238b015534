// Whole files. Any thread, unless it is said otherwise.
#ifndef CLLM_BASE_FILE_H
#define CLLM_BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

// Appends what is in the file, at most `most` bytes (0: any number): a longer one is an error. On failure the
// buffer may have a part of it.
bool file_read(const char *path, size_t most, Buf *out, Err *err);

// Writes the file whole or leaves what is there as it is, whatever happens meanwhile: beside it first, then in its
// place. A file that is replaced keeps its mode; a new one gets `mode`, less the umask. A link is followed. What is no
// regular file, such as a pipe or a device, is written to. One thread at a time.
bool file_write(const char *path, Str content, mode_t mode, Err *err);

#endif
