// The AVX-VNNI rung (AVX2 and 256-bit vpdpbusd): what it does better than the AVX2 rung.
#ifndef CLLM_KERNELS_AVXVNNI_TABLE_H
#define CLLM_KERNELS_AVXVNNI_TABLE_H

#include "kernels/kernels.h"

void avxvnni_fill(Kernels *t); // over a table of the AVX2 rung

void avxvnni_gemm_vex(WeightType type, const GemmArgs *a);  // needs AVX-VNNI
void avxvnni_gemm_evex(WeightType type, const GemmArgs *a); // needs AVX-512 VL and VNNI

#endif
