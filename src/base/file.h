// Whole files. Any thread.
#ifndef CLLM_BASE_FILE_H
#define CLLM_BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

// Appends what is in the file, at most `most` bytes (0: any number): a longer one is an error. On failure the
// buffer may have a part of it.
bool file_read(const char *path, size_t most, Buf *out, Err *err);

#endif
