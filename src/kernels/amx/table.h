// The AMX rung: products of int8 matrices, where there are enough rows for them.
#ifndef CLLM_KERNELS_AMX_TABLE_H
#define CLLM_KERNELS_AMX_TABLE_H

#include "kernels/kernels.h"

void amx_fill(Kernels *t); // over a table of the AVX-512 VNNI rung

void amx_gemm_quant(WeightType type, const GemmArgs *a);

#endif
