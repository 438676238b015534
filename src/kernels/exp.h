// exp as every rung computes it: x = n ln2 + r, |r| <= ln2/2; exp(r) by its Taylor polynomial of
// degree 6 in Horner form (relative error under 2.3e-7), scaled by 2^n. All steps are fused or exact,
// so that vector and scalar code agree bit by bit. x is clamped to [-87, 88].
#ifndef CLLM_KERNELS_EXP_H
#define CLLM_KERNELS_EXP_H

#include "kernels/half.h"

#include <math.h>

#define EXP_MIN (-87.0f)
#define EXP_MAX 88.0f
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HIGH 0x1.62e400p-1f // ln2 rounded to 15 bits: n * high is exact
#define EXP_LN2_LOW 0x1.7f7d1cp-20f // ln2 - high
#define EXP_C6 (1.0f / 720)
#define EXP_C5 (1.0f / 120)
#define EXP_C4 (1.0f / 24)
#define EXP_C3 (1.0f / 6)
#define EXP_C2 0.5f

#define GELU_C1 (-0x1.988454p+0f) // -2 sqrt(2/pi)
#define GELU_C3 (-0x1.2444f2p-4f) // … * 0.044715

static inline float exp_scalar(float x) {
    if (!(x > EXP_MIN)) x = EXP_MIN;
    if (x > EXP_MAX) x = EXP_MAX;
    float n = nearbyintf(x * EXP_LOG2E);
    float r = fmaf(n, -EXP_LN2_HIGH, x);
    r = fmaf(n, -EXP_LN2_LOW, r);
    float p = fmaf(EXP_C6, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return float_from_bits(float_bits(p) + ((uint32_t)(int32_t)n << 23));
}

#endif
