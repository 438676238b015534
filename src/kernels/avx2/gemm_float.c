// Products of float weights (F32, F16, BF16) with float activations, 8 weight rows in the lanes.
#include "kernels/avx2/table.h"

#include "kernels/packed.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { MOST_ROWS = 8 }; // activation rows that share a load of weights

INLINE __m256 weights(WeightType type, const void *panel, int col, int half) {
    ptrdiff_t at = 16 * (ptrdiff_t)col + 8 * half;
    if (type == WEIGHT_F32) return _mm256_loadu_ps((const float *)panel + at);
    __m128i bits = _mm_loadu_si128((const __m128i *)((const uint16_t *)panel + at));
    if (type == WEIGHT_F16) return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

INLINE void tile_rows(WeightType type, const int R, const GemmArgs *a, const void *panel, int half,
                      const float *x, float *out, int n) {
    __m256 y[MOST_ROWS];
    UNROLL for (int r = 0; r < R; r++) y[r] = _mm256_setzero_ps();
    for (int i = 0; i < a->k; i++) {
        __m256 w = weights(type, panel, i, half);
        const float *column = x + act_at(ACT_F32, i, 0);
        UNROLL for (int r = 0; r < R; r++) y[r] =
            _mm256_fmadd_ps(w, _mm256_set1_ps(column[r * act_run(ACT_F32)]), y[r]);
    }
    UNROLL for (int r = 0; r < R; r++, out += a->out_stride) {
        float lanes[8];
        _mm256_storeu_ps(lanes, y[r]);
        for (int i = 0; i < 8 && i < n; i++) out[i] = a->add ? out[i] + lanes[i] : lanes[i];
    }
}

INLINE void half_panel(WeightType type, const GemmArgs *a, const void *panel, int first_n, int half) {
    float *out = a->out + first_n;
    int n = a->n - first_n;
    for (int row = 0; row < a->m; row += MOST_ROWS, out += MOST_ROWS * a->out_stride) {
        size_t tile = (size_t)(row / ACT_TILE_ROWS) * act_tile_bytes(ACT_F32, a->k) / 4;
        const float *x = (const float *)a->acts + tile + act_at(ACT_F32, 0, row % ACT_TILE_ROWS);
        switch (a->m - row) {
        case 1: tile_rows(type, 1, a, panel, half, x, out, n); break;
        case 2: tile_rows(type, 2, a, panel, half, x, out, n); break;
        case 3: tile_rows(type, 3, a, panel, half, x, out, n); break;
        case 4: tile_rows(type, 4, a, panel, half, x, out, n); break;
        case 5: tile_rows(type, 5, a, panel, half, x, out, n); break;
        case 6: tile_rows(type, 6, a, panel, half, x, out, n); break;
        case 7: tile_rows(type, 7, a, panel, half, x, out, n); break;
        default: tile_rows(type, 8, a, panel, half, x, out, n); break;
        }
    }
}

INLINE void gemm(WeightType type, const GemmArgs *a) {
    const size_t panel_bytes = packed_panel_bytes(type, a->k);
    for (int p = a->panel; p < a->panel + a->n_panels; p++)
        for (int half = 0; half < 2; half++) {
            int first_n = p * PANEL_ROWS + 8 * half;
            if (first_n < a->n)
                half_panel(type, a, (const char *)a->weights + (size_t)p * panel_bytes, first_n, half);
        }
}

void avx2_gemm_float(WeightType type, const GemmArgs *a) {
    if (type == WEIGHT_F32) gemm(WEIGHT_F32, a);
    if (type == WEIGHT_F16) gemm(WEIGHT_F16, a);
    if (type == WEIGHT_BF16) gemm(WEIGHT_BF16, a);
}
