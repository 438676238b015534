#include "kernels/neon_i8mm/table.h"

void neon_i8mm_fill(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++)
        if (!weight_is_float((WeightType)type)) t->mat[type].gemm = neon_i8mm_gemm_quant;
}
