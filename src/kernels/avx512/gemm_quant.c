// Products of quantised weights: the step of AVX-512 without VNNI, vpmaddubsw and vpmaddwd as on AVX2 (see
// avx2/gemm_quant.c for how many steps fit into 16 bits).
#include "kernels/avx512/table.h"

#include "kernels/avx512/lanes.h"

INLINE bool is_signed(const Planes f) {
    return f.low == 8 || f.codebook;
}

INLINE int steps_that_fit(const Planes f) {
    int bits = f.low + f.high;
    return is_signed(f) ? 1 : bits <= 4 ? 8 : bits == 5 ? 4 : 2;
}

INLINE __m512i dot2(__m512i sums, __m512i a, __m512i b) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(a, b));
}

// Four products in 16 bits, two and two.
INLINE __m512i products(const Planes f, __m512i w, __m512i q) {
    if (!is_signed(f)) return _mm512_maddubs_epi16(w, q);
    __m512i flipped = _mm512_mask_sub_epi8(q, _mm512_movepi8_mask(w), _mm512_setzero_si512(), q);
    return _mm512_maddubs_epi16(_mm512_abs_epi8(w), flipped);
}

INLINE void add_steps(const Planes f, const int R, const __m512i w[STEPS], const int8_t *q, const int from,
                      const int n, __m512i *dots) {
    const int run = steps_that_fit(f) < n ? steps_that_fit(f) : n;
    UNROLL for (int first = from; first < from + n; first += run) {
        __m512i parts[MOST_ROWS];
        UNROLL for (int s = first; s < first + run; s++) {
            UNROLL for (int r = 0; r < R; r++) {
                __m512i p = products(f, w[s], broadcast32(q + row_step(f) * r + 4 * s));
                parts[r] = s == first ? p : _mm512_add_epi16(parts[r], p);
            }
        }
        UNROLL for (int r = 0; r < R; r++) dots[r] = dot2(dots[r], parts[r], _mm512_set1_epi16(1));
    }
}

#include "kernels/avx512/gemm512.h"

void avx512_gemm_quant(WeightType type, const GemmArgs *a) {
    gemm_quant(type, a);
}
