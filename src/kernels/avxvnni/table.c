#include "kernels/avxvnni/table.h"

void avxvnni_fill(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++)
        if (!weight_is_float((WeightType)type))
            t->mat[type].gemm = cpu_has_vex_vnni() ? avxvnni_gemm_vex : avxvnni_gemm_evex;
}
