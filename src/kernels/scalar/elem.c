// Element-wise kernels in plain C: quantising activations, norm, SwiGLU.
#include "kernels/scalar/table.h"

#include "kernels/exp.h"

#include <stdlib.h>

void scalar_act_write_f32(const float *x, int k, int from, int to, void *tile, int row) {
    (void)k;
    float *out = tile;
    for (int i = from; i < to; i++) out[i * 8 + row] = x[i];
}

// Quantises x[0 … n) into the tile at column `from`; returns the scale.
static float quantize(const float *x, int n, int from, int8_t *q, int row) {
    float max = 0;
    for (int i = 0; i < n; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    float inverse = max > ACT_TINY ? 127.0f / max : 0;
    for (int i = 0; i < n; i++) {
        float v = nearbyintf(x[i] * inverse);
        v = v > 127 ? 127 : v; // 127 / max may round up
        v = v > -127 ? v : -127;
        q[(from + i) / 4 * 32 + row * 4 + (from + i) % 4] = (int8_t)v;
    }
    return max / 127.0f;
}

static int32_t sum_of(const int8_t *q, int row, int from, int n) {
    int32_t sum = 0;
    for (int i = from; i < from + n; i++) sum += q[i / 4 * 32 + row * 4 + i % 4];
    return sum;
}

// The largest sum of magnitudes over n of 256 columns.
static int32_t peak_of(const int8_t *q, int row, int from, int n) {
    int32_t peak = 0;
    for (int j = from; j < from + 256; j += n) {
        int32_t sum = 0;
        for (int i = j; i < j + n; i++) sum += abs(q[i / 4 * 32 + row * 4 + i % 4]);
        peak = sum > peak ? sum : peak;
    }
    return peak;
}

void scalar_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row) {
    int8_t *q = tile;
    for (int i = from; i < to; i += 32) {
        int at = i / 32 * 8 + row;
        float scale = quantize(x + i, 32, i, q, row);
        int32_t sum = sum_of(q, row, i, 32);
        act_scales(ACT_Q8_32, tile, k)[at] = scale;
        act_nsums(ACT_Q8_32, tile, k)[at] = -sum;
        act_ssums(tile, k)[at] = scale * (float)sum;
    }
}

void scalar_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row) {
    int8_t *q = tile;
    int32_t *nsums = act_nsums(ACT_Q8_256, tile, k);
    int16_t *pair16 = act_pair16(tile, k), *pair32 = act_pair32(tile, k);
    for (int i = from; i < to; i += 256) {
        act_scales(ACT_Q8_256, tile, k)[i / 256 * 8 + row] = quantize(x + i, 256, i, q, row);
        act_peak16(tile, k)[i / 256 * 8 + row] = peak_of(q, row, i, 16);
        act_peak32(tile, k)[i / 256 * 8 + row] = peak_of(q, row, i, 32);
        for (int j = i / 16; j < i / 16 + 16; j++) {
            int32_t sum = sum_of(q, row, 16 * j, 16);
            nsums[8 * j + row] = -32 * sum;
            pair16[j / 2 * 16 + 2 * row + j % 2] = (int16_t)sum;
        }
        for (int j = i / 32; j < i / 32 + 8; j++)
            pair32[j / 2 * 16 + 2 * row + j % 2] = (int16_t)sum_of(q, row, 32 * j, 32);
    }
}

// 16 partial sums to one: lanes 8 apart, 4, 2, 1.
static float sum16(float *s) {
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}

void scalar_rms_norm(const float *x, const float *w, float eps, int n, float *y) {
    float squares[16] = {0};
    for (int i = 0; i < n; i++) squares[i % 16] = fmaf(x[i], x[i], squares[i % 16]);
    float scale = 1.0f / sqrtf(sum16(squares) / (float)n + eps);
    for (int i = 0; i < n; i++) y[i] = x[i] * scale * w[i];
}

void scalar_silu_mul(float *gate, const float *up, int n) {
    for (int i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + exp_scalar(-gate[i])) * up[i];
}

// One query over all its blocks; see AttnArgs for the order of every operation.
static void attend(const AttnArgs *a, const float *q, int n_keys, float *out) {
    int hd = a->head_dim;
    float acc[ATTN_MAX_HEAD_DIM] = {0}, l[16] = {0}, max = -INFINITY;
    for (int first = 0; first < n_keys; first += 16) {
        const uint16_t *keys = a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
        const uint16_t *values = keys + (size_t)hd * 16;
        int n = n_keys - first < 16 ? n_keys - first : 16;
        float sums[4][16] = {0}, s[16], new_max = max;
        for (int d = 0; d < hd; d++)
            for (int t = 0; t < n; t++) {
                float *sum = &sums[d % 4][t];
                *sum = fmaf(q[d], half_to_float(keys[d * 16 + t]), *sum);
            }
        for (int t = 0; t < n; t++) s[t] = (sums[0][t] + sums[1][t]) + (sums[2][t] + sums[3][t]);
        for (int t = 0; t < n; t++) new_max = s[t] > new_max ? s[t] : new_max;
        if (new_max > max) {
            float shrink = exp_scalar(max - new_max);
            for (int t = 0; t < 16; t++) l[t] *= shrink;
            for (int d = 0; d < hd; d++) acc[d] *= shrink;
            max = new_max;
        }
        for (int t = 0; t < n; t++) {
            float p = exp_scalar(s[t] - max);
            l[t] += p;
            for (int d = 0; d < hd; d++) acc[d] = fmaf(p, half_to_float(values[t * hd + d]), acc[d]);
        }
    }
    float total = sum16(l);
    for (int d = 0; d < hd; d++) out[d] = acc[d] / total;
}

void scalar_attention(const AttnArgs *a) {
    for (int i = 0; i < a->n_q; i++)
        attend(a, a->q + (size_t)i * a->q_stride, a->n_keys + i / a->group, a->out + (size_t)i * a->out_stride);
}

static uint16_t finite_half(float x) {
    x = x < 65504.0f ? x : 65504.0f; // NaN too: a stray NaN must not spread through a shared block
    return float_to_half(x > -65504.0f ? x : -65504.0f);
}

void scalar_kv_write(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    uint16_t *values = block + (size_t)head_dim * 16 + (size_t)slot * (size_t)head_dim;
    for (int d = 0; d < head_dim; d++) {
        block[16 * d + slot] = finite_half(key[d]);
        values[d] = finite_half(value[d]);
    }
}

int32_t scalar_collect(const float *x, int32_t from, int32_t to, float threshold, int32_t *out) {
    int32_t found = 0;
    for (int32_t i = from; i < to; i++) {
        out[found] = i;
        found += x[i] >= threshold;
    }
    return found;
}
