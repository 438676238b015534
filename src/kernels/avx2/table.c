#include "kernels/avx2/table.h"

#include "kernels/packed.h"

void avx2_fill(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++) {
        MatKernel *m = &t->mat[type];
        m->panel_bytes = packed_panel_bytes;
        m->pack = packed_panel_write;
        m->gemm = weight_is_float((WeightType)type) ? avx2_gemm_float : avx2_gemm_quant;
    }
    t->act_write[ACT_Q8_32] = avx2_act_write_q8_32;
    t->act_write[ACT_Q8_256] = avx2_act_write_q8_256;
    t->rms_norm = avx2_rms_norm;
    t->silu_mul = avx2_silu_mul;
    t->gelu_mul = avx2_gelu_mul;
    t->kv[KV_F16] = (KvKernel){avx2_kv_write_f16, avx2_attention_f16, avx2_attention_part_f16};
    t->kv[KV_Q8_0] = (KvKernel){avx2_kv_write_q8, avx2_attention_q8, avx2_attention_part_q8};
    t->collect = avx2_collect;
    t->clean = avx2_clean;
    t->weigh = avx2_weigh;
    t->sum_from = avx2_sum_from;
}
