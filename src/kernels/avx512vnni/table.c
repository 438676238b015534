#include "kernels/avx512vnni/table.h"

void avx512vnni_fill(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++)
        if (!weight_is_float((WeightType)type)) t->mat[type].gemm = avx512vnni_gemm_quant;
    t->kv[KV_Q8_0].attention = avx512vnni_attention_q8;
    t->kv[KV_Q8_0].attention_part = avx512vnni_attention_part_q8;
}
