// Matrix products in plain C: the reference for every other rung, and the last resort of a CPU
// without vectors. Weights stay as the file has them.
#include "kernels/scalar/table.h"

#include "kernels/half.h"
#include "kernels/packed.h"

#include <math.h>
#include <string.h>

size_t scalar_panel_bytes(WeightType type, int k) {
    return (weight_row_bytes(type, k) * PANEL_ROWS + 63) & ~(size_t)63;
}

void scalar_pack(WeightType type, const void *rows, int n_rows, int k, void *panel) {
    size_t used = weight_row_bytes(type, k) * (size_t)n_rows;
    memset(panel, 0, scalar_panel_bytes(type, k));
    memcpy(panel, rows, used);
}

// Sum of w * q over columns [from, from + n) of row `row` of the tile; w = u - offset.
static int32_t dot(ActFormat format, const int16_t *w, const int8_t *q, int row, int from, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += w[i] * q[act_at(format, from + i, row)];
    return sum;
}

static void decode_signed(const WeightFormat *f, const DecodedBlock *b, int16_t *w) {
    for (int i = 0; i < f->block; i++)
        w[i] = (int16_t)((f->codebook ? iq4_values[b->u[i]] : b->u[i]) - f->offset);
}

static int32_t row_sum(const int8_t *q, int row, int from, int n) {
    static const int16_t ones[MAX_BLOCK / MAX_SUBS * 2] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                                           1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    return dot(ACT_Q8_256, ones, q, row, from, n);
}

static float block32(const WeightFormat *f, const DecodedBlock *b, const int16_t *w, const void *tile, int k,
                     int row, int from, float y) {
    int at = from / 32 * ACT_TILE_ROWS + row;
    int32_t sum = dot(ACT_Q8_32, w, tile, row, from, 32);
    y = fmaf((float)sum * act_scales(tile, k)[at], half_to_float(b->d), y);
    return f->has_min ? fmaf(half_to_float(b->dmin), act_ssums(tile, k)[at], y) : y;
}

static float block256(const WeightFormat *f, const DecodedBlock *b, const int16_t *w, const void *tile, int k,
                      int row, int from, float y) {
    int32_t scaled_sum = 0, min_sum = 0;
    for (int j = 0; j < 256 / f->sub; j++) {
        int32_t sum = dot(ACT_Q8_256, w + j * f->sub, tile, row, from + j * f->sub, f->sub);
        scaled_sum += b->scales[j] * sum;
        if (f->has_min) min_sum += b->mins[j] * row_sum(tile, row, from + j * f->sub, f->sub);
    }
    float t = (float)scaled_sum * half_to_float(b->d);
    if (f->has_min) t = fmaf((float)min_sum, -half_to_float(b->dmin), t);
    return fmaf(t, act_scales(tile, k)[from / 256 * ACT_TILE_ROWS + row], y);
}

static const void *tile_of(const GemmArgs *a, ActFormat format, int r) {
    return (const char *)a->acts + (size_t)(r / ACT_TILE_ROWS) * act_tile_bytes(format, a->k);
}

// Adds the product of one weight row with all activation rows to sums[m_group] kept in out.
static void quantized_row(WeightType type, const GemmArgs *a, const uint8_t *weights, int n) {
    const WeightFormat *f = &weight_formats[type];
    DecodedBlock b = {0};
    int16_t w[MAX_BLOCK];
    enum { GROUP = 32 };
    for (int r0 = 0; r0 < a->m; r0 += GROUP) {
        float y[GROUP] = {0};
        int rows = a->m - r0 < GROUP ? a->m - r0 : GROUP;
        for (int from = 0; from < a->k; from += f->block) {
            weight_decode_block(type, weights + (size_t)(from / f->block) * (size_t)f->block_bytes, &b);
            decode_signed(f, &b, w);
            for (int r = 0; r < rows; r++) {
                int row = (r0 + r) % ACT_TILE_ROWS;
                y[r] = f->block == 32
                           ? block32(f, &b, w, tile_of(a, ACT_Q8_32, r0 + r), a->k, row, from, y[r])
                           : block256(f, &b, w, tile_of(a, ACT_Q8_256, r0 + r), a->k, row, from, y[r]);
            }
        }
        for (int r = 0; r < rows; r++) {
            float *out = &a->out[(size_t)(r0 + r) * a->out_stride + (size_t)n];
            *out = a->add ? *out + y[r] : y[r];
        }
    }
}

static void float_row(WeightType type, const GemmArgs *a, const uint8_t *weights, int n) {
    enum { PIECE = 256 };
    for (int r = 0; r < a->m; r++) {
        const float *x = tile_of(a, ACT_F32, r);
        float y = 0, w[PIECE];
        for (int from = 0; from < a->k; from += PIECE) {
            int len = a->k - from < PIECE ? a->k - from : PIECE;
            weight_dequantize_row(type, weights + weight_row_bytes(type, from), len, w);
            for (int i = 0; i < len; i++) y = fmaf(w[i], x[act_at(ACT_F32, from + i, r % ACT_TILE_ROWS)], y);
        }
        float *out = &a->out[(size_t)r * a->out_stride + (size_t)n];
        *out = a->add ? *out + y : y;
    }
}

void scalar_gemm(WeightType type, const GemmArgs *a) {
    const uint8_t *weights = a->weights;
    size_t panel_bytes = scalar_panel_bytes(type, a->k), row_bytes = weight_row_bytes(type, a->k);
    for (int p = a->panel; p < a->panel + a->n_panels; p++)
        for (int i = 0; i < PANEL_ROWS && p * PANEL_ROWS + i < a->n; i++) {
            const uint8_t *row = weights + (size_t)p * panel_bytes + (size_t)i * row_bytes;
            (weight_is_float(type) ? float_row : quantized_row)(type, a, row, p * PANEL_ROWS + i);
        }
}
