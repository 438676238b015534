// exp of 4 lanes, bit-equal to exp_scalar (kernels/exp.h), the sum of four vectors by halves, and rows that
// end within a vector.
#ifndef CLLM_KERNELS_NEON_EXP128_H
#define CLLM_KERNELS_NEON_EXP128_H

#include "kernels/exp.h"

#include <arm_neon.h>
#include <string.h>

// x where it is above the limit, which a NaN is not. (FMAX would hand the NaN on.)
static inline float32x4_t above128(float32x4_t x, float limit) {
    float32x4_t limits = vdupq_n_f32(limit);
    return vbslq_f32(vcgtq_f32(x, limits), x, limits);
}

static inline float32x4_t exp128(float32x4_t x) {
    x = vminq_f32(above128(x, EXP_MIN), vdupq_n_f32(EXP_MAX));
    float32x4_t n = vrndnq_f32(vmulq_n_f32(x, EXP_LOG2E));
    float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-EXP_LN2_HIGH));
    r = vfmaq_f32(r, n, vdupq_n_f32(-EXP_LN2_LOW));
    float32x4_t p = vfmaq_f32(vdupq_n_f32(EXP_C5), vdupq_n_f32(EXP_C6), r);
    p = vfmaq_f32(vdupq_n_f32(EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(EXP_C2), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, r);
    int32x4_t exponent = vshlq_n_s32(vcvtq_s32_f32(n), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), exponent));
}

// Sum of the 16 lanes of v: 8 apart, then 4, 2, 1.
static inline float sum4x128(const float32x4_t v[4]) {
    float32x4_t h4 = vaddq_f32(vaddq_f32(v[0], v[2]), vaddq_f32(v[1], v[3]));
    return vpadds_f32(vadd_f32(vget_low_f32(h4), vget_high_f32(h4)));
}

// The first n of 4 floats, zeros behind them; n may be more than 4, or less than 0.
static inline float32x4_t load_first128(const float *x, int n) {
    float lanes[4] = {0};
    if (n >= 4) return vld1q_f32(x);
    if (n > 0) memcpy(lanes, x, (size_t)n * sizeof *x);
    return vld1q_f32(lanes);
}

static inline void store_first128(float *y, int n, float32x4_t v) {
    float lanes[4];
    vst1q_f32(lanes, v);
    if (n >= 4)
        vst1q_f32(y, v);
    else if (n > 0)
        memcpy(y, lanes, (size_t)n * sizeof *y);
}

#endif
