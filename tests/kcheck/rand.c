// Random and pathological inputs.
#include "kcheck.h"

#include "kernels/half.h"

#include <string.h>

int rand_int(Rng *r, int low, int high) {
    return low + (int)(rng_next(r) % (uint64_t)(high - low + 1));
}

float rand_normal(Rng *r) {
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += rng_uniform(r);
    return (float)((sum - 2) * 1.7320508075688772);
}

void rand_bytes(Rng *r, void *p, size_t n) {
    uint8_t *out = p;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = rng_next(r);
        memcpy(out + i, &v, n - i < 8 ? n - i : 8);
    }
}

static float rand_sign(Rng *r, float v) {
    return rng_next(r) & 1 ? v : -v;
}

void rand_row(Rng *r, RowStyle style, float *x, int n) {
    float max = 1.0f + 3.0f * (float)rng_uniform(r);
    for (int i = 0; i < n; i++) {
        if (style == ROW_MIXED && i % 32 == 0) { // a style of its own for every block of 32
            rand_row(r, (RowStyle)rand_int(r, 0, ROW_LARGE), x + i, n - i < 32 ? n - i : 32);
            i += 31;
            continue;
        }
        switch (style) {
        case ROW_ZERO: x[i] = rand_sign(r, 0); break;
        case ROW_PLUS: x[i] = max; break;
        case ROW_MINUS: x[i] = -max; break;
        case ROW_ALTERNATE: x[i] = rand_sign(r, max); break;
        case ROW_HALF: x[i] = i % 256 ? max * (0.46f + 0.1f * (float)rng_uniform(r)) : max; break;
        case ROW_OUTLIER: x[i] = 1e-3f * rand_normal(r); break;
        case ROW_SMALL: x[i] = 1e-20f * rand_normal(r); break;
        case ROW_LARGE: x[i] = 1e6f * rand_normal(r); break;
        case ROW_SUBNORMAL:
            x[i] = rand_sign(r, float_from_bits((uint32_t)rand_int(r, 0, 1 << rand_int(r, 0, 24))));
            break;
        case ROW_HUGE:
            x[i] = rand_sign(r, float_from_bits((uint32_t)rand_int(r, 0x7E000000, 0x7F7FFFFF)));
            break;
        default: x[i] = rand_normal(r); break;
        }
    }
    if (style == ROW_OUTLIER && n > 0) x[rand_int(r, 0, n - 1)] = rand_sign(r, 1000.0f);
}

static uint16_t rand_scale(Rng *r, WeightStyle style) {
    static const uint16_t extreme[] = {0x7BFF, 0xFBFF, 0x0000, 0x8000, 0x0001,
                                       0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00};
    static const uint16_t nonfinite[] = {0x7C00, 0xFC00, 0x7E00, 0x7D01, 0x3C00, 0x0000};
    if (style == WEIGHTS_EXTREME_D) return extreme[rand_int(r, 0, 9)];
    if (style == WEIGHTS_NONFINITE_D) return nonfinite[rand_int(r, 0, 5)];
    uint16_t sign = (uint16_t)(rng_next(r) & 0x8000);
    if (style == WEIGHTS_SUBNORMAL_D) return (uint16_t)(sign | (rng_next(r) & 0x3FF));
    return (uint16_t)(sign | rand_int(r, 0x1000, 0x3800)); // 2^-11 … 2^-1
}

// Where the halves of a block lie.
static void scale_places(WeightType type, int places[2], int *n) {
    static const struct {
        WeightType type;
        int d, dmin;
    } table[] = {{WEIGHT_Q4_1, 0, 2}, {WEIGHT_Q5_1, 0, 2}, {WEIGHT_Q2_K, 80, 82}, {WEIGHT_Q3_K, 108, -1},
                 {WEIGHT_Q4_K, 0, 2}, {WEIGHT_Q5_K, 0, 2}, {WEIGHT_Q6_K, 208, -1}};
    places[0] = 0;
    *n = 1;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].type != type) continue;
        places[0] = table[i].d;
        places[1] = table[i].dmin;
        *n = table[i].dmin < 0 ? 1 : 2;
    }
}

static float rand_float_weight(Rng *r, WeightStyle style) {
    switch (style) {
    case WEIGHTS_BITS_0: return 0;
    case WEIGHTS_BITS_1: return -1;
    case WEIGHTS_80: return -0.0f;
    case WEIGHTS_7F: return 60000;
    case WEIGHTS_EXTREME_D: return rand_sign(r, rng_next(r) & 1 ? 65504.0f : 6e-8f);
    case WEIGHTS_SUBNORMAL_D: return rand_sign(r, 6e-5f * (float)rng_uniform(r));
    case WEIGHTS_NONFINITE_D:
        return rng_next(r) % 64 ? rand_normal(r) : float_from_bits(rng_next(r) & 1 ? 0x7F800000 : 0x7FA00000);
    default: return rand_normal(r);
    }
}

static void float_weights(Rng *r, WeightType type, WeightStyle style, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        float w = rand_float_weight(r, style);
        uint16_t h = type == WEIGHT_F16 ? float_to_half(w) : (uint16_t)(float_bits(w) >> 16);
        if (type == WEIGHT_F32)
            memcpy(out + 4 * i, &w, 4);
        else
            memcpy(out + 2 * i, &h, 2);
    }
}

void rand_weights(Rng *r, WeightType type, WeightStyle style, int n_rows, int k, uint8_t *rows) {
    size_t bytes = weight_row_bytes(type, k) * (size_t)n_rows;
    if (weight_is_float(type)) {
        float_weights(r, type, style, (size_t)n_rows * (size_t)k, rows);
        return;
    }
    static const int fill[N_WEIGHT_STYLES + 1] = {-1, 0x00, 0xFF, 0x80, 0x7F, -1, -1, -1};
    if (fill[style] >= 0)
        memset(rows, fill[style], bytes);
    else
        rand_bytes(r, rows, bytes);
    int places[2], n;
    scale_places(type, places, &n);
    for (size_t at = 0; at < bytes; at += (size_t)weight_formats[type].block_bytes)
        for (int i = 0; i < n; i++) {
            uint16_t h = rand_scale(r, style);
            memcpy(rows + at + places[i], &h, 2);
        }
}
