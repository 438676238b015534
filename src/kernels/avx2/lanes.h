// Loads and broadcasts that the 256-bit products are made of.
#ifndef CLLM_KERNELS_AVX2_LANES_H
#define CLLM_KERNELS_AVX2_LANES_H

#include "kernels/kernels.h"
#include "kernels/packed.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")
#define EACH_ROW for (int r = 0; r < R; r++) // a real loop where R is no constant

enum { STEPS = 8, MOST_ROWS = 8 }; // of four columns in a chunk; activation rows that share a step's weights

INLINE __m256i load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE __m256i broadcast32(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

INLINE __m256 half_lanes(const uint16_t *h) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
}

// The scales or minima of two neighbouring sub-blocks for 8 rows, side by side in 16 bits.
INLINE __m256i scale_pairs(const uint8_t *scales) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)scales));
}
INLINE __m256i min_pairs(const uint8_t *mins) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)mins));
}

#endif
