// Dense passes over a row of logits, in blocks of LOGITS_BLOCK.
//
// Thread: pure functions.
#ifndef CLLM_ENGINE_LOGITS_H
#define CLLM_ENGINE_LOGITS_H

#include "kernels/kernels.h"
#include "kernels/weigh.h"

#include <string.h>

static inline int32_t logits_n_blocks(int32_t n_vocab) {
    return (n_vocab + LOGITS_BLOCK - 1) / LOGITS_BLOCK;
}

// Copies [n_vocab] logits into x [n_blocks * LOGITS_BLOCK], cleaned: NaN counts as -inf, +inf as
// the largest number, -0 becomes +0, and the rest of the last block is -inf. block_max [n_blocks]
// gets the largest of each block. Returns the largest of all.
float logits_prepare(const Kernels *k, const float *logits, int32_t n_vocab, float *x, float *block_max);

// The factor that turns a distance in logits into an exponent of two: log2(e) / temperature.
float logits_scale(float temperature);

// The blocks' sums alone.
void logits_sum(const float *w, int32_t n_blocks, double *block_sum);

// A float's place in the order of floats: logits_order(a) < logits_order(b) exactly if a < b, for
// numbers and infinities without -0.
static inline uint32_t logits_order(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

#endif
