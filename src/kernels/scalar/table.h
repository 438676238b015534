// The scalar rung: a complete table in plain C.
#ifndef CLLM_KERNELS_SCALAR_TABLE_H
#define CLLM_KERNELS_SCALAR_TABLE_H

#include "kernels/kernels.h"

size_t scalar_panel_bytes(WeightType type, int k);
void scalar_pack(WeightType type, const void *rows, int n_rows, int k, void *panel);
void scalar_gemm(WeightType type, const GemmArgs *a);

void scalar_act_write_f32(const float *x, int k, int from, int to, void *tile, int row);
void scalar_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row);
void scalar_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row);
void scalar_rms_norm(const float *x, const float *w, float eps, int n, float *y);
void scalar_rope(float *head, const float *table, int n_pairs, bool halves);
void scalar_silu_mul(float *gate, const float *up, int n);
void scalar_gelu_mul(float *gate, const float *up, int n);
void scalar_attention_f16(const AttnArgs *a);
void scalar_attention_part_f16(const AttnArgs *a, float *max, float *sum);
void scalar_kv_write_f16(const float *key, const float *value, int head_dim, uint16_t *block, int slot);
void scalar_attention_q8(const AttnArgs *a);
void scalar_attention_part_q8(const AttnArgs *a, float *max, float *sum);
void scalar_kv_write_q8(const float *key, const float *value, int head_dim, uint16_t *block, int slot);
int32_t scalar_collect(const float *x, int32_t from, int32_t to, float threshold, int32_t *out);
void scalar_clean(const float *logits, int32_t n_blocks, float *x, float *block_max);
double scalar_weigh(const float *x, int32_t n_blocks, float max, float scale, float *w, double *block_sum);

double scalar_sum_from(const float *x, const float *w, const float *block_max, int32_t n_blocks, float least);
// 16 partial sums to one: lanes 8 apart, 4, 2, 1. Spoils them.
static inline float scalar_sum16(float *s) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}

#endif
