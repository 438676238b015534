// Products of quantised weights with int8 activations: of 5 rows and more by products of small matrices.
#include "kernels/neon_i8mm/table.h"

#include "kernels/neon/quant_rows.h"

void neon_i8mm_gemm_quant(WeightType type, const GemmArgs *a) {
    gemm_quant(MATRICES, type, a);
}
