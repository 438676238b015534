// What has no rung: the decoders of the weight formats, half precision, exp.
#include "kcheck.h"

#include "kernels/exp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// The decoder takes at most three roundings: d * scale, times the quant, plus the minimum (rounded itself).
static void compare_block(Case *c, const uint8_t *block, const float *got) {
    const WeightFormat *f = &weight_formats[c->type];
    OracleBlock o;
    oracle_block(c->type, block, &o);
    for (int i = 0; i < f->block; i++) {
        double product = o.scale[i / o.sub] * o.quant[i], minimum = o.minimum[i / o.sub];
        double tolerance = weight_is_float(c->type) ? 0 : 4 * 0x1p-24 * (fabs(product) + fabs(minimum));
        if (isnan(product + minimum) ? isnan(got[i])
                                     : fabs((double)got[i] - product - minimum) <= tolerance ||
                                           (double)got[i] == product + minimum)
            continue;
        case_fail(c, "element %d is %.9g, want %.9g", i, (double)got[i], product + minimum);
        return;
    }
}

static void decode_rows(Case *c, WeightStyle style, int k) {
    const WeightFormat *f = &weight_formats[c->type];
    uint8_t *row = guard_new(c, weight_row_bytes(c->type, k));
    float *got = guard_new(c, 4 * (size_t)k);
    case_at(c, "k=%d weights=%d", k, (int)style);
    rand_weights(&c->rng, c->type, style, 1, k, row);
    guard_freeze(row);
    weight_dequantize_row(c->type, row, k, got);
    for (int i = 0; i < k / f->block; i++)
        compare_block(c, row + (size_t)(i * f->block_bytes), got + i * f->block);
    guard_release(c);
}

static void body_decode(Case *c) {
    for (int style = 0; style <= WEIGHTS_NONFINITE_D; style++)
        for (int i = 0; i < 8; i++) decode_rows(c, (WeightStyle)style, 256 * (1 + i % 3));
}

static void body_half_to_float(Case *c) {
    for (uint32_t h = 0; h < 65536; h++) {
        double want = oracle_half((uint16_t)h);
        float got = half_to_float((uint16_t)h);
        case_at(c, "half=0x%04x", h);
        if (isnan(want) ? !isnan(got) : (double)got != want || !signbit(got) != !signbit(want))
            case_fail(c, "%g, want %g", (double)got, want);
        if ((float_bits(got) >> 31) != h >> 15) case_fail(c, "wrong sign");
        float bf = bf16_to_float((uint16_t)h);
        if (float_bits(bf) != h << 16) case_fail(c, "bf16 wrong");
        if (!isnan(got) && float_to_half(got) != h)
            case_fail(c, "does not return: 0x%04x", float_to_half(got));
    }
}

// Rounds by search between the two halves that enclose |f|; ties go to the even one.
static uint16_t oracle_to_half(float f) {
    uint16_t sign = signbit(f) ? 0x8000 : 0;
    double x = fabs((double)f);
    if (x >= 65520) return sign | 0x7C00; // half a step over the largest
    int low = 0, high = 0x7C00;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (oracle_half((uint16_t)middle) <= x)
            low = middle;
        else
            high = middle;
    }
    double top = high == 0x7C00 ? 65536 : oracle_half((uint16_t)high), below = x - oracle_half((uint16_t)low);
    bool up = below > top - x || (below == top - x && low % 2 == 1);
    return (uint16_t)(sign | (up ? high : low));
}

static void body_float_to_half(Case *c) {
    for (int i = 0; i < 400000; i++) {
        uint32_t bits = (uint32_t)rng_next(&c->rng);
        if (i % 2) bits = (bits & 0x80000000) | (0x33000000 + bits % 0x15000000); // where halves are
        if (i % 4 == 1)
            bits = (bits & ~0x1FFFu) | (0x1000u + (uint32_t)rand_int(&c->rng, -1, 1)); // near ties
        float f = float_from_bits(bits);
        if (isnan(f)) continue;
        if (float_to_half(f) == oracle_to_half(f)) continue;
        case_at(c, "float=%a", (double)f);
        case_fail(c, "0x%04x, want 0x%04x", float_to_half(f), oracle_to_half(f));
    }
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) static float hardware_to_float(uint16_t h) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h)));
}

__attribute__((target("f16c"))) static uint16_t hardware_to_half(float f) {
    return (uint16_t)_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(f), _MM_FROUND_TO_NEAREST_INT), 0);
}

// Bits, NaNs included.
static void body_half_hardware(Case *c) {
    for (uint32_t h = 0; h < 65536; h++) {
        uint32_t want = float_bits(hardware_to_float((uint16_t)h)),
                 got = float_bits(half_to_float((uint16_t)h));
        case_at(c, "half=0x%04x", h);
        if (want != got) case_fail(c, "to float 0x%08x, hardware 0x%08x", got, want);
    }
    for (uint32_t i = 0; i < 1u << 21; i++) {
        uint32_t bits = i << 11 | (uint32_t)(rng_next(&c->rng) & 0x7FF);
        uint16_t want = hardware_to_half(float_from_bits(bits)), got = float_to_half(float_from_bits(bits));
        case_at(c, "float=0x%08x", bits);
        if (want != got) case_fail(c, "to half 0x%04x, hardware 0x%04x", got, want);
    }
}
#endif

// The claim of kernels/exp.h: relative error under 2.3e-7 over the whole range.
static void body_exp(Case *c) {
    enum { N = 2000000 };
    double worst = 0;
    for (int i = 0; i <= N; i++) {
        float x = (float)(-87 + 175.0 * i / N);
        if (i % 8 == 0) x = ldexpf(x / 88, -rand_int(&c->rng, 0, 40)); // small ones
        double want = exp((double)x), error = fabs((double)exp_scalar(x) - want) / want;
        if (error > worst) worst = error;
        case_at(c, "x=%a", (double)x);
        if (error >= 2.3e-7) case_fail(c, "relative error %.3g", error);
    }
    printf("exp: largest relative error %.3g over [-87, 88]\n", worst);
    const float beyond[][2] = {{-88, EXP_MIN}, {-1e30f, EXP_MIN}, {-INFINITY, EXP_MIN}, {NAN, EXP_MIN},
                               {89, EXP_MAX},  {1e30f, EXP_MAX},  {INFINITY, EXP_MAX}};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        if (!same_bits(exp_scalar(beyond[i][0]), exp_scalar(beyond[i][1])))
            case_fail(c, "exp(%g) is not clamped", (double)beyond[i][0]);
    if (exp_scalar(0) != 1 || exp_scalar(-0.0f) != 1) case_fail(c, "exp(0) is not 1");
}

void check_formats(Session *s) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++)
        session_run(s, NULL, type, -1, "dequantize", "oracle", body_decode);
    session_run(s, NULL, -1, -1, "half", "to_float", body_half_to_float);
    session_run(s, NULL, -1, -1, "half", "from_float", body_float_to_half);
#if defined(__x86_64__)
    if (cpu_has_rung(CPU_AVX2)) session_run(s, NULL, -1, -1, "half", "hardware", body_half_hardware);
#endif
    session_run(s, NULL, -1, -1, "exp", "error", body_exp);
}
