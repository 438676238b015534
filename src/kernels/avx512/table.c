#include "kernels/avx512/table.h"

#include "kernels/packed.h"

void avx512_fill(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++) {
        MatKernel *m = &t->mat[type];
        m->panel_bytes = packed_panel_bytes;
        m->pack = packed_panel_write;
        m->gemm = weight_is_float((WeightType)type) ? avx512_gemm_float : avx512_gemm_quant;
    }
    t->act_write[ACT_Q8_32] = avx512_act_write_q8_32;
    t->act_write[ACT_Q8_256] = avx512_act_write_q8_256;
    t->rms_norm = avx512_rms_norm;
    t->rope = avx512_rope;
    t->silu_mul = avx512_silu_mul;
    t->gelu_mul = avx512_gelu_mul;
    t->kv[KV_F16] = (KvKernel){avx512_kv_write_f16, avx512_attention_f16, avx512_attention_part_f16};
    t->kv[KV_Q8_0].write = avx512_kv_write_q8;
    t->collect = avx512_collect;
    t->clean = avx512_clean;
    t->weigh = avx512_weigh;
    t->sum_from = avx512_sum_from;
}
