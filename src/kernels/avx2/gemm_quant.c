// Products of quantised weights with int8 activations: 8 weight rows in the lanes of a vector.
//
// The panels are those of the wider rung; each is walked twice, rows 0-7 and rows 8-15. Without
// vpdpbusd a step of four columns is vpmaddubsw (unsigned weights × signed activations, pairs added
// to 16 bits, which saturate) and, before 16 bits could overflow, vpmaddwd with ones to 32 bits.
// Unsigned weights of b bits allow 32767 / (2 × 127 × (2^b - 1)) steps in 16 bits: eight for 4 bits,
// four for 5, two for 6. Full bytes (Q8_0 and the codebooks) do not fit even once; they are taken as
// signed, |w| × sign(w) q, which does fit, and then need no offset.
#include "kernels/avx2/table.h"

#include "kernels/packed.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { STEPS = 8, ROWS = 4 }; // steps of four columns in a chunk; activation rows in registers

INLINE __m256i load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE __m256i field(__m256i v, int from_bit, int to_bit, int bits) {
    int shift = to_bit - from_bit, mask = ((1 << bits) - 1) << to_bit;
    v = shift > 0 ? _mm256_slli_epi16(v, shift) : shift < 0 ? _mm256_srli_epi16(v, -shift) : v;
    return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));
}

INLINE int is_signed(const Planes f) {
    return f.low == 8 || f.codebook;
}

// Four columns of 8 rows: unsigned bytes, or signed ones (is_signed). `chunk` points at the half.
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

INLINE __m256i broadcast32(const void *p) {
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

INLINE __m256i products(const Planes f, __m256i w, __m256i q) {
    if (is_signed(f)) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
    return _mm256_maddubs_epi16(w, q);
}

INLINE int steps_in_16_bits(const Planes f) {
    int bits = f.low + f.high;
    return is_signed(f) ? 1 : bits <= 4 ? 8 : bits == 5 ? 4 : 2;
}

// Adds `factor` times the products of steps [from, from + n) to the 32-bit sums. The factor (ones, or a
// sub-block's scale, twice in 16 bits for each row) comes with the widening for nothing.
INLINE void add_steps(const Planes f, const int R, const uint8_t *chunk, const int8_t *q, const int from, const int n,
                      __m256i factor, __m256i sums[ROWS]) {
    const int run = steps_in_16_bits(f) < n ? steps_in_16_bits(f) : n;
    UNROLL for (int first = from; first < from + n; first += run) {
        __m256i part[ROWS];
        UNROLL for (int s = first; s < first + run; s++) {
            __m256i w = unpack_step(f, chunk, s);
            UNROLL for (int r = 0; r < R; r++) {
                __m256i p = products(f, w, broadcast32(q + 32 * s + 4 * r));
                part[r] = s == first ? p : _mm256_add_epi16(part[r], p);
            }
        }
        UNROLL for (int r = 0; r < R; r++) sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(part[r], factor));
    }
}

// Blocks of 32: the sums start at -offset * (sum of activations), or at 0.
INLINE __m256i sums_start(const Planes f, const int32_t *nsums, int at, int row) {
    if (f.offset_shift < 0 || is_signed(f)) return _mm256_setzero_si256();
    return _mm256_set1_epi32((int32_t)((uint32_t)nsums[8 * at + row] << f.offset_shift));
}

INLINE __m256 half_lanes(const uint16_t *h) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
}

// While a panel is being used, its successor is asked for: each group of rows fetches every n_groups-th
// block on the first walk (see the wider rung).
INLINE void prefetch(const uint8_t *p, const int n_bytes) {
    for (int i = 0; i < n_bytes; i += 64) _mm_prefetch((const char *)p + i, _MM_HINT_T1);
}

// One half panel and R activation rows from `row` of a tile. q points at the row's bytes.
typedef struct Tile {
    const uint8_t *panel;
    int half, k, row;
    int group, n_groups; // of rows; n_groups is 0 where nothing is to be fetched
    const int8_t *q;
    const float *scales;
    const int32_t *nsums;
    const void *base;
} Tile;

