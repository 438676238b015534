// The weight of a logit: a power of two, by float operations that every machine rounds alike.
//
// Thread: pure functions.
#ifndef CLLM_KERNELS_WEIGH_H
#define CLLM_KERNELS_WEIGH_H

#include <stdint.h>
#include <string.h>

enum { LOGITS_BLOCK = 64 }; // logits are cleaned and weighed in blocks

// 2^t for t <= 0, within 3e-7 relative for t given exactly; exactly 1 at 0. At e^-40 and below it
// is 0: all such tokens together, 2^18 of them, are less likely than 2e-12.
//
// 2^t = 2^k * 2^r with the integer k nearest to t. Adding 1.5 * 2^23 leaves k in the low bits of a
// float's mantissa, from where it is shifted into the exponent. 2^r on [-1/2, 1/2] is 1 + r * q(r),
// q of degree 4, minimax for the relative error (9.2e-8), fitted for this file by Lawson's
// reweighted least squares. Float operations only, so every machine gives the same bits.
//
// In two parts, because gcc makes vector code of each alone and of both in one loop does not.
#define LOGITS_LEAST (-57.7078f) // log2(e) * -40

static inline float logits_clamp(float t) {
    return t > LOGITS_LEAST ? t : LOGITS_LEAST;
}

static inline float logits_exp2(float t) { // of a clamped t
    const float shift = 0x1.8p23f;
    float shifted = t + shift;
    float r = t - (shifted - shift);
    float q = 0.001326472713f;
    q = q * r + 0.009671512645f;
    q = q * r + 0.05550733743f;
    q = q * r + 0.2402224209f;
    q = q * r + 0.6931469776f;
    float p = q * r + 1.0f;
    uint32_t bits, k, mask = -(uint32_t)(t > LOGITS_LEAST);
    memcpy(&bits, &p, sizeof bits);
    memcpy(&k, &shifted, sizeof k);
    bits = (bits + (k << 23)) & mask;
    memcpy(&p, &bits, sizeof p);
    return p;
}

static inline float logits_weight(float t) {
    return logits_exp2(logits_clamp(t));
}

#endif
