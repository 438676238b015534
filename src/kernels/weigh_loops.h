// Cleaning and weighing logits in plain C, to be compiled for each rung with its flags: compilers make
// vector code of these loops, and without contraction the bits are the same everywhere.
#ifndef CLLM_KERNELS_WEIGH_LOOPS_H
#define CLLM_KERNELS_WEIGH_LOOPS_H

#include "kernels/order.h"
#include "kernels/weigh.h"

// The inner loops have constant trip counts and no branches. A compiler may not reorder float
// operations, so reductions are spelled out: a block is folded in halves, each fold a vector loop.
_Static_assert(LOGITS_BLOCK == 64, "fold_max and fold_sum");

static inline float fold_max(const float *restrict x) {
    float a[32], b[16], c[8];
    for (int i = 0; i < 32; i++) a[i] = x[i] > x[i + 32] ? x[i] : x[i + 32];
    for (int i = 0; i < 16; i++) b[i] = a[i] > a[i + 16] ? a[i] : a[i + 16];
    for (int i = 0; i < 8; i++) c[i] = b[i] > b[i + 8] ? b[i] : b[i + 8];
    float m = c[0];
    for (int i = 1; i < 8; i++) m = c[i] > m ? c[i] : m;
    return m;
}

static inline float fold_sum(const float *restrict x) {
    float a[32], b[16], c[8], d[4];
    for (int i = 0; i < 32; i++) a[i] = x[i] + x[i + 32];
    for (int i = 0; i < 16; i++) b[i] = a[i] + a[i + 16];
    for (int i = 0; i < 8; i++) c[i] = b[i] + b[i + 8];
    for (int i = 0; i < 4; i++) d[i] = c[i] + c[i + 4];
    return (d[0] + d[2]) + (d[1] + d[3]);
}

static inline float clean_block(const float *restrict logits, float *restrict x) {
    for (int i = 0; i < LOGITS_BLOCK; i++) x[i] = logit_number(logits[i]);
    for (int i = 0; i < LOGITS_BLOCK; i++) x[i] = logit_finite(x[i]);
    return fold_max(x);
}

static inline double weigh_block(const float *restrict x, float max, float scale, float *restrict w) {
    for (int i = 0; i < LOGITS_BLOCK; i++) w[i] = logits_clamp((x[i] - max) * scale);
    for (int i = 0; i < LOGITS_BLOCK; i++) w[i] = logits_exp2(w[i]);
    return (double)fold_sum(w);
}

static inline void clean_blocks(const float *logits, int32_t n_blocks, float *x, float *block_max) {
    for (int32_t b = 0; b < n_blocks; b++, logits += LOGITS_BLOCK, x += LOGITS_BLOCK)
        block_max[b] = clean_block(logits, x);
}

static inline double weigh_blocks(const float *x, int32_t n_blocks, float max, float scale, float *w,
                                  double *block_sum) {
    double total = 0;
    for (int32_t b = 0; b < n_blocks; b++, x += LOGITS_BLOCK, w += LOGITS_BLOCK) {
        block_sum[b] = weigh_block(x, max, scale, w);
        total += block_sum[b];
    }
    return total;
}

static inline double sum_block_from(const float *restrict x, const float *restrict w, float least) {
    float counted[LOGITS_BLOCK];
    for (int i = 0; i < LOGITS_BLOCK; i++) counted[i] = x[i] >= least ? w[i] : 0.0f;
    return (double)fold_sum(counted);
}

static inline double sum_blocks_from(const float *x, const float *w, const float *block_max, int32_t n_blocks,
                                     float least) {
    double total = 0;
    for (int32_t b = 0; b < n_blocks; b++, x += LOGITS_BLOCK, w += LOGITS_BLOCK)
        if (block_max[b] >= least) total += sum_block_from(x, w, least);
    return total;
}

#endif
