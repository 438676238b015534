#include "kernels/avx512vnni/table.h"

void avx512vnni_fill(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++)
        if (!weight_is_float((WeightType)type)) t->mat[type].gemm = avx512vnni_gemm_quant;
}
