#include "engine/logits.h"

#include <float.h>
#include <math.h>

// The inner loops have constant trip counts and no branches. A compiler may not reorder float
// operations, so reductions are spelled out: a block is folded in halves, each fold a vector loop.
_Static_assert(LOGITS_BLOCK == 64, "fold_max and fold_sum");

static float fold_max(const float *restrict x) {
    float a[32], b[16], c[8];
    for (int i = 0; i < 32; i++) a[i] = x[i] > x[i + 32] ? x[i] : x[i + 32];
    for (int i = 0; i < 16; i++) b[i] = a[i] > a[i + 16] ? a[i] : a[i + 16];
    for (int i = 0; i < 8; i++) c[i] = b[i] > b[i + 8] ? b[i] : b[i + 8];
    float m = c[0];
    for (int i = 1; i < 8; i++) m = c[i] > m ? c[i] : m;
    return m;
}

static float fold_sum(const float *restrict x) {
    float a[32], b[16], c[8], d[4];
    for (int i = 0; i < 32; i++) a[i] = x[i] + x[i + 32];
    for (int i = 0; i < 16; i++) b[i] = a[i] + a[i + 16];
    for (int i = 0; i < 8; i++) c[i] = b[i] + b[i + 8];
    for (int i = 0; i < 4; i++) d[i] = c[i] + c[i + 4];
    return (d[0] + d[2]) + (d[1] + d[3]);
}

static float prepare_block(const float *restrict logits, float *restrict x) {
    for (int i = 0; i < LOGITS_BLOCK; i++) {
        float v = logits[i] + 0.0f;
        x[i] = v >= -INFINITY ? v : -INFINITY; // false for NaN
    }
    for (int i = 0; i < LOGITS_BLOCK; i++) x[i] = x[i] <= FLT_MAX ? x[i] : FLT_MAX;
    return fold_max(x);
}

float logits_prepare(const float *logits, int32_t n_vocab, float *x, float *block_max) {
    int32_t n_whole = n_vocab / LOGITS_BLOCK, n_blocks = logits_n_blocks(n_vocab);
    for (int32_t b = 0; b < n_whole; b++)
        block_max[b] = prepare_block(logits + (size_t)b * LOGITS_BLOCK, x + (size_t)b * LOGITS_BLOCK);
    if (n_whole < n_blocks) {
        float last[LOGITS_BLOCK];
        int32_t first = n_whole * LOGITS_BLOCK;
        for (int32_t i = 0; i < LOGITS_BLOCK; i++)
            last[i] = first + i < n_vocab ? logits[first + i] : -INFINITY;
        block_max[n_whole] = prepare_block(last, x + first);
    }
    float max = block_max[0];
    for (int32_t b = 1; b < n_blocks; b++) max = block_max[b] > max ? block_max[b] : max;
    return max;
}

float logits_scale(float temperature) {
    const double log2_e = 1.4426950408889634;
    double scale = log2_e / (double)temperature;
    return scale < 1e30 ? (float)scale : 1e30f; // finite, so that a distance of 0 stays 0
}

static double weigh_block(const float *restrict x, float max, float scale, float *restrict w) {
    for (int i = 0; i < LOGITS_BLOCK; i++) w[i] = logits_clamp((x[i] - max) * scale);
    for (int i = 0; i < LOGITS_BLOCK; i++) w[i] = logits_exp2(w[i]);
    return (double)fold_sum(w);
}

double logits_weigh(const float *x, int32_t n_blocks, float max, float scale, float *w, double *block_sum) {
    double total = 0;
    for (int32_t b = 0; b < n_blocks; b++) {
        size_t at = (size_t)b * LOGITS_BLOCK;
        block_sum[b] = weigh_block(x + at, max, scale, w + at);
        total += block_sum[b];
    }
    return total;
}

void logits_sum(const float *w, int32_t n_blocks, double *block_sum) {
    for (int32_t b = 0; b < n_blocks; b++) block_sum[b] = (double)fold_sum(w + (size_t)b * LOGITS_BLOCK);
}
