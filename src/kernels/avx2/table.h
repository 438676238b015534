// The AVX2 rung (AVX2, FMA, F16C).
#ifndef CLLM_KERNELS_AVX2_TABLE_H
#define CLLM_KERNELS_AVX2_TABLE_H

#include "kernels/kernels.h"

void avx2_fill(Kernels *t);

void avx2_gemm_quant(WeightType type, const GemmArgs *a);
void avx2_gemm_float(WeightType type, const GemmArgs *a);
void avx2_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row);
void avx2_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row);
void avx2_rms_norm(const float *x, const float *w, float eps, int n, float *y);
void avx2_silu_mul(float *gate, const float *up, int n);
void avx2_gelu_mul(float *gate, const float *up, int n);
void avx2_attention_f16(const AttnArgs *a);
void avx2_attention_part_f16(const AttnArgs *a, float *max, float *sum);
void avx2_kv_write_f16(const float *key, const float *value, int head_dim, uint16_t *block, int slot);
void avx2_attention_q8(const AttnArgs *a);
void avx2_attention_part_q8(const AttnArgs *a, float *max, float *sum);
void avx2_kv_write_q8(const float *key, const float *value, int head_dim, uint16_t *block, int slot);
int32_t avx2_collect(const float *x, int32_t from, int32_t to, float threshold, int32_t *out);
void avx2_clean(const float *logits, int32_t n_blocks, float *x, float *block_max);
double avx2_weigh(const float *x, int32_t n_blocks, float max, float scale, float *w, double *block_sum);

double avx2_sum_from(const float *x, const float *w, const float *block_max, int32_t n_blocks, float least);

#endif
