// The body of a 512-bit rung's product of quantised weights with int8 activations: 16 weight rows in the
// lanes of a vector.
//
// One vector of unpacked weights holds four consecutive columns of 16 rows as bytes. A step multiplies it
// with four activations of one row, broadcast from the tile, and adds the four products to the row's 32-bit
// sums. So 16 weight rows advance at once, no sum ever crosses lanes, and each unpacked vector serves up to 8
// activation rows from registers. An offset costs nothing: the sums start at -offset times the activations'
// own sum.
//
// The functions below are written once and inlined for each format and number of rows, with both
// known at compile time; docs/kernels.md shows what the inner loop compiles to.
//
// What a step is differs. A file that includes this one has defined before:
//   is_signed(f)               whether it wants a format's weights as signed bytes; else they are unsigned
//   add_steps(f, R, w, q, from, n, dots)
//                              adds the products of steps [from, from + n) to the sums of R rows
//   dot2(sums, a, b)           sums + the products of pairs of 16 bits
#ifndef CLLM_KERNELS_AVX512_GEMM512_H
#define CLLM_KERNELS_AVX512_GEMM512_H

#include "kernels/avx512/panel512.h"

// Where the sums of sub-block `at` start: -offset * (sum of activations), or 0. The tile holds -1 times
// the sums of 32 for blocks of 32, -32 times the sums of 16 for blocks of 256 (acts.h).
INLINE __m512i sums_start(const Planes f, const int32_t *nsums, int at, int row) {
    if (f.offset_shift < 0 || is_signed(f)) return _mm512_setzero_si512();
    const int shift = f.block == 256 ? f.offset_shift - 5 : f.offset_shift;
    __m512i sum = _mm512_set1_epi32(nsums[ACT_TILE_ROWS * at + row]);
    if (f.block == 256 && f.sub == 32)
        sum = _mm512_add_epi32(sum, _mm512_set1_epi32(nsums[ACT_TILE_ROWS * (at + 1) + row]));
    return shift > 0   ? _mm512_slli_epi32(sum, (unsigned)shift)
           : shift < 0 ? _mm512_srai_epi32(sum, (unsigned)-shift)
                       : sum;
}

// A panel, and up to MOST_ROWS rows of a tile of activations.
typedef struct Rows {
    const uint8_t *panel;
    int k;
    const void *tile;
    int first; // of the tile's rows; what follows points at its first values
    const int8_t *q;
    const float *scales;
    const int32_t *nsums;
    int part, n_parts; // of all rows
} Rows;

INLINE void blocks_of_32(const Planes f, const int R, const Rows t, Ahead *ahead, __m512 y[MOST_ROWS]) {
    const float *ssums = act_ssums(t.tile, t.k) + t.first;
    for (int b = 0; b < t.k / 32; b++) {
        const uint8_t *chunk = t.panel + planes_chunks_at(f, b);
        const uint16_t *d = (const uint16_t *)(t.panel + planes_head_at(f, b)), *m = d + PANEL_ROWS;
        __m512i w[STEPS];
        if (R > 2 && b % t.n_parts == t.part)
            prefetch(chunk + planes_panel_bytes(f, t.k) - 64, (f.low + f.high + 1) * 64);
        if (R > 2) fetch_ahead(ahead);
        unpack_chunk(f, is_signed(f), chunk, w);
        __m512 scale = half_lanes(d);
        const int8_t *q = t.q + act_at(ACT_Q8_32, 32 * b, 0);
        UNROLL for (int r = 0; r < R; r++) {
            __m512i sum = sums_start(f, t.nsums, b, r);
            add_steps(f, 1, w, q + row_step(f) * r, 0, STEPS, &sum);
            __m512 scaled =
                _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(t.scales[ACT_TILE_ROWS * b + r]));
            y[r] = _mm512_fmadd_ps(scaled, scale, y[r]);
        }
        if (!f.has_min) continue;
        __m512 minimum = half_lanes(m);
        UNROLL for (int r = 0; r < R; r++) y[r] =
            _mm512_fmadd_ps(minimum, _mm512_set1_ps(ssums[ACT_TILE_ROWS * b + r]), y[r]);
    }
}

