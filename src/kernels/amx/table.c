#include "kernels/amx/table.h"

void amx_fill(Kernels *t) {
    t->busy_rows = 16;
    for (int type = 0; type < N_WEIGHT_TYPES; type++)
        if (!weight_is_float((WeightType)type)) t->mat[type].gemm = amx_gemm_quant;
}
