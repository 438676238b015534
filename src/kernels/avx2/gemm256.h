// The body of a 256-bit rung's product of quantised weights with int8 activations. A panel is that of the
// wider rungs; its 16 rows are the lanes of two vectors here, its halves.
//
// There are 16 registers. So eight of them hold unpacked weights, a few steps of four columns of both halves,
// and a real loop over the activation rows uses these: a broadcast activation serves both halves, up to 8
// rows share the work of unpacking, and a row's sums come from and go to the first-level cache once in a
// group of steps. (Sums of several rows in registers leave room for one step's weights only, and for 4 rows
// at most.)
//
// What a step is differs. A file that includes this one has defined before, for a format f:
//   is_signed(f)                 whether it wants weights as signed bytes; else they are unsigned
//   steps_that_fit(f)            how many steps a part can take up: 1, 2, 4 or 8
//   add_products(f, part, w, q)  part + the products of a step, weights w and activations q
//   scaled(f, part, factor)      a part in 32 bits, times its sub-block's scale (for blocks of 256)
//   sub_factor(pairs, which)     that scale as `scaled` wants it, for one of two sub-blocks (see scale_pairs)
#ifndef CLLM_KERNELS_AVX2_GEMM256_H
#define CLLM_KERNELS_AVX2_GEMM256_H

#include "kernels/avx2/lanes.h"

// The same for both halves of a panel.
typedef struct Pair {
    __m256i half[2];
} Pair;
typedef struct FloatPair {
    __m256 half[2];
} FloatPair;

// How far apart rows of a tile are.
INLINE int row_step(const Planes f) {
    return act_run(f.block == 32 ? ACT_Q8_32 : ACT_Q8_256);
}

INLINE __m256i field(__m256i v, int from_bit, int to_bit, int bits) {
    int shift = to_bit - from_bit, mask = ((1 << bits) - 1) << to_bit;
    v = shift > 0 ? _mm256_slli_epi16(v, shift) : shift < 0 ? _mm256_srli_epi16(v, -shift) : v;
    return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
}

// Four columns of 8 rows; `chunk` points at the first byte of the half.
INLINE __m256i unpack_step(const Planes f, const uint8_t *chunk, const int s) {
    __m256i w = load(chunk + planes_low_at(f, f.low == 8 ? s : f.low == 4 ? s % 4 : s / 4));
    if (f.low == 4) w = field(w, s / 4 * 4, 0, 4);
    if (f.low == 2) w = field(w, s % 4 * 2, 0, 2);
    if (f.high) {
        __m256i high = load(chunk + planes_high_at(f, f.high == 2 ? s / 4 : 0));
        w = _mm256_or_si256(w, field(high, f.high == 2 ? s % 4 * 2 : s, f.low, f.high));
    }
    if (f.codebook)
        w = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)iq4_values)), w);
    return is_signed(f) ? _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80)) : w;
}

// What is taken off the products of unsigned weights afterwards.
INLINE bool has_offset(const Planes f) {
    return f.offset_shift >= 0 && !is_signed(f);
}

// Adds the products of n steps of a chunk to the sums of one row. A part that they do not fill up is carried
// to the next steps.
INLINE void add_steps(const Planes f, const __m256i w[STEPS][2], const int8_t *q, const int first,
                      const int n, const Pair factor, Pair *carried, Pair *sum) {
    const int run = steps_that_fit(f) < f.sub / 4 ? steps_that_fit(f) : f.sub / 4;
    Pair part = {{_mm256_setzero_si256(), _mm256_setzero_si256()}}, total = *sum;
    if (first % run) part = *carried;
    UNROLL for (int s = first; s < first + n; s++) {
        const __m256i x = broadcast32(q + 4 * s);
        UNROLL for (int h = 0; h < 2; h++) {
            part.half[h] = add_products(f, part.half[h], w[s - first][h], x);
            if ((s + 1) % run) continue;
            total.half[h] = _mm256_add_epi32(total.half[h], scaled(f, part.half[h], factor.half[h]));
            part.half[h] = _mm256_setzero_si256();
        }
    }
    if ((first + n) % run)
        *carried = part;
    else
        *sum = total;
}

// Adds the products of a chunk's 32 columns to the sums of R rows. factors: of its one or two sub-blocks.
INLINE void add_chunk(const Planes f, const int R, const uint8_t *chunk, const int8_t *q, const Pair *factors,
                      Pair sums[MOST_ROWS]) {
    const int n = is_signed(f) ? 2 : 4; // signed weights are wanted in two forms
    Pair carried[MOST_ROWS];
    UNROLL for (int first = 0; first < STEPS; first += n) {
        const Pair factor = factors[4 * first / f.sub];
        __m256i w[STEPS][2];
        UNROLL for (int s = 0; s < n; s++) {
            w[s][0] = unpack_step(f, chunk, first + s);
            w[s][1] = unpack_step(f, chunk + 32, first + s);
        }
        EACH_ROW add_steps(f, w, q + row_step(f) * r, first, n, factor, &carried[r], &sums[r]);
    }
}

