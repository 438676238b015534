#include "engine/logits.h"

#include "kernels/weigh_loops.h"

#include <math.h>

float logits_prepare(const Kernels *k, const float *logits, int32_t n_vocab, float *x, float *block_max) {
    int32_t n_whole = n_vocab / LOGITS_BLOCK, n_blocks = logits_n_blocks(n_vocab);
    k->clean(logits, n_whole, x, block_max);
    if (n_whole < n_blocks) {
        float last[LOGITS_BLOCK];
        int32_t first = n_whole * LOGITS_BLOCK;
        for (int32_t i = 0; i < LOGITS_BLOCK; i++)
            last[i] = first + i < n_vocab ? logits[first + i] : -INFINITY;
        k->clean(last, 1, x + first, &block_max[n_whole]);
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

void logits_sum(const float *w, int32_t n_blocks, double *block_sum) {
    for (int32_t b = 0; b < n_blocks; b++) block_sum[b] = (double)fold_sum(w + (size_t)b * LOGITS_BLOCK);
}