// The dot products of sub-block j of a chunk's; c is the chunk in the tile's whole row.
INLINE void sub_dots(const Planes f, const int R, const Rows t, const __m512i w[STEPS], int c, const int j,
                     __m512i dots[MOST_ROWS]) {
    const int8_t *q = t.q + act_at(ACT_Q8_256, CHUNK * c, 0);
    const int steps = f.sub / 4;
    UNROLL for (int r = 0; r < R; r++) dots[r] = sums_start(f, t.nsums, c * 2 + j, r);
    add_steps(f, R, w, q, j * steps, steps, dots);
}

// Adds scale * (dot product) of two sub-blocks, exactly. Multiplications are what limits this loop, and
// where both dot products fit into 16 bits, one does for two.
INLINE void add_scaled(const int R, const bool fits, const uint8_t *scales, const __m512i first[MOST_ROWS],
                       const __m512i second[MOST_ROWS], __m512i sums[MOST_ROWS]) {
    __m512i pairs = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)scales));
    if (fits) {
        UNROLL for (int r = 0; r < R; r++) {
            __m512i both = _mm512_mask_blend_epi16(0xAAAAAAAA, first[r], _mm512_slli_epi32(second[r], 16));
            sums[r] = dot2(sums[r], both, pairs);
        }
        return;
    }
    __m512i a = _mm512_srai_epi32(_mm512_slli_epi32(pairs, 16), 16), b = _mm512_srai_epi32(pairs, 16);
    UNROLL for (int r = 0; r < R; r++) {
        sums[r] = _mm512_add_epi32(sums[r], _mm512_mullo_epi32(first[r], a));
        sums[r] = _mm512_add_epi32(sums[r], _mm512_mullo_epi32(second[r], b));
    }
}

// Two neighbouring sub-blocks of a block of 256: two chunks, or one. c is the first chunk in the tile's
// whole row.
INLINE void sub_pair(const Planes f, const int R, const bool fits, const Rows t, const uint8_t *chunk,
                     const uint8_t *scales, int c, bool fetch, __m512i sums[MOST_ROWS]) {
    const int n_bytes = (int)planes_chunk_bytes(f), n_chunks = f.sub / 16;
    __m512i w[STEPS], first[MOST_ROWS], second[MOST_ROWS];
    if (fetch) prefetch(chunk + planes_panel_bytes(f, t.k), n_bytes * n_chunks);
    unpack_chunk(f, is_signed(f), chunk, w);
    sub_dots(f, R, t, w, c, 0, first);
    if (n_chunks == 2) unpack_chunk(f, is_signed(f), chunk + n_bytes, w);
    sub_dots(f, R, t, w, c + n_chunks - 1, 2 - n_chunks, second);
    add_scaled(R, fits, scales, first, second, sums);
}

// t -= dmin * (sum over sub-blocks of minimum times activation sum), two sub-blocks a step.
INLINE void subtract_minima(const Planes f, const int R, const int16_t *pairs, const uint8_t *mins,
                            __m512 dmin, __m512 t[MOST_ROWS]) {
    __m512i sums[MOST_ROWS];
    UNROLL for (int r = 0; r < R; r++) sums[r] = _mm512_setzero_si512();
    UNROLL for (int j = 0; j < 256 / f.sub / 2; j++) {
        __m512i m = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(mins + 32 * j)));
        UNROLL for (int r = 0; r < R; r++) sums[r] =
            dot2(sums[r], m, broadcast32(pairs + 2 * (ACT_TILE_ROWS * j + r)));
    }
    UNROLL for (int r = 0; r < R; r++) t[r] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(sums[r]), dmin, t[r]);
}

