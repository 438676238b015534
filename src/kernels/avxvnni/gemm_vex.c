// Products of quantised weights with the VEX encoding: CPUs with AVX-VNNI.
#include "kernels/avxvnni/table.h"

#include "kernels/avx2/lanes.h"

INLINE __m256i dot4(__m256i sums, __m256i w, __m256i q) {
    return _mm256_dpbusd_avx_epi32(sums, w, q);
}

#include "kernels/avxvnni/gemm_dots.h"

void avxvnni_gemm_vex(WeightType type, const GemmArgs *a) {
    gemm_quant(type, a);
}
