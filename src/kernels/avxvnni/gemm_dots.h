// Products of quantised weights: the AVX-VNNI step. vpdpbusd adds four products of unsigned weights and
// activations to 32-bit sums, which every format and a whole sub-block fit into.
//
// The instruction has two encodings, VEX in AVX-VNNI and EVEX in AVX-512, and no CPU must have both. So this
// source is compiled for each: a machine with the one checks, bit by bit, what a machine with the other runs.
// The including file has defined before:
//   dot4(sums, w, q)   sums + the products of a step
#ifndef CLLM_KERNELS_AVXVNNI_GEMM_DOTS_H
#define CLLM_KERNELS_AVXVNNI_GEMM_DOTS_H

#include "kernels/avx2/lanes.h"

INLINE bool is_signed(const Planes f) {
    (void)f;
    return false;
}

INLINE int steps_that_fit(const Planes f) {
    (void)f;
    return STEPS;
}

INLINE __m256i add_products(const Planes f, __m256i part, __m256i w, __m256i q) {
    (void)f;
    return dot4(part, w, q);
}

INLINE __m256i sub_factor(__m256i pairs, const int which) {
    return _mm256_srai_epi32(which ? pairs : _mm256_slli_epi32(pairs, 16), 16);
}

INLINE __m256i scaled(const Planes f, __m256i part, __m256i factor) {
    return f.block == 256 ? _mm256_mullo_epi32(part, factor) : part;
}

#include "kernels/avx2/gemm256.h"

#endif
