#include "kernels/avx512/table.h"

#include "kernels/weigh_loops.h"

void avx512_clean(const float *logits, int32_t n_blocks, float *x, float *block_max) {
    clean_blocks(logits, n_blocks, x, block_max);
}

double avx512_weigh(const float *x, int32_t n_blocks, float max, float scale, float *w, double *block_sum) {
    return weigh_blocks(x, n_blocks, max, scale, w, block_sum);
}

double avx512_sum_from(const float *x, const float *w, const float *block_max, int32_t n_blocks,
                       float least) {
    return sum_blocks_from(x, w, block_max, n_blocks, least);
}
