// Products of float weights (F32, F16, BF16) with float activations: 4 weight rows in the lanes of a vector.
//
// 16 registers of sums are enough to hide the latency of a multiply-add and leave room for operands: up to
// 4 activation rows take all four vectors of weight rows together, more take two at a time. Then a panel is
// walked twice, in strips, so that the second walk finds each strip in the first-level cache.
#include "kernels/neon/table.h"

#include "kernels/packed.h"

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { STRIP = 256, GROUPS = 4 }; // columns; vectors of 4 weight rows

// Column `col` of the 4 weight rows from 4 * group on.
INLINE float32x4_t weights(WeightType type, const void *panel, int col, int group) {
    ptrdiff_t at = 16 * (ptrdiff_t)col + 4 * group;
    if (type == WEIGHT_F32) return vld1q_f32((const float *)panel + at);
    uint16x4_t bits = vld1_u16((const uint16_t *)panel + at);
    if (type == WEIGHT_F16) return vcvt_f32_f16(vreinterpret_f16_u16(bits));
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

// Adds the products of columns [from, to) with R rows to G vectors of sums a row.
INLINE void strip_rows(WeightType type, const int R, const int G, const void *panel, const float *x, int from,
                       int to, int group, float y[][PANEL_ROWS]) {
    float32x4_t sums[ACT_TILE_ROWS][GROUPS];
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int g = 0; g < G; g++) {
        sums[r][g] = vld1q_f32(&y[r][4 * (group + g)]);
    }
    for (int i = from; i < to; i++) {
        float32x4_t low = vld1q_f32(x + 8 * (ptrdiff_t)i),
                    high = R > 4 ? vld1q_f32(x + 8 * (ptrdiff_t)i + 4) : low;
        UNROLL for (int g = 0; g < G; g++) {
            float32x4_t w = weights(type, panel, i, group + g);
            UNROLL for (int r = 0; r < R; r++) {
                sums[r][g] = vfmaq_n_f32(sums[r][g], w, (r < 4 ? low : high)[r % 4]);
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int g = 0; g < G; g++)
        vst1q_f32(&y[r][4 * (group + g)], sums[r][g]);
}

INLINE void tile_rows(WeightType type, const int R, const GemmArgs *a, const void *panel, const float *x,
                      float *out, int n) {
    const int G = R <= 4 ? 4 : 2;
    float y[ACT_TILE_ROWS][PANEL_ROWS] = {0};
    for (int from = 0; from < a->k; from += STRIP) {
        int to = a->k - from < STRIP ? a->k : from + STRIP;
        _Pragma("GCC unroll 1") for (int group = 0; group < GROUPS; group += G)
            strip_rows(type, R, G, panel, x, from, to, group, y);
    }
    for (int r = 0; r < R; r++, out += a->out_stride)
        for (int i = 0; i < n; i++) out[i] = a->add ? out[i] + y[r][i] : y[r][i];
}

INLINE void gemm(WeightType type, const GemmArgs *a) {
    const size_t panel_bytes = packed_panel_bytes(type, a->k),
                 tile_floats = act_tile_bytes(ACT_F32, a->k) / 4;
    for (int p = a->panel; p < a->panel + a->n_panels; p++) {
        const void *panel = (const char *)a->weights + (size_t)p * panel_bytes;
        int left = a->n - p * PANEL_ROWS, n = left < PANEL_ROWS ? left : PANEL_ROWS;
        const float *x = a->acts;
        float *out = a->out + (size_t)p * PANEL_ROWS;
        for (int row = 0; row < a->m; row += ACT_TILE_ROWS) {
            switch (a->m - row) {
            case 1: tile_rows(type, 1, a, panel, x, out, n); break;
            case 2: tile_rows(type, 2, a, panel, x, out, n); break;
            case 3: tile_rows(type, 3, a, panel, x, out, n); break;
            case 4: tile_rows(type, 4, a, panel, x, out, n); break;
            case 5: tile_rows(type, 5, a, panel, x, out, n); break;
            case 6: tile_rows(type, 6, a, panel, x, out, n); break;
            case 7: tile_rows(type, 7, a, panel, x, out, n); break;
            default: tile_rows(type, 8, a, panel, x, out, n); break;
            }
            x += tile_floats;
            out += ACT_TILE_ROWS * a->out_stride;
        }
    }
}

void neon_gemm_float(WeightType type, const GemmArgs *a) {
    if (type == WEIGHT_F32) gemm(WEIGHT_F32, a);
    if (type == WEIGHT_F16) gemm(WEIGHT_F16, a);
    if (type == WEIGHT_BF16) gemm(WEIGHT_BF16, a);
}