// Whether all dot products of the rows with sub-blocks of block b fit into 16 bits: |w| is at most the
// offset or the largest integer, and the tile knows the largest sum of |q|.
INLINE bool dots_fit(const Planes f, const int R, const Rows t, int b) {
    const int most = f.offset_shift >= 0 ? 1 << f.offset_shift : (1 << (f.low + f.high)) - 1;
    const int32_t *peaks = (f.sub == 16 ? act_peak16(t.tile, t.k) : act_peak32(t.tile, t.k));
    __mmask8 over =
        _mm256_cmpgt_epi32_mask(_mm256_loadu_si256((const __m256i *)(peaks + ACT_TILE_ROWS * b + t.first)),
                                _mm256_set1_epi32(INT16_MAX / most));
    return (over & ((1 << R) - 1)) == 0;
}

// The scaled integer sums of a block: its first chunk is at `chunk`.
INLINE void block_sums(const Planes f, const int R, const bool fits, const Rows t, int b, bool fetch,
                       Ahead *ahead, __m512i sums[MOST_ROWS]) {
    const int n_pairs = 256 / f.sub / 2, n_chunks = f.sub / 16; // chunks of a pair
    const uint8_t *chunk = t.panel + planes_chunks_at(f, b), *scales = t.panel + planes_scales_at(f, b);
    UNROLL for (int r = 0; r < R; r++) sums[r] = _mm512_setzero_si512();
    _Pragma("GCC unroll 1") for (int j = 0; j < n_pairs; j++) {
        if (R > 2) fetch_ahead(ahead);
        sub_pair(f, R, fits, t, chunk, scales + 32 * j, 8 * b + n_chunks * j, fetch, sums);
        chunk += (size_t)n_chunks * planes_chunk_bytes(f);
    }
}

INLINE void blocks_of_256(const Planes f, const int R, const Rows t, Ahead *ahead, __m512 y[MOST_ROWS]) {
    const int n_blocks = t.k / 256, n_pairs = 256 / f.sub / 2;
    const int16_t *pairs = (f.sub == 16 ? act_pair16(t.tile, t.k) : act_pair32(t.tile, t.k)) + 2 * t.first;
    for (int b = 0; b < n_blocks; b++) {
        const uint8_t *block = t.panel + planes_head_at(f, b);
        const uint16_t *d = (const uint16_t *)block, *dmin = d + PANEL_ROWS;
        __m512i sums[MOST_ROWS];
        __m512 in_block[MOST_ROWS];
        const bool fetch = R > 2 && b % t.n_parts == t.part;
        if (fetch) prefetch(block + planes_panel_bytes(f, t.k), (int)(64 + planes_scale_bytes(f)));
        if (dots_fit(f, R, t, b))
            block_sums(f, R, true, t, b, fetch, ahead, sums);
        else
            block_sums(f, R, false, t, b, fetch, ahead, sums);
        if (fetch && f.has_min)
            prefetch(t.panel + planes_mins_at(f, b) + planes_panel_bytes(f, t.k), (int)planes_scale_bytes(f));
        __m512 scale = half_lanes(d);
        UNROLL for (int r = 0; r < R; r++) in_block[r] = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r]), scale);
        if (f.has_min)
            subtract_minima(f, R, pairs + (ptrdiff_t)b * n_pairs * 2 * ACT_TILE_ROWS,
                            t.panel + planes_mins_at(f, b), half_lanes(dmin), in_block);
        UNROLL for (int r = 0; r < R; r++) y[r] =
            _mm512_fmadd_ps(in_block[r], _mm512_set1_ps(t.scales[ACT_TILE_ROWS * b + r]), y[r]);
    }
}

INLINE void store_rows(const GemmArgs *a, const int R, int first_row, int panel, const __m512 y[MOST_ROWS]) {
    const __mmask16 mask = panel_lanes(a, panel);
    UNROLL for (int r = 0; r < R; r++) store_row(a, first_row + r, panel, mask, y[r]);
}

