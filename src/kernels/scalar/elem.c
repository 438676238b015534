// Element-wise kernels in plain C: quantising activations, norm, gates.
#include "kernels/scalar/table.h"

#include "kernels/exp.h"

#include <stdlib.h>

void scalar_act_write_f32(const float *x, int k, int from, int to, void *tile, int row) {
    (void)k;
    float *out = tile;
    for (int i = from; i < to; i++) out[act_at(ACT_F32, i, row)] = x[i];
}

// Quantises x[0 … n) into the tile at column `from`; returns the scale.
static float quantize(ActFormat format, const float *x, int n, int from, int8_t *q, int row) {
    float max = 0;
    for (int i = 0; i < n; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    float inverse = max > ACT_TINY ? 127.0f / max : 0;
    for (int i = 0; i < n; i++) {
        float v = nearbyintf(x[i] * inverse);
        v = v > 127 ? 127 : v; // 127 / max may round up
        v = v > -127 ? v : -127;
        q[act_at(format, from + i, row)] = (int8_t)v;
    }
    return max / 127.0f;
}

static int32_t sum_of(ActFormat format, const int8_t *q, int row, int from, int n) {
    int32_t sum = 0;
    for (int i = from; i < from + n; i++) sum += q[act_at(format, i, row)];
    return sum;
}

// The largest sum of magnitudes over n of 256 columns.
static int32_t peak_of(const int8_t *q, int row, int from, int n) {
    int32_t peak = 0;
    for (int j = from; j < from + 256; j += n) {
        int32_t sum = 0;
        for (int i = j; i < j + n; i++) sum += abs(q[act_at(ACT_Q8_256, i, row)]);
        peak = sum > peak ? sum : peak;
    }
    return peak;
}

void scalar_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row) {
    int8_t *q = tile;
    for (int i = from; i < to; i += 32) {
        int at = i / 32 * ACT_TILE_ROWS + row;
        float scale = quantize(ACT_Q8_32, x + i, 32, i, q, row);
        int32_t sum = sum_of(ACT_Q8_32, q, row, i, 32);
        act_scales(tile, k)[at] = scale;
        act_nsums(ACT_Q8_32, tile, k)[at] = -sum;
        act_ssums(tile, k)[at] = scale * (float)sum;
    }
}

void scalar_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row) {
    int8_t *q = tile;
    int32_t *nsums = act_nsums(ACT_Q8_256, tile, k);
    int16_t *pair16 = act_pair16(tile, k), *pair32 = act_pair32(tile, k);
    for (int i = from; i < to; i += 256) {
        act_scales(tile, k)[i / 256 * ACT_TILE_ROWS + row] = quantize(ACT_Q8_256, x + i, 256, i, q, row);
        act_peak16(tile, k)[i / 256 * ACT_TILE_ROWS + row] = peak_of(q, row, i, 16);
        act_peak32(tile, k)[i / 256 * ACT_TILE_ROWS + row] = peak_of(q, row, i, 32);
        for (int j = i / 16; j < i / 16 + 16; j++) {
            int32_t sum = sum_of(ACT_Q8_256, q, row, 16 * j, 16);
            nsums[ACT_TILE_ROWS * j + row] = -32 * sum;
            pair16[act_pair_at(j, row)] = (int16_t)sum;
        }
        for (int j = i / 32; j < i / 32 + 8; j++)
            pair32[act_pair_at(j, row)] = (int16_t)sum_of(ACT_Q8_256, q, row, 32 * j, 32);
    }
}

void scalar_rms_norm(const float *x, const float *w, float eps, int n, float *y) {
    float squares[16] = {0};
    for (int i = 0; i < n; i++) squares[i % 16] = fmaf(x[i], x[i], squares[i % 16]);
    float scale = 1.0f / sqrtf(scalar_sum16(squares) / (float)n + eps);
    for (int i = 0; i < n; i++) y[i] = x[i] * scale * w[i];
}

static void turn_halves(int n, const float *restrict c, const float *restrict s, float *restrict a,
                        float *restrict b) {
    for (int i = 0; i < n; i++) {
        float x = a[i], y = b[i];
        a[i] = x * c[i] - y * s[i];
        b[i] = x * s[i] + y * c[i];
    }
}

static void turn_neighbours(int n, const float *restrict c, const float *restrict s, float *restrict pairs) {
    for (int i = 0; i < n; i++) {
        float x = pairs[2 * i], y = pairs[2 * i + 1];
        pairs[2 * i] = x * c[i] - y * s[i];
        pairs[2 * i + 1] = x * s[i] + y * c[i];
    }
}

void scalar_rope(float *head, const float *table, int n_pairs, bool halves) {
    const float *c = table, *s = table + n_pairs;
    if (halves)
        turn_halves(n_pairs, c, s, head, head + n_pairs);
    else
        turn_neighbours(n_pairs, c, s, head);
}

void scalar_silu_mul(float *gate, const float *up, int n) {
    for (int i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + exp_scalar(-gate[i])) * up[i];
}

void scalar_gelu_mul(float *gate, const float *up, int n) {
    for (int i = 0; i < n; i++) {
        float z = gate[i] * fmaf(gate[i] * gate[i], GELU_C3, GELU_C1);
        gate[i] = gate[i] / (1.0f + exp_scalar(z)) * up[i];
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
