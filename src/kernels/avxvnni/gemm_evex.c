// Products of quantised weights with the EVEX encoding: CPUs with AVX-512 VL and VNNI.
#include "kernels/avxvnni/table.h"

#include "kernels/avx2/lanes.h"

INLINE __m256i dot4(__m256i sums, __m256i w, __m256i q) {
    return _mm256_dpbusd_epi32(sums, w, q);
}

#include "kernels/avxvnni/gemm_dots.h"

void avxvnni_gemm_evex(WeightType type, const GemmArgs *a) {
    gemm_quant(type, a);
}
