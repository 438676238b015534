// The NEON rung (ASIMD with dot products).
#ifndef CLLM_KERNELS_NEON_TABLE_H
#define CLLM_KERNELS_NEON_TABLE_H

#include "kernels/kernels.h"

void neon_fill(Kernels *t);

void neon_gemm_quant(WeightType type, const GemmArgs *a);
void neon_gemm_float(WeightType type, const GemmArgs *a);
void neon_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row);
void neon_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row);
void neon_rms_norm(const float *x, const float *w, float eps, int n, float *y);
void neon_silu_mul(float *gate, const float *up, int n);
void neon_gelu_mul(float *gate, const float *up, int n);
void neon_attention_f16(const AttnArgs *a);
void neon_attention_part_f16(const AttnArgs *a, float *max, float *sum);
void neon_kv_write_f16(const float *key, const float *value, int head_dim, uint16_t *block, int slot);
int32_t neon_collect(const float *x, int32_t from, int32_t to, float threshold, int32_t *out);

#endif
