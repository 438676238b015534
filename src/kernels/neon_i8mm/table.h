// The NEON rung with products of int8 matrices (i8mm): all of the NEON rung but the quantised products.
#ifndef CLLM_KERNELS_NEON_I8MM_TABLE_H
#define CLLM_KERNELS_NEON_I8MM_TABLE_H

#include "kernels/kernels.h"

void neon_i8mm_fill(Kernels *t);

void neon_i8mm_gemm_quant(WeightType type, const GemmArgs *a);

#endif
