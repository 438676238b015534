// Architectures: what differs between the model families that this program computes.
//
// All of them are pre-norm decoder-only transformers with RMSNorm, rotary positions, grouped-query
// attention and SwiGLU. A row of the table says how a family pairs the dimensions that RoPE turns
// and which extra tensors its layers must have; biases are taken wherever the file has them.
#ifndef CLLM_MODEL_ARCH_H
#define CLLM_MODEL_ARCH_H

#include "base/err.h"
#include "gguf/gguf.h"
#include "model/batch.h"

typedef enum RopePairing {
    ROPE_NEIGHBOURS, // (2i, 2i+1), as the original LLaMA
    ROPE_HALVES,     // (i, i + d/2), as GPT-NeoX
} RopePairing;

typedef struct Arch {
    const char *name; // general.architecture
    RopePairing pairing;
    bool qk_norm; // RMSNorm over each query and key head
} Arch;

typedef enum RopeScaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN } RopeScaling;

// Hyper-parameters, read from the file's metadata and checked for sanity.
typedef struct HyperParams {
    const Arch *arch;
    int32_t n_vocab, n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, context;
    int32_t rope_dims; // leading dimensions of a head that RoPE turns; even
    float rms_eps;
    double rope_base;
    RopeScaling scaling;
    double scaling_factor, attn_factor, beta_fast, beta_slow;
    int32_t original_context;
    Pooling pooling; // of embeddings; MEAN where the file does not say
} HyperParams;

bool arch_is_known(const char *name); // one of the families that are computed

// False: a key is missing, out of bounds or of what is not computed here; the message names file and key.
bool hyper_params_read(const Gguf *g, HyperParams *hp, Err *err);

#endif
