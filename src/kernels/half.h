// IEEE half precision and bfloat16, in plain C, bit-equal to the hardware conversions
// (round to nearest, ties to even).
#ifndef CLLM_KERNELS_HALF_H
#define CLLM_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t float_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float bf16_to_float(uint16_t h) {
    return float_from_bits((uint32_t)h << 16);
}

static inline float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 0x1F, mantissa = h & 0x3FF;
    if (exponent == 0) { // zero or subnormal: mantissa × 2^-24, exact in float
        float f = (float)mantissa * 0x1p-24f;
        return float_from_bits(float_bits(f) | sign);
    }
    if (exponent == 31) { // infinity, or a NaN, made quiet
        uint32_t quiet = mantissa ? 0x400000u : 0;
        return float_from_bits(sign | 0x7F800000u | quiet | mantissa << 13);
    }
    return float_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static inline uint16_t float_to_half(float f) {
    uint32_t bits = float_bits(f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t a = bits & 0x7FFFFFFF;
    if (a > 0x7F800000) return (uint16_t)(sign | 0x7E00 | (a >> 13 & 0x3FF)); // NaN, made quiet
    if (a >= 0x477FF000) return (uint16_t)(sign | 0x7C00);                    // rounds to infinity
    if (a < 0x38800000) { // subnormal or zero: let the adder round at 2^-24
        float r = float_from_bits(a) + 0.5f;
        return (uint16_t)(sign | (float_bits(r) - 0x3F000000u));
    }
    uint32_t rounded = a + 0xFFF + (a >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

#endif
