// Products of quantised weights with int8 activations by dot products.
#include "kernels/neon/table.h"

#include "kernels/neon/quant_rows.h"

void neon_gemm_quant(WeightType type, const GemmArgs *a) {
    gemm_quant(DOTS, type, a);
}
