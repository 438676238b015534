// Products of quantised weights: the AVX2 step.
//
// Without vpdpbusd a step of four columns is vpmaddubsw (unsigned weights × signed activations, pairs added
// to 16 bits, which saturate) and, before 16 bits could overflow, vpmaddwd to 32 bits, which multiplies by a
// sub-block's scale for nothing. Unsigned weights of b bits allow 32767 / (2 × 127 × (2^b - 1)) steps in 16
// bits: eight for 4 bits, four for 5, two for 6. Full bytes (Q8_0 and the codebooks) do not fit even once;
// they are taken as signed, |w| × sign(w) q, which does fit, and then need no offset.
#include "kernels/avx2/table.h"

#include "kernels/avx2/lanes.h"

INLINE bool is_signed(const Planes f) {
    return f.low == 8 || f.codebook;
}

// Twice in 16 bits for each row.
INLINE __m256i sub_factor(__m256i pairs, const int which) {
    if (which) return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(pairs, 0xF5), 0xF5);
    return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(pairs, 0xA0), 0xA0);
}

INLINE int steps_that_fit(const Planes f) {
    int bits = f.low + f.high;
    return is_signed(f) ? 1 : bits <= 4 ? 8 : bits == 5 ? 4 : 2;
}

INLINE __m256i add_products(const Planes f, __m256i part, __m256i w, __m256i q) {
    if (is_signed(f))
        return _mm256_add_epi16(part, _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w)));
    return _mm256_add_epi16(part, _mm256_maddubs_epi16(w, q));
}

INLINE __m256i scaled(const Planes f, __m256i part, __m256i factor) {
    (void)f;
    return _mm256_madd_epi16(part, factor);
}

#include "kernels/avx2/gemm256.h"

void avx2_gemm_quant(WeightType type, const GemmArgs *a) {
    gemm_quant(type, a);
}