INLINE void tile_rows(const Planes f, const int R, const GemmArgs *a, const Rows t, Ahead *ahead,
                      int first_row, int panel) {
    __m512 y[MOST_ROWS];
    UNROLL for (int r = 0; r < R; r++) y[r] = _mm512_setzero_ps();
    if (f.block == 32)
        blocks_of_32(f, R, t, ahead, y);
    else
        blocks_of_256(f, R, t, ahead, y);
    store_rows(a, R, first_row, panel, y);
}

INLINE Rows rows_at(const ActFormat act, const GemmArgs *a, const uint8_t *panel, int row) {
    const int first = row % ACT_TILE_ROWS;
    const char *tile = (const char *)a->acts + (size_t)(row / ACT_TILE_ROWS) * act_tile_bytes(act, a->k);
    return (Rows){panel,
                  a->k,
                  tile,
                  first,
                  (const int8_t *)tile + act_at(act, 0, first),
                  act_scales(tile, a->k) + first,
                  act_nsums(act, tile, a->k) + first,
                  row / MOST_ROWS,
                  (a->m + MOST_ROWS - 1) / MOST_ROWS};
}

// All panels of a task; for each, all rows while the panel is in the first-level cache.
INLINE void gemm(const Planes f, const GemmArgs *a) {
    const int n_parts = (a->m + MOST_ROWS - 1) / MOST_ROWS;
    const int n_chunks = a->n_panels * n_parts * (a->k / (f.block == 32 ? 32 : 2 * f.sub));
    Ahead ahead = ahead_new(a, n_chunks);
    for (int p = a->panel; p < a->panel + a->n_panels; p++) {
        const uint8_t *panel = (const uint8_t *)a->weights + (size_t)p * planes_panel_bytes(f, a->k);
        for (int row = 0; row < a->m; row += MOST_ROWS) {
            const Rows t = rows_at(f.block == 32 ? ACT_Q8_32 : ACT_Q8_256, a, panel, row);
            switch (a->m - row) {
            case 1: tile_rows(f, 1, a, t, &ahead, row, p); break;
            case 2: tile_rows(f, 2, a, t, &ahead, row, p); break;
            case 3: tile_rows(f, 3, a, t, &ahead, row, p); break;
            case 4: tile_rows(f, 4, a, t, &ahead, row, p); break;
            case 5: tile_rows(f, 5, a, t, &ahead, row, p); break;
            case 6: tile_rows(f, 6, a, t, &ahead, row, p); break;
            case 7: tile_rows(f, 7, a, t, &ahead, row, p); break;
            default: tile_rows(f, 8, a, t, &ahead, row, p); break;
            }
        }
    }
}

INLINE void gemm_quant(WeightType type, const GemmArgs *a) {
    switch (type) {
    case WEIGHT_Q8_0: gemm(PLANES_Q8_0, a); break;
    case WEIGHT_Q4_0: gemm(PLANES_Q4_0, a); break;
    case WEIGHT_Q4_1: gemm(PLANES_Q4_1, a); break;
    case WEIGHT_Q5_0: gemm(PLANES_Q5_0, a); break;
    case WEIGHT_Q5_1: gemm(PLANES_Q5_1, a); break;
    case WEIGHT_IQ4_NL: gemm(PLANES_IQ4_NL, a); break;
    case WEIGHT_Q2_K: gemm(PLANES_Q2_K, a); break;
    case WEIGHT_Q3_K: gemm(PLANES_Q3_K, a); break;
    case WEIGHT_Q4_K: gemm(PLANES_Q4_K, a); break;
    case WEIGHT_Q5_K: gemm(PLANES_Q5_K, a); break;
    case WEIGHT_Q6_K: gemm(PLANES_Q6_K, a); break;
    case WEIGHT_IQ4_XS: gemm(PLANES_IQ4_XS, a); break;
    default: break;
    }
}

#endif
