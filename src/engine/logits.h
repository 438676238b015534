// Dense passes over a row of logits, in blocks of LOGITS_BLOCK.
//
// Thread: pure functions.
#ifndef CLLM_ENGINE_LOGITS_H
#define CLLM_ENGINE_LOGITS_H

#include "kernels/kernels.h"
#include "kernels/weigh.h"

static inline int32_t logits_n_blocks(int32_t n_vocab) {
    return (n_vocab + LOGITS_BLOCK - 1) / LOGITS_BLOCK;
}

// Copies [n_vocab] logits into x [n_blocks * LOGITS_BLOCK], cleaned (order.h); the rest of the last
// block is -inf. block_max [n_blocks] gets the largest of each block. Returns the largest of all.
float logits_prepare(const Kernels *k, const float *logits, int32_t n_vocab, float *x, float *block_max);

// The factor that turns a distance in logits into an exponent of two: log2(e) / temperature.
float logits_scale(float temperature);

// The blocks' sums alone.
void logits_sum(const float *w, int32_t n_blocks, double *block_sum);

#endif
