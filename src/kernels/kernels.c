// The ladder: a complete scalar table first, then each rung overwrites what it does better.
#include "kernels/kernels.h"

#include "kernels/scalar/table.h"
#if defined(__x86_64__)
#include "kernels/amx/table.h"
#include "kernels/avx2/table.h"
#include "kernels/avx512/table.h"
#include "kernels/avx512vnni/table.h"
#include "kernels/avxvnni/table.h"
#elif defined(__aarch64__)
#include "kernels/neon/table.h"
#include "kernels/neon_i8mm/table.h"
#endif

static void fill_scalar(Kernels *t) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++) {
        ActFormat act = weight_is_float((WeightType)type)  ? ACT_F32
                        : weight_formats[type].block == 32 ? ACT_Q8_32
                                                           : ACT_Q8_256;
        t->mat[type] = (MatKernel){act, scalar_panel_bytes, scalar_pack, scalar_gemm};
    }
    t->act_write[ACT_F32] = scalar_act_write_f32;
    t->act_write[ACT_Q8_32] = scalar_act_write_q8_32;
    t->act_write[ACT_Q8_256] = scalar_act_write_q8_256;
    t->rms_norm = scalar_rms_norm;
    t->rope = scalar_rope;
    t->silu_mul = scalar_silu_mul;
    t->gelu_mul = scalar_gelu_mul;
    t->kv[KV_F16] = (KvKernel){scalar_kv_write_f16, scalar_attention_f16, scalar_attention_part_f16};
    t->kv[KV_Q8_0] = (KvKernel){scalar_kv_write_q8, scalar_attention_q8, scalar_attention_part_q8};
    t->collect = scalar_collect;
    t->clean = scalar_clean;
    t->weigh = scalar_weigh;
    t->sum_from = scalar_sum_from;
}

const Kernels *kernels_get(CpuRung rung) {
    static Kernels tables[CPU_N_RUNGS];
    Kernels *t = &tables[rung];
    if (t->collect) return t;
    t->rung = rung;
    t->busy_rows = 4;
    fill_scalar(t);
#if defined(__x86_64__)
    switch (rung) {
    case CPU_AMX:
        avx2_fill(t);
        avx512_fill(t);
        avx512vnni_fill(t);
        amx_fill(t);
        break;
    case CPU_AVX512VNNI:
        avx2_fill(t);
        avx512_fill(t);
        avx512vnni_fill(t);
        break;
    case CPU_AVX512:
        avx2_fill(t);
        avx512_fill(t);
        break;
    case CPU_AVXVNNI:
        avx2_fill(t);
        avxvnni_fill(t);
        break;
    case CPU_AVX2: avx2_fill(t); break;
    default: break;
    }
#elif defined(__aarch64__)
    if (rung == CPU_NEON || rung == CPU_NEON_I8MM) neon_fill(t);
    if (rung == CPU_NEON_I8MM) neon_i8mm_fill(t);
#endif
    return t;
}