// While a panel is being used, its successor is asked for: each tile of rows fetches every n_tiles-th block
// (see the wider rung).
INLINE void prefetch(const uint8_t *p, const int n_bytes) {
    for (int i = 0; i < n_bytes; i += 64) _mm_prefetch((const char *)p + i, _MM_HINT_T1);
}

// A panel, and up to MOST_ROWS rows of a tile of activations.
typedef struct Rows {
    const uint8_t *panel;
    int k;
    int part, n_parts; // of all rows; n_parts is 0 where nothing is to be fetched
    const void *tile;
    int first; // of the tile's rows; what follows points at its first values
    const int8_t *q;
    const float *scales;
    const int32_t *nsums;
} Rows;

// Blocks of 32: the sums start at -offset * (sum of activations), or at 0.
INLINE __m256i sums_start(const Planes f, int32_t nsum) {
    return has_offset(f) ? _mm256_set1_epi32((int32_t)((uint32_t)nsum << f.offset_shift))
                         : _mm256_setzero_si256();
}

INLINE void blocks_of_32(const Planes f, const int R, const Rows t, FloatPair y[MOST_ROWS]) {
    const float *ssums = act_ssums(t.tile, t.k) + t.first;
    const __m256i ones = _mm256_set1_epi16(1);
    for (int b = 0; b < t.k / 32; b++) {
        const uint8_t *chunk = t.panel + planes_chunks_at(f, b);
        const uint16_t *d = (const uint16_t *)(t.panel + planes_head_at(f, b)), *m = d + PANEL_ROWS;
        if (t.n_parts && b % t.n_parts == t.part)
            prefetch(chunk - 64 + planes_panel_bytes(f, t.k), 64 + (int)planes_chunk_bytes(f));
        Pair sums[MOST_ROWS], factor = {{ones, ones}};
        EACH_ROW sums[r].half[0] = sums[r].half[1] = sums_start(f, t.nsums[ACT_TILE_ROWS * b + r]);
        add_chunk(f, R, chunk, t.q + act_at(ACT_Q8_32, 32 * b, 0), &factor, sums);
        UNROLL for (int h = 0; h < 2; h++) {
            __m256 scale = half_lanes(d + 8 * h), minimum = f.has_min ? half_lanes(m + 8 * h) : scale;
            EACH_ROW {
                __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r].half[h]),
                                              _mm256_set1_ps(t.scales[ACT_TILE_ROWS * b + r]));
                __m256 sum = _mm256_fmadd_ps(scaled, scale, y[r].half[h]);
                y[r].half[h] =
                    f.has_min ? _mm256_fmadd_ps(minimum, _mm256_set1_ps(ssums[ACT_TILE_ROWS * b + r]), sum)
                              : sum;
            }
        }
    }
}

// Adds scale * (dot product) of two neighbouring sub-blocks, which are two chunks or one.
INLINE void sub_pair(const Planes f, const int R, const uint8_t *chunk, const uint8_t *scales,
                     const int8_t *q, Pair sums[MOST_ROWS]) {
    const __m256i low = scale_pairs(scales), high = scale_pairs(scales + 16);
    const Pair factors[2] = {{{sub_factor(low, 0), sub_factor(high, 0)}},
                             {{sub_factor(low, 1), sub_factor(high, 1)}}};
    UNROLL for (int c = 0; c < f.sub / 16; c++)
        add_chunk(f, R, chunk + (size_t)c * planes_chunk_bytes(f), q + act_at(ACT_Q8_256, CHUNK * c, 0),
                  factors + c, sums);
}

// The sum over a block's sub-blocks of factor * (sum of activations), two sub-blocks a step.
INLINE __m256i weighted_sum(const int n_pairs, const __m256i factors[8], const int16_t *pairs) {
    __m256i sum = _mm256_setzero_si256();
    UNROLL for (int j = 0; j < n_pairs; j++) {
        sum =
            _mm256_add_epi32(sum, _mm256_madd_epi16(factors[j], broadcast32(pairs + 2 * ACT_TILE_ROWS * j)));
    }
    return sum;
}

