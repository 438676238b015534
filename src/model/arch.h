// Architectures: what differs between the model families that this program computes.
//
// All of them are pre-norm decoder-only transformers with RMSNorm, rotary positions, grouped-query
// attention and a gated feed-forward. A row of the table says how a family pairs the dimensions that RoPE
// turns, which extra tensors its layers must have, and in what its layers differ from each other; biases are
// taken wherever the file has them.
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
    bool qk_norm;     // RMSNorm over each query and key head
    bool post_norms;  // RMSNorm over what attention and the feed-forward add
    bool gelu;        // the gate of the feed-forward: GELU (tanh), not SiLU
    bool experts;     // the feed-forward is a choice of experts for each row
    bool scaled_embd; // embeddings are multiplied by sqrt(n_embd)
    int unturned;     // every so many'th layer has no RoPE; 0: all have
    int unwindowed;   // in files with a sliding window: every so many'th layer sees all keys
} Arch;

typedef enum RopeScaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN } RopeScaling;

typedef struct RopeParams {
    double base;
    RopeScaling scaling;
    double scaling_factor, attn_factor, beta_fast, beta_slow;
    int32_t original_context;
} RopeParams;

// Layers with a sliding window turn by a RoPE of their own.
typedef enum RopeUse { ROPE_NONE = -1, ROPE_FULL, ROPE_WINDOWED, N_ROPES } RopeUse;

// Hyper-parameters, read from the file's metadata and checked for sanity.
typedef struct HyperParams {
    const Arch *arch;
    int32_t n_vocab, n_layers, n_embd, n_heads, n_kv_heads, head_dim, n_ff, context;
    int32_t n_experts, n_experts_used; // of a layer, and for a row; 0: one feed-forward. n_ff is one expert's
    int32_t rope_dims;                 // leading dimensions of a head that RoPE turns; even
    int32_t window;                    // keys that a row of a windowed layer sees; 0: no layer is windowed
    float rms_eps;
    RopeParams rope[N_ROPES];
    float embd_scale, residual_scale, logit_scale; // what these are multiplied by, mostly 1
    float attn_scale;                              // of scores, mostly 1 / sqrt(head_dim)
    Pooling pooling;                               // of embeddings; MEAN where the file does not say
} HyperParams;

// False: a key is missing, out of bounds or of what is not computed here; the message names file and key.
bool hyper_params_read(const Gguf *g, HyperParams *hp, Err *err);

// The keys that a row of this layer sees; 0: all before it.
int32_t hyper_params_window(const HyperParams *hp, int layer);
RopeUse hyper_params_rope(const HyperParams *hp, int layer);

// What blocks add to the residual stream is normalised or scaled first.
static inline bool hyper_params_has_branch(const HyperParams *hp) {
    return hp->arch->post_norms || hp->residual_scale != 1;
}

#endif
