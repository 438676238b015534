// Element-wise kernels: quantising activations, norm, gates, collecting.
#include "kernels/neon/table.h"

#include "kernels/neon/exp128.h"

// -127 for a NaN, as in the scalar version; 127 / max may round up, which narrowing saturates.
static int32x4_t quantize4(const float *x, float inverse) {
    return vcvtnq_s32_f32(above128(vmulq_n_f32(vld1q_f32(x), inverse), -127)); // nearest even
}

static int8x16_t quantize16(const float *x, float inverse) {
    int16x8_t low = vcombine_s16(vqmovn_s32(quantize4(x, inverse)), vqmovn_s32(quantize4(x + 4, inverse)));
    int16x8_t high =
        vcombine_s16(vqmovn_s32(quantize4(x + 8, inverse)), vqmovn_s32(quantize4(x + 12, inverse)));
    return vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
}

typedef struct Sum16 {
    int32_t plain, magnitudes;
} Sum16;

// 16 columns at `from`, four groups of four 32 bytes apart; returns their sums.
static Sum16 write16(const float *x, float inverse, int8_t *q, int from, int row) {
    int8x16_t v = quantize16(x + from, inverse);
    int8_t groups[16], *out = q + from / 4 * 32 + row * 4;
    vst1q_s8(groups, v);
    for (int i = 0; i < 4; i++) memcpy(out + 32 * i, groups + 4 * i, 4);
    return (Sum16){vaddlvq_s8(v), vaddlvq_s8(vabsq_s8(v))};
}

static float max_abs(const float *x, int n) {
    float32x4_t max = vdupq_n_f32(0);
    for (int i = 0; i < n; i += 4) {
        float32x4_t v = vabsq_f32(vld1q_f32(x + i));
        max = vbslq_f32(vcgtq_f32(v, max), v, max); // never a NaN
    }
    return vmaxvq_f32(max);
}

static int32_t max_int(int32_t a, int32_t b) {
    return a > b ? a : b;
}

void neon_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(tile, k), *ssums = act_ssums(tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_32, tile, k);
    for (int i = from; i < to; i += 32) {
        float max = max_abs(x + i, 32), inverse = max > ACT_TINY ? 127.0f / max : 0;
        int32_t sum = write16(x, inverse, tile, i, row).plain + write16(x, inverse, tile, i + 16, row).plain;
        int at = i / 32 * 8 + row;
        scales[at] = max / 127.0f;
        nsums[at] = -sum;
        ssums[at] = max / 127.0f * (float)sum;
    }
}

void neon_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_256, tile, k);
    int16_t *pair16 = act_pair16(tile, k), *pair32 = act_pair32(tile, k);
    for (int i = from; i < to; i += 256) {
        float max = max_abs(x + i, 256), inverse = max > ACT_TINY ? 127.0f / max : 0;
        int32_t peak16 = 0, peak32 = 0;
        scales[i / 256 * 8 + row] = max / 127.0f;
        for (int j = i / 32; j < i / 32 + 8; j++) {
            Sum16 a = write16(x, inverse, tile, 32 * j, row), b = write16(x, inverse, tile, 32 * j + 16, row);
            nsums[16 * j + row] = -32 * a.plain;
            nsums[16 * j + 8 + row] = -32 * b.plain;
            pair16[16 * j + 2 * row] = (int16_t)a.plain;
            pair16[16 * j + 2 * row + 1] = (int16_t)b.plain;
            pair32[j / 2 * 16 + 2 * row + j % 2] = (int16_t)(a.plain + b.plain);
            peak16 = max_int(peak16, max_int(a.magnitudes, b.magnitudes));
            peak32 = max_int(peak32, a.magnitudes + b.magnitudes);
        }
        act_peak16(tile, k)[i / 256 * 8 + row] = peak16;
        act_peak32(tile, k)[i / 256 * 8 + row] = peak32;
    }
}

void neon_rms_norm(const float *x, const float *w, float eps, int n, float *y) {
    float32x4_t squares[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (int i = 0; i < n; i += 16)
        for (int j = 0; j < 4; j++) {
            float32x4_t v = load_first128(x + i + 4 * j, n - i - 4 * j);
            squares[j] = vfmaq_f32(squares[j], v, v);
        }
    float scale = 1.0f / sqrtf(sum4x128(squares) / (float)n + eps);
    for (int i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(load_first128(x + i, n - i), scale);
        store_first128(y + i, n - i, vmulq_f32(v, load_first128(w + i, n - i)));
    }
}

void neon_silu_mul(float *gate, const float *up, int n) {
    for (int i = 0; i < n; i += 4) {
        float32x4_t g = load_first128(gate + i, n - i);
        float32x4_t v = vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), exp128(vnegq_f32(g))));
        store_first128(gate + i, n - i, vmulq_f32(v, load_first128(up + i, n - i)));
    }
}

void neon_gelu_mul(float *gate, const float *up, int n) {
    const float32x4_t one = vdupq_n_f32(1.0f), c1 = vdupq_n_f32(GELU_C1), c3 = vdupq_n_f32(GELU_C3);
    for (int i = 0; i < n; i += 4) {
        float32x4_t g = load_first128(gate + i, n - i);
        float32x4_t z = vmulq_f32(g, vfmaq_f32(c1, vmulq_f32(g, g), c3));
        float32x4_t v = vdivq_f32(g, vaddq_f32(one, exp128(z)));
        store_first128(gate + i, n - i, vmulq_f32(v, load_first128(up + i, n - i)));
    }
}

static bool any_at_least(const float *x, float32x4_t bound) {
    uint32x4_t hits = vorrq_u32(vcgeq_f32(vld1q_f32(x), bound), vcgeq_f32(vld1q_f32(x + 4), bound));
    hits = vorrq_u32(hits, vcgeq_f32(vld1q_f32(x + 8), bound));
    hits = vorrq_u32(hits, vcgeq_f32(vld1q_f32(x + 12), bound));
    return vmaxvq_u32(hits) != 0;
}

// Hits are few: 16 numbers without one cost a comparison each, the others are looked at one by one.
int32_t neon_collect(const float *x, int32_t from, int32_t to, float threshold, int32_t *out) {
    int32_t found = 0;
    for (int32_t i = from; i < to; i += 16) {
        int32_t end = to - i < 16 ? to : i + 16;
        if (end - i == 16 && !any_at_least(x + i, vdupq_n_f32(threshold))) continue;
        for (int32_t j = i; j < end; j++) {
            out[found] = j;
            found += x[j] >= threshold;
        }
    }
    return found;
}
