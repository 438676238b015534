#include "kernels/neon/table.h"

#include "kernels/packed.h"

// Cleaning and weighing logits stay as they are: every AArch64 CPU has vectors, so the scalar rung's loops
// are vector code already.
void neon_fill(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++) {
        MatKernel *m = &t->mat[type];
        m->panel_bytes = packed_panel_bytes;
        m->pack = packed_panel_write;
        m->gemm = weight_is_float((WeightType)type) ? neon_gemm_float : neon_gemm_quant;
    }
    t->act_write[ACT_Q8_32] = neon_act_write_q8_32;
    t->act_write[ACT_Q8_256] = neon_act_write_q8_256;
    t->rms_norm = neon_rms_norm;
    t->silu_mul = neon_silu_mul;
    t->gelu_mul = neon_gelu_mul;
    t->kv[KV_F16] = (KvKernel){neon_kv_write_f16, neon_attention_f16, neon_attention_part_f16};
    t->collect = neon_collect;
}
