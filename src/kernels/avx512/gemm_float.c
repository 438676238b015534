// Products of float weights (F32, F16, BF16) with float activations, 16 weight rows in the lanes.
#include "kernels/avx512/table.h"

#include "kernels/packed.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { MOST_ROWS = 8 }; // activation rows that share a load of weights

INLINE __m512 weights(WeightType type, const void *panel, int col) {
    if (type == WEIGHT_F32) return _mm512_loadu_ps((const float *)panel + 16 * (ptrdiff_t)col);
    __m256i bits = _mm256_loadu_si256((const __m256i *)((const uint16_t *)panel + 16 * (ptrdiff_t)col));
    if (type == WEIGHT_F16) return _mm512_cvtph_ps(bits);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

INLINE void tile_rows(WeightType type, const int R, const GemmArgs *a, const void *panel, const float *x,
                      float *out, __mmask16 mask) {
    __m512 y[MOST_ROWS];
    UNROLL for (int r = 0; r < R; r++) y[r] = _mm512_setzero_ps();
    for (int i = 0; i < a->k; i++) {
        __m512 w = weights(type, panel, i);
        const float *column = x + act_at(ACT_F32, i, 0);
        UNROLL for (int r = 0; r < R; r++) y[r] =
            _mm512_fmadd_ps(w, _mm512_set1_ps(column[r * act_run(ACT_F32)]), y[r]);
    }
    UNROLL for (int r = 0; r < R; r++, out += a->out_stride) {
        __m512 v = a->add ? _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), y[r]) : y[r];
        _mm512_mask_storeu_ps(out, mask, v);
    }
}

INLINE void gemm(WeightType type, const GemmArgs *a) {
    const size_t panel_bytes = packed_panel_bytes(type, a->k),
                 tile_floats = act_tile_bytes(ACT_F32, a->k) / 4;
    for (int p = a->panel; p < a->panel + a->n_panels; p++) {
        const void *panel = (const char *)a->weights + (size_t)p * panel_bytes;
        int left = a->n - p * PANEL_ROWS;
        __mmask16 mask = left >= PANEL_ROWS ? (__mmask16)0xFFFF : (__mmask16)((1u << left) - 1);
        float *out = a->out + (size_t)p * PANEL_ROWS;
        for (int row = 0; row < a->m; row += MOST_ROWS, out += MOST_ROWS * a->out_stride) {
            const float *tile = (const float *)a->acts + (size_t)(row / ACT_TILE_ROWS) * tile_floats;
            const float *x = tile + act_at(ACT_F32, 0, row % ACT_TILE_ROWS);
            switch (a->m - row) {
            case 1: tile_rows(type, 1, a, panel, x, out, mask); break;
            case 2: tile_rows(type, 2, a, panel, x, out, mask); break;
            case 3: tile_rows(type, 3, a, panel, x, out, mask); break;
            case 4: tile_rows(type, 4, a, panel, x, out, mask); break;
            case 5: tile_rows(type, 5, a, panel, x, out, mask); break;
            case 6: tile_rows(type, 6, a, panel, x, out, mask); break;
            case 7: tile_rows(type, 7, a, panel, x, out, mask); break;
            default: tile_rows(type, 8, a, panel, x, out, mask); break;
            }
        }
    }
}

void avx512_gemm_float(WeightType type, const GemmArgs *a) {
    if (type == WEIGHT_F32) gemm(WEIGHT_F32, a);
    if (type == WEIGHT_F16) gemm(WEIGHT_F16, a);
    if (type == WEIGHT_BF16) gemm(WEIGHT_BF16, a);
}
