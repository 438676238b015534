// The order of logits, in which the largest are selected: hostile or broken models included.
//
// Thread: pure functions.
#ifndef CLLM_KERNELS_ORDER_H
#define CLLM_KERNELS_ORDER_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

// NaN counts as -inf, +inf as the largest number, -0 as +0. In two parts, because gcc makes vector code of
// each alone and of both in one loop does not.
static inline float logit_number(float logit) {
    float v = logit + 0.0f;
    return v >= -INFINITY ? v : -INFINITY; // false for NaN
}

static inline float logit_finite(float number) {
    return number <= FLT_MAX ? number : FLT_MAX;
}

static inline float logit_clean(float logit) {
    return logit_finite(logit_number(logit));
}

// The place of a cleaned logit: logit_order(a) < logit_order(b) exactly if a < b. And back.
static inline uint32_t logit_order(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static inline float logit_at_order(uint32_t order) {
    uint32_t bits = order & 0x80000000u ? order & 0x7FFFFFFFu : ~order;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

#endif
