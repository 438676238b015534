// Whether this program can compute a model: its architecture and what must be in the file for it.
#ifndef CLLM_CLI_RUNNABLE_H
#define CLLM_CLI_RUNNABLE_H

#include "base/err.h"
#include "gguf/gguf.h"

// False: *why is what is not supported, or why the file cannot be read. Nothing of the weights is loaded.
bool model_is_runnable(const char *path, Err *why);
bool gguf_is_runnable(const Gguf *g, Err *why);

#endif
