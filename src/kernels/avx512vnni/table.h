// The AVX-512 VNNI rung: what it does better than AVX-512 alone.
#ifndef CLLM_KERNELS_AVX512VNNI_TABLE_H
#define CLLM_KERNELS_AVX512VNNI_TABLE_H

#include "kernels/kernels.h"

void avx512vnni_fill(Kernels *t); // over a table of the AVX-512 kernels

void avx512vnni_gemm_quant(WeightType type, const GemmArgs *a);
void avx512vnni_attention_q8(const AttnArgs *a);
void avx512vnni_attention_part_q8(const AttnArgs *a, float *max, float *sum);

#endif
