// Blocks of the GGUF formats decoded once more, in doubles and by other means than src/kernels: each
// walks the file's bytes in storage order and says which elements they feed.
#include "kcheck.h"

#include <math.h>
#include <string.h>

static const int nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

double oracle_half(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double sign = h >> 15 ? -1 : 1;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

static double half_at(const uint8_t *p) {
    return oracle_half((uint16_t)(p[0] + 256 * p[1]));
}

static void floats(WeightType type, const uint8_t *p, OracleBlock *o) {
    uint32_t bits = type == WEIGHT_F32 ? p[0] + 256u * p[1] + 65536u * p[2] + 16777216u * p[3]
                                       : (p[0] + 256u * p[1]) << 16;
    float f;
    memcpy(&f, &bits, 4);
    o->quant[0] = type == WEIGHT_F16 ? half_at(p) : (double)f;
    o->scale[0] = 1;
}

// Blocks of 32: d, [m], [32 fifth bits], then 16 bytes of nibbles or 32 bytes.
static void small_blocks(WeightType type, const uint8_t *p, OracleBlock *o) {
    bool has_m = type == WEIGHT_Q4_1 || type == WEIGHT_Q5_1,
         has_fifth = type == WEIGHT_Q5_0 || type == WEIGHT_Q5_1;
    o->scale[0] = half_at(p);
    p += 2;
    if (has_m) {
        o->minimum[0] = half_at(p);
        p += 2;
    }
    const uint8_t *fifth = p;
    if (has_fifth) p += 4;
    for (int i = 0; i < 16; i++) {
        int pair[2] = {p[i] % 16, p[i] / 16};
        for (int h = 0; h < 2; h++) {
            int at = i + 16 * h;
            if (has_fifth) pair[h] += 16 * (fifth[at / 8] >> (at % 8) & 1);
            o->quant[at] = type == WEIGHT_IQ4_NL ? nl_values[pair[h]]
                           : type == WEIGHT_Q4_0 ? pair[h] - 8
                           : type == WEIGHT_Q5_0 ? pair[h] - 16
                                                 : pair[h];
        }
    }
    if (type == WEIGHT_Q8_0)
        for (int i = 0; i < 32; i++) o->quant[i] = p[i] < 128 ? p[i] : p[i] - 256;
}

static void q2_k(const uint8_t *p, OracleBlock *o) {
    double d = half_at(p + 80), dmin = half_at(p + 82);
    for (int j = 0; j < 16; j++) {
        o->scale[j] = d * (p[j] % 16);
        o->minimum[j] = -dmin * (p[j] / 16);
    }
    for (int i = 0; i < 64; i++)
        for (int run = 0; run < 4; run++)
            o->quant[128 * (i / 32) + 32 * run + i % 32] = p[16 + i] / (1 << 2 * run) % 4;
}

// The scales are a number of 96 bits: 16 low nibbles, then 16 pairs of high bits.
static void q3_k(const uint8_t *p, OracleBlock *o) {
    const uint8_t *s = p + 96;
    double d = half_at(p + 108);
    for (int i = 0; i < 8; i++) {
        o->scale[i] = s[i] % 16;
        o->scale[8 + i] = s[i] / 16;
    }
    for (int i = 0; i < 4; i++)
        for (int run = 0; run < 4; run++) o->scale[4 * run + i] += 16 * (s[8 + i] / (1 << 2 * run) % 4);
    for (int j = 0; j < 16; j++) o->scale[j] = d * (o->scale[j] - 32);
    for (int i = 0; i < 64; i++)
        for (int run = 0; run < 4; run++)
            o->quant[128 * (i / 32) + 32 * run + i % 32] = p[32 + i] / (1 << 2 * run) % 4 - 4;
    for (int i = 0; i < 32; i++)
        for (int bit = 0; bit < 8; bit++) o->quant[32 * bit + i] += 4 * (p[i] >> bit & 1);
}

// Sub-blocks 0-3 have their 6 bits in bytes 0-3 and 4-7, whose top two bits belong to sub-blocks 4-7.
static void six_bit_scales(const uint8_t *s, double d, double dmin, OracleBlock *o) {
    for (int i = 0; i < 4; i++) {
        o->scale[i] = d * (s[i] % 64);
        o->minimum[i] = -dmin * (s[4 + i] % 64);
        o->scale[4 + i] = d * (s[8 + i] % 16 + s[i] / 64 * 16);
        o->minimum[4 + i] = -dmin * (s[8 + i] / 16 + s[4 + i] / 64 * 16);
    }
}

static void q45_k(WeightType type, const uint8_t *p, OracleBlock *o) {
    const uint8_t *qs = p + (type == WEIGHT_Q5_K ? 48 : 16), *qh = p + 16;
    six_bit_scales(p + 4, half_at(p), half_at(p + 2), o);
    for (int i = 0; i < 128; i++) {
        o->quant[64 * (i / 32) + i % 32] = qs[i] % 16;
        o->quant[64 * (i / 32) + 32 + i % 32] = qs[i] / 16;
    }
    if (type == WEIGHT_Q4_K) return;
    for (int i = 0; i < 32; i++)
        for (int bit = 0; bit < 8; bit++) o->quant[32 * bit + i] += 16 * (qh[i] >> bit & 1);
}

static void q6_k(const uint8_t *p, OracleBlock *o) {
    double d = half_at(p + 208);
    for (int j = 0; j < 16; j++) o->scale[j] = d * (p[192 + j] < 128 ? p[192 + j] : p[192 + j] - 256);
    for (int half = 0; half < 2; half++)
        for (int i = 0; i < 32; i++) {
            const uint8_t *ql = p + 64 * half, *qh = p + 128 + 32 * half;
            double *q = o->quant + 128 * half + i;
            q[0] = ql[i] % 16 + qh[i] % 4 * 16 - 32;
            q[32] = ql[32 + i] % 16 + qh[i] / 4 % 4 * 16 - 32;
            q[64] = ql[i] / 16 + qh[i] / 16 % 4 * 16 - 32;
            q[96] = ql[32 + i] / 16 + qh[i] / 64 * 16 - 32;
        }
}

static void iq4_xs(const uint8_t *p, OracleBlock *o) {
    double d = half_at(p);
    for (int j = 0; j < 8; j++) {
        int low = j % 2 ? p[4 + j / 2] / 16 : p[4 + j / 2] % 16;
        int high = p[2 + j / 4] / (1 << 2 * (j % 4)) % 4;
        o->scale[j] = d * (low + 16 * high - 32);
        for (int i = 0; i < 16; i++) {
            o->quant[32 * j + i] = nl_values[p[8 + 16 * j + i] % 16];
            o->quant[32 * j + 16 + i] = nl_values[p[8 + 16 * j + i] / 16];
        }
    }
}

void oracle_block(WeightType type, const uint8_t *block, OracleBlock *out) {
    memset(out, 0, sizeof *out);
    out->sub = type == WEIGHT_Q2_K || type == WEIGHT_Q3_K || type == WEIGHT_Q6_K ? 16 : 32;
    switch (type) {
    case WEIGHT_Q2_K: q2_k(block, out); break;
    case WEIGHT_Q3_K: q3_k(block, out); break;
    case WEIGHT_Q4_K:
    case WEIGHT_Q5_K: q45_k(type, block, out); break;
    case WEIGHT_Q6_K: q6_k(block, out); break;
    case WEIGHT_IQ4_XS: iq4_xs(block, out); break;
    case WEIGHT_F32:
    case WEIGHT_F16:
    case WEIGHT_BF16: floats(type, block, out); break;
    default: small_blocks(type, block, out); break;
    }
}