INLINE void blocks_of_32(const Planes f, const int R, const Tile t, __m256 y[ROWS]) {
    const float *ssums = act_ssums(t.base, t.k);
    for (int b = 0; b < t.k / 32; b++) {
        const uint8_t *chunk = t.panel + planes_chunks_at(f, b) + 32 * t.half;
        const uint16_t *d = (const uint16_t *)(t.panel + planes_head_at(f, b)) + 8 * t.half, *m = d + PANEL_ROWS;
        if (t.n_groups && b % t.n_groups == t.group)
            prefetch(chunk - 64 + planes_panel_bytes(f, t.k), 64 + (int)planes_chunk_bytes(f));
        __m256i sums[ROWS];
        UNROLL for (int r = 0; r < R; r++) sums[r] = sums_start(f, t.nsums, b, t.row + r);
        add_steps(f, R, chunk, t.q + 256 * (ptrdiff_t)b, 0, STEPS, _mm256_set1_epi16(1), sums);
        __m256 scale = half_lanes(d);
        UNROLL for (int r = 0; r < R; r++) {
            __m256 scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r]), _mm256_set1_ps(t.scales[8 * b + t.row + r]));
            y[r] = _mm256_fmadd_ps(scaled, scale, y[r]);
        }
        if (!f.has_min) continue;
        __m256 minimum = half_lanes(m);
        UNROLL for (int r = 0; r < R; r++)
            y[r] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(ssums[8 * b + t.row + r]), y[r]);
    }
}

// The scales of two neighbouring sub-blocks for 8 rows, in 16 bits, and those of one of them, twice.
INLINE __m256i scale_pairs(const uint8_t *scales) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)scales));
}
INLINE __m256i scale_twice(__m256i pairs, const int which) {
    if (which) return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(pairs, 0xF5), 0xF5);
    return _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(pairs, 0xA0), 0xA0);
}

// Adds scale * (dot product of the unsigned or signed weights) of two neighbouring sub-blocks to the
// sums; c is the chunk of the tile's whole row where they begin.
INLINE void sub_pair(const Planes f, const int R, const Tile t, const uint8_t *chunk, const uint8_t *scales, int c,
                     __m256i sums[ROWS]) {
    const __m256i pairs = scale_pairs(scales);
    const int steps = f.sub / 4;
    UNROLL for (int j = 0; j < 2; j++) {
        const int at = f.sub == 32 ? j : 0; // the chunk
        add_steps(f, R, chunk + (size_t)at * planes_chunk_bytes(f), t.q + 256 * (ptrdiff_t)(c + at),
                  f.sub == 32 ? 0 : j * steps, steps, scale_twice(pairs, j), sums);
    }
}

// The sums over a block's sub-blocks of factor * (sum of activations), two sub-blocks a step.
INLINE void weighted_sums(const int R, const int n_pairs, const int16_t *pairs, int row, const uint8_t *factors,
                          const bool are_mins, __m256i sums[ROWS]) {
    UNROLL for (int r = 0; r < R; r++) sums[r] = _mm256_setzero_si256();
    UNROLL for (int j = 0; j < n_pairs; j++) {
        __m256i m = are_mins ? _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(factors + 32 * j)))
                             : scale_pairs(factors + 32 * j);
        UNROLL for (int r = 0; r < R; r++) {
            __m256i p = _mm256_madd_epi16(m, broadcast32(pairs + 16 * j + 2 * (row + r)));
            sums[r] = _mm256_add_epi32(sums[r], p);
        }
    }
}

