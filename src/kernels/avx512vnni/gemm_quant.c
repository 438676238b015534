// Products of quantised weights: the AVX-512 VNNI step. vpdpbusd adds four products of unsigned weights and
// activations to 32-bit sums, which every format fits into.
#include "kernels/avx512vnni/table.h"

#include "kernels/avx512/lanes.h"

INLINE bool is_signed(const Planes f) {
    (void)f;
    return false;
}

INLINE void add_steps(const Planes f, const int R, const __m512i w[STEPS], const int8_t *q, const int from,
                      const int n, __m512i *dots) {
    UNROLL for (int s = from; s < from + n; s++) {
        UNROLL for (int r = 0; r < R; r++) dots[r] =
            _mm512_dpbusd_epi32(dots[r], w[s], broadcast32(q + row_step(f) * r + 4 * s));
    }
}

INLINE __m512i dot2(__m512i sums, __m512i a, __m512i b) {
    return _mm512_dpwssd_epi32(sums, a, b);
}

#include "kernels/avx512/gemm512.h"

void avx512vnni_gemm_quant(WeightType type, const GemmArgs *a) {
    gemm_quant(type, a);
}
