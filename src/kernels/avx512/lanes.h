// Loads and broadcasts that the 512-bit products are made of.
#ifndef CLLM_KERNELS_AVX512_LANES_H
#define CLLM_KERNELS_AVX512_LANES_H

#include "kernels/kernels.h"
#include "kernels/packed.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { STEPS = 8 };     // vectors of four columns in a chunk of 32
enum { MOST_ROWS = 8 }; // activation rows that share them

// How far apart rows of a tile are.
INLINE int row_step(const Planes f) {
    return act_run(f.block == 32 ? ACT_Q8_32 : ACT_Q8_256);
}

INLINE __m512i load(const void *p) {
    return _mm512_loadu_si512(p);
}

INLINE __m512 half_lanes(const uint16_t *h) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h));
}

INLINE __m512i broadcast32(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

#endif