INLINE void blocks_of_256(const Planes f, const int R, const Tile t, __m256 y[ROWS]) {
    const int n_blocks = t.k / 256, n_pairs = 256 / f.sub / 2;
    const int16_t *pairs = f.sub == 16 ? act_pair16(t.base, t.k) : act_pair32(t.base, t.k);
    for (int b = 0; b < n_blocks; b++, pairs += n_pairs * 16) {
        const uint16_t *d = (const uint16_t *)(t.panel + planes_head_at(f, b)) + 8 * t.half, *dmin = d + PANEL_ROWS;
        const uint8_t *scales = t.panel + planes_scales_at(f, b) + 16 * t.half;
        if (t.n_groups && b % t.n_groups == t.group)
            prefetch(t.panel + planes_head_at(f, b) + planes_panel_bytes(f, t.k), (int)planes_block_bytes(f));
        __m256i sums[ROWS], more[ROWS];
        __m256 in_block[ROWS], scale = half_lanes(d);
        UNROLL for (int r = 0; r < R; r++) sums[r] = _mm256_setzero_si256();
        const uint8_t *chunk = t.panel + planes_chunks_at(f, b) + 32 * t.half;
        const int pair_chunks = f.sub / 16;
        _Pragma("GCC unroll 1") for (int j = 0; j < n_pairs; j++, chunk += pair_chunks * planes_chunk_bytes(f))
            sub_pair(f, R, t, chunk, scales + 32 * j, 8 * b + pair_chunks * j, sums);
        if (f.offset_shift >= 0 && !is_signed(f)) {
            weighted_sums(R, n_pairs, pairs, t.row, scales, false, more);
            UNROLL for (int r = 0; r < R; r++)
                sums[r] = _mm256_sub_epi32(sums[r], _mm256_slli_epi32(more[r], f.offset_shift));
        }
        UNROLL for (int r = 0; r < R; r++) in_block[r] = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r]), scale);
        if (f.has_min) {
            __m256 minimum = half_lanes(dmin);
            weighted_sums(R, n_pairs, pairs, t.row, t.panel + planes_mins_at(f, b) + 16 * t.half, true, more);
            UNROLL for (int r = 0; r < R; r++)
                in_block[r] = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(more[r]), minimum, in_block[r]);
        }
        UNROLL for (int r = 0; r < R; r++)
            y[r] = _mm256_fmadd_ps(in_block[r], _mm256_set1_ps(t.scales[8 * b + t.row + r]), y[r]);
    }
}

static void store_lanes(const GemmArgs *a, float *out, int n, __m256 y) {
    float lanes[8];
    _mm256_storeu_ps(lanes, y);
    for (int i = 0; i < n; i++) out[i] = a->add ? out[i] + lanes[i] : lanes[i];
}

INLINE void tile_rows(const Planes f, const int R, const GemmArgs *a, const Tile t, int first_row, int first_n) {
    __m256 y[ROWS];
    UNROLL for (int r = 0; r < R; r++) y[r] = _mm256_setzero_ps();
    if (f.block == 32)
        blocks_of_32(f, R, t, y);
    else
        blocks_of_256(f, R, t, y);
    float *out = a->out + (size_t)first_row * a->out_stride + (size_t)first_n;
    UNROLL for (int r = 0; r < R; r++, out += a->out_stride) {
        if (a->n - first_n < 8)
            store_lanes(a, out, a->n - first_n, y[r]);
        else
            _mm256_storeu_ps(out, a->add ? _mm256_add_ps(_mm256_loadu_ps(out), y[r]) : y[r]);
    }
}

INLINE void half_panel(const Planes f, const GemmArgs *a, const uint8_t *panel, int first_n, int half) {
    const ActFormat act = f.block == 32 ? ACT_Q8_32 : ACT_Q8_256;
    for (int row = 0; row < a->m; row += ROWS) {
        const char *tile = (const char *)a->acts + (size_t)(row / ACT_TILE_ROWS) * act_tile_bytes(act, a->k);
        int in_tile = row % ACT_TILE_ROWS;
        int n_groups = half == 0 && a->m > 2 ? (a->m + ROWS - 1) / ROWS : 0;
        Tile t = {panel, half, a->k, in_tile, row / ROWS, n_groups, (const int8_t *)tile + 4 * in_tile, act_scales(act, tile, a->k),
                  act_nsums(act, tile, a->k), tile};
        switch (a->m - row) {
        case 1: tile_rows(f, 1, a, t, row, first_n); break;
        case 2: tile_rows(f, 2, a, t, row, first_n); break;
        case 3: tile_rows(f, 3, a, t, row, first_n); break;
        default: tile_rows(f, 4, a, t, row, first_n); break;
        }
    }
}

INLINE void gemm(const Planes f, const GemmArgs *a) {
    for (int p = a->panel; p < a->panel + a->n_panels; p++) {
        const uint8_t *panel = (const uint8_t *)a->weights + (size_t)p * planes_panel_bytes(f, a->k);
        for (int half = 0; half < 2; half++) {
            int first_n = p * PANEL_ROWS + 8 * half;
            if (first_n < a->n) half_panel(f, a, panel, first_n, half);
        }
    }
}

void avx2_gemm_quant(WeightType type, const GemmArgs *a) {
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
