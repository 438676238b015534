// A small qwen3 model in a temporary file: two layers, random weights, a vocabulary of 700.
#ifndef CLLM_TESTS_TINY_MODEL_H
#define CLLM_TESTS_TINY_MODEL_H

#include "base/buf.h"

enum {
    TINY_VOCAB = 700,
    TINY_EMBD = 64,
    TINY_HEADS = 4,
    TINY_KV_HEADS = 2,
    TINY_HEAD_DIM = 16,
    TINY_FF = 96,
    TINY_LAYERS = 2,
    TINY_CONTEXT = 512
};

// What to spoil; zeroed: nothing.
typedef struct TinyFault {
    const char *arch;     // instead of "qwen3"
    const char *drop;     // a tensor or key (without "qwen3.") that is left out
    const char *as_float; // a key that is written as F32
    const char *misshape; // a tensor that gets 32 columns more
    int head_dim;         // instead of TINY_HEAD_DIM, in the metadata
    int kv_heads;         // instead of TINY_KV_HEADS, in the metadata
} TinyFault;

// Writes the file and returns its path, which lives until the next call.
const char *tiny_model_write(const TinyFault *fault);
void tiny_model_remove(void);

#endif