// Adds half h of block b to the results, given the scaled sums of its weights: takes off the offset or the
// minima, which both are multiples of the activations' sums.
INLINE void add_block(const Planes f, const int R, const Rows t, int b, const int h,
                      const Pair sums[MOST_ROWS], FloatPair y[MOST_ROWS]) {
    const int n_pairs = 256 / f.sub / 2;
    const int16_t *pairs = (f.sub == 16 ? act_pair16(t.tile, t.k) : act_pair32(t.tile, t.k)) +
                           2 * (ACT_TILE_ROWS * b * n_pairs + t.first);
    const uint16_t *d = (const uint16_t *)(t.panel + planes_head_at(f, b)) + 8 * h, *dmin = d + PANEL_ROWS;
    const uint8_t *at = t.panel + (f.has_min ? planes_mins_at(f, b) : planes_scales_at(f, b)) + 16 * h;
    __m256i factors[8];
    UNROLL for (int j = 0; j < n_pairs; j++) {
        factors[j] = f.has_min ? min_pairs(at + 32 * j) : scale_pairs(at + 32 * j);
    }
    __m256 scale = half_lanes(d), minimum = f.has_min ? half_lanes(dmin) : scale;
    EACH_ROW {
        __m256i sum = sums[r].half[h], more = weighted_sum(n_pairs, factors, pairs + 2 * r);
        if (has_offset(f)) sum = _mm256_sub_epi32(sum, _mm256_slli_epi32(more, f.offset_shift));
        __m256 in_block = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale);
        if (f.has_min) in_block = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(more), minimum, in_block);
        y[r].half[h] =
            _mm256_fmadd_ps(in_block, _mm256_set1_ps(t.scales[ACT_TILE_ROWS * b + r]), y[r].half[h]);
    }
}

INLINE void blocks_of_256(const Planes f, const int R, const Rows t, FloatPair y[MOST_ROWS]) {
    const int pair_chunks = f.sub / 16;
    for (int b = 0; b < t.k / 256; b++) {
        const uint8_t *scales = t.panel + planes_scales_at(f, b), *chunk = t.panel + planes_chunks_at(f, b);
        if (t.n_parts && b % t.n_parts == t.part)
            prefetch(t.panel + planes_head_at(f, b) + planes_panel_bytes(f, t.k), (int)planes_block_bytes(f));
        Pair sums[MOST_ROWS];
        EACH_ROW sums[r].half[0] = sums[r].half[1] = _mm256_setzero_si256();
        _Pragma("GCC unroll 1") for (int j = 0; j < 256 / f.sub / 2; j++) {
            sub_pair(f, R, chunk, scales, t.q + act_at(ACT_Q8_256, 256 * b + 2 * f.sub * j, 0), sums);
            chunk += (size_t)pair_chunks * planes_chunk_bytes(f);
            scales += 32;
        }
        UNROLL for (int h = 0; h < 2; h++) add_block(f, R, t, b, h, sums, y);
    }
}

static inline void store_lanes(const GemmArgs *a, float *out, int n, __m256 y) {
    float lanes[8];
    _mm256_storeu_ps(lanes, y);
    for (int i = 0; i < n; i++) out[i] = a->add ? out[i] + lanes[i] : lanes[i];
}

INLINE void tile_rows(const Planes f, const int R, const GemmArgs *a, const Rows t, int first_row,
                      int panel) {
    FloatPair y[MOST_ROWS];
    EACH_ROW y[r].half[0] = y[r].half[1] = _mm256_setzero_ps();
    if (f.block == 32)
        blocks_of_32(f, R, t, y);
    else
        blocks_of_256(f, R, t, y);
    float *row = a->out + (size_t)first_row * a->out_stride + (size_t)panel * PANEL_ROWS;
    for (int r = 0; r < R; r++, row += a->out_stride) UNROLL for (int h = 0; h < 2; h++) {
            float *out = row + 8 * h;
            int left = a->n - panel * PANEL_ROWS - 8 * h;
            if (left < 8)
                store_lanes(a, out, left, y[r].half[h]);
            else
                _mm256_storeu_ps(out,
                                 a->add ? _mm256_add_ps(_mm256_loadu_ps(out), y[r].half[h]) : y[r].half[h]);
        }
}

INLINE Rows rows_at(const ActFormat act, const GemmArgs *a, const uint8_t *panel, int row) {
    const int first = row % ACT_TILE_ROWS;
    const char *tile = (const char *)a->acts + (size_t)(row / ACT_TILE_ROWS) * act_tile_bytes(act, a->k);
    return (Rows){panel,
                  a->k,
                  row / MOST_ROWS,
                  a->m > 2 ? (a->m + MOST_ROWS - 1) / MOST_ROWS : 0,
                  tile,
                  first,
                  (const int8_t *)tile + act_at(act, 0, first),
                  act_scales(tile, a->k) + first,
                  act_nsums(act, tile, a->k) + first};
}

INLINE void gemm(const Planes f, const GemmArgs *a) {
    for (int p = a->panel; p < a->panel + a->n_panels; p++) {
        const uint8_t *panel = (const uint8_t *)a->weights + (size_t)p * planes_panel_bytes(f, a->k);
        for (int row = 0; row < a->m; row += MOST_ROWS) {
            const Rows t = rows_at(f.block == 32 ? ACT_Q8_32 : ACT_Q8_256, a, panel, row);
            int rows = a->m - row < MOST_ROWS ? a->m - row : MOST_ROWS;
            if (rows == 1) // its sums stay in registers
                tile_rows(f, 1, a, t, row, p);
            else
                tile_rows(f, rows, a, t, row, p);
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
