// Products of quantised weights with int8 activations, for both NEON rungs.
//
// A 64-byte vector of a panel is four registers, each with four columns of 4 weight rows: a group. sdot
// multiplies such a register with four activations of one row (a lane of a tile's vector) and adds to 4 sums.
// Weights that fit into 7 bits serve as signed bytes directly; full bytes (Q8_0 and the codebooks) become
// signed by flipping their top bit and then need no offset.
//
// With i8mm, smmla multiplies 2 weight rows with 2 activation rows over 8 columns, twice the work of an sdot.
// A pair of steps becomes such operands by interleaving: the weights' after unpacking, the activations' once
// a strip. That costs as much as it saves for few rows, so it is for 5 rows and more.
//
// There are 32 registers. R rows of G groups have R G dot products and as many sums of a block, which take
// 16 registers at most, and the rest is for unpacking. Few rows take several groups at once, because each
// vector of activations then serves all; many rows take one, because all use what was unpacked. A panel is
// gone through in strips of 256 columns, group by group, so that memory is still read in one ascending run.
#ifndef CLLM_KERNELS_NEON_QUANT_ROWS_H
#define CLLM_KERNELS_NEON_QUANT_ROWS_H

#include "kernels/kernels.h"
#include "kernels/packed.h"

#include <arm_neon.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

typedef enum Multiply { DOTS, MATRICES } Multiply; // sdot, smmla

enum { GROUPS = 4, STRIP = 256, STEP_PAIRS = 4 }; // of a panel; columns; of a chunk, 2 x 4 columns each

// Dot products and sums of R rows and G groups. In products of matrices elements [r][g] and [r + 1][g], r
// even, hold both rows: of weight rows 0 and 1, of weight rows 2 and 3.
typedef int32x4_t Sums[ACT_TILE_ROWS][GROUPS];
typedef float32x4_t Floats[ACT_TILE_ROWS][GROUPS];

// Up to 256 columns of a panel with the rows of a tile.
typedef struct Strip {
    const uint8_t *panel;
    const void *tile;
    int k, first, end; // columns
    const int8_t *q;   // the activations of the first; for products of matrices interleaved
} Strip;

INLINE int even_rows(const Multiply mul, const int R) {
    return mul == MATRICES ? (R + 1) / 2 * 2 : R;
}

// ---- weights ----

INLINE uint8x16_t field(uint8x16_t v, const int from_bit, const int to_bit, const int bits) {
    const int shift = to_bit - from_bit;
    if (shift > 0) v = v << shift;
    if (shift < 0) v = v >> -shift;
    return vandq_u8(v, vdupq_n_u8((uint8_t)(((1 << bits) - 1) << to_bit)));
}

INLINE int is_signed(const Planes f) {
    return f.low == 8 || f.codebook;
}

// Four columns of a group. `chunk` points at the group's part of the first vector.
INLINE int8x16_t unpack_step(const Planes f, const uint8_t *chunk, const int s) {
    uint8x16_t w = vld1q_u8(chunk + planes_low_at(f, f.low == 8 ? s : f.low == 4 ? s % 4 : s / 4));
    if (f.low == 4) w = field(w, s / 4 * 4, 0, 4);
    if (f.low == 2) w = field(w, s % 4 * 2, 0, 2);
    if (f.high) {
        uint8x16_t high = vld1q_u8(chunk + planes_high_at(f, f.high == 2 ? s / 4 : 0));
        w = vorrq_u8(w, field(high, f.high == 2 ? s % 4 * 2 : s, f.low, f.high));
    }
    if (f.codebook) w = vqtbl1q_u8(vld1q_u8(iq4_values), w);
    if (is_signed(f)) w = veorq_u8(w, vdupq_n_u8(0x80));
    return vreinterpretq_s8_u8(w);
}

// ---- dot products ----

INLINE int32x4_t add_dots(int32x4_t sums, int8x16_t w, int8x16_t q, const int lane) {
    switch (lane) {
    case 0: return vdotq_laneq_s32(sums, w, q, 0);
    case 1: return vdotq_laneq_s32(sums, w, q, 1);
    case 2: return vdotq_laneq_s32(sums, w, q, 2);
    default: return vdotq_laneq_s32(sums, w, q, 3);
    }
}

INLINE void add_step(const Planes f, const int R, const int G, const uint8_t *chunk, const int8_t *q,
                     const int s, Sums dots) {
    int8x16_t low = vld1q_s8(q + 32 * s), high = R > 4 ? vld1q_s8(q + 32 * s + 16) : low;
    UNROLL for (int g = 0; g < G; g++) {
        int8x16_t w = unpack_step(f, chunk + 16 * g, s);
        UNROLL for (int r = 0; r < R; r++) dots[r][g] = add_dots(dots[r][g], w, r < 4 ? low : high, r % 4);
    }
}

INLINE int32x4_t add_matrices(int32x4_t sums, int8x16_t w, int8x16_t q) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return vmmlaq_s32(sums, w, q);
#else
    (void)w, (void)q; // only a rung that has them asks for them
    return sums;
#endif
}

INLINE void add_step_pair(const Planes f, const int R, const int G, const uint8_t *chunk, const int8_t *q,
                          const int pair, Sums dots) {
    UNROLL for (int g = 0; g < G; g++) {
        int32x4_t even = vreinterpretq_s32_s8(unpack_step(f, chunk + 16 * g, 2 * pair));
        int32x4_t odd = vreinterpretq_s32_s8(unpack_step(f, chunk + 16 * g, 2 * pair + 1));
        int8x16_t top = vreinterpretq_s8_s32(vzip1q_s32(even, odd));
        int8x16_t bottom = vreinterpretq_s8_s32(vzip2q_s32(even, odd));
        UNROLL for (int r = 0; r < R; r += 2) {
            int8x16_t rows = vld1q_s8(q + 64 * pair + 8 * r);
            dots[r][g] = add_matrices(dots[r][g], top, rows);
            dots[r + 1][g] = add_matrices(dots[r + 1][g], bottom, rows);
        }
    }
}

// Adds the products of n pairs of steps of a chunk. Over a whole chunk, steps that share a nibble vector come
// one soon after the other; integers do not mind.
INLINE void add_chunk(const Planes f, const Multiply mul, const int R, const int G, const uint8_t *chunk,
                      const int8_t *q, const int from, const int n, Sums dots) {
    UNROLL for (int i = 0; i < n; i++) {
        const int pair = n == STEP_PAIRS && f.low == 4 ? i % 2 * 2 + i / 2 : from + i;
        if (mul == MATRICES) {
            add_step_pair(f, R, G, chunk, q, pair, dots);
        } else {
            add_step(f, R, G, chunk, q, 2 * pair, dots);
            add_step(f, R, G, chunk, q, 2 * pair + 1, dots);
        }
    }
}

// Where the dot products of sub-block `at` start: -offset * (sum of activations), or 0. The tile holds -1
// times the sums of 32 for blocks of 32, -32 times the sums of 16 for blocks of 256 (acts.h).
INLINE void start_dots(const Planes f, const Multiply mul, const int R, const int G, const int32_t *nsums,
                       int at, Sums dots) {
    const int shift = f.block == 256 ? f.offset_shift - 5 : f.offset_shift;
    int32x4_t n[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
    if (f.offset_shift >= 0 && !is_signed(f)) {
        nsums += 8 * (ptrdiff_t)at;
        UNROLL for (int h = 0; 4 * h < R; h++) n[h] = vshlq_s32(vld1q_s32(nsums + 4 * h), vdupq_n_s32(shift));
    }
    UNROLL for (int r = 0; r < even_rows(mul, R); r++) {
        int64x2_t both = vreinterpretq_s64_s32(n[r / 4]);
        int32x4_t start = mul == MATRICES ? vreinterpretq_s32_s64(vdupq_n_s64(both[r % 4 / 2]))
                                          : vdupq_n_s32(n[r / 4][r % 4]);
        UNROLL for (int g = 0; g < G; g++) dots[r][g] = start;
    }
}

// From the order of products of matrices to one vector of 4 weight rows a row.
INLINE void order_rows(const Multiply mul, const int R, const int G, Sums sums) {
    if (mul != MATRICES) return;
    UNROLL for (int r = 0; r < R; r += 2) UNROLL for (int g = 0; g < G; g++) {
        int32x4_t top = sums[r][g], bottom = sums[r + 1][g];
        sums[r][g] = vuzp1q_s32(top, bottom);
        sums[r + 1][g] = vuzp2q_s32(top, bottom);
    }
}

INLINE float32x4_t half_lanes(const uint16_t *h) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h)));
}

// x[r] of the tile's 8 rows in the lanes of two vectors.
INLINE void load_rows(const int R, const float *x, float32x4_t rows[2]) {
    rows[0] = vld1q_f32(x);
    rows[1] = R > 4 ? vld1q_f32(x + 4) : rows[0];
}

// ---- blocks of 32 ----

INLINE void add_minimum(const int R, const int G, const uint16_t *m, const float *ssums, Floats y) {
    float32x4_t sums[2];
    load_rows(R, ssums, sums);
    UNROLL for (int g = 0; g < G; g++) {
        float32x4_t minimum = half_lanes(m + 4 * g);
        UNROLL for (int r = 0; r < R; r++) y[r][g] = vfmaq_n_f32(y[r][g], minimum, sums[r / 4][r % 4]);
    }
}

INLINE void blocks_of_32(const Planes f, const Multiply mul, const int R, const int G, const Strip *s,
                         int group, Floats y) {
    const float *scales = act_scales(s->tile, s->k), *ssums = act_ssums(s->tile, s->k);
    const int32_t *nsums = act_nsums(ACT_Q8_32, s->tile, s->k);
    const int8_t *q = s->q;
    for (int b = s->first / 32; b < s->end / 32; b++, q += 256) {
        const uint8_t *chunk = s->panel + planes_chunks_at(f, b) + 16 * group;
        const uint16_t *d = (const uint16_t *)(s->panel + planes_head_at(f, b)) + 4 * group;
        Sums dots;
        float32x4_t x_scales[2];
        start_dots(f, mul, R, G, nsums, b, dots);
        add_chunk(f, mul, R, G, chunk, q, 0, STEP_PAIRS, dots);
        order_rows(mul, R, G, dots);
        load_rows(R, scales + 8 * b, x_scales);
        UNROLL for (int g = 0; g < G; g++) {
            float32x4_t scale = half_lanes(d + 4 * g);
            UNROLL for (int r = 0; r < R; r++) {
                float32x4_t scaled = vmulq_n_f32(vcvtq_f32_s32(dots[r][g]), x_scales[r / 4][r % 4]);
                y[r][g] = vfmaq_f32(y[r][g], scaled, scale);
            }
        }
        if (f.has_min) add_minimum(R, G, d + PANEL_ROWS, ssums + 8 * b, y);
    }
}

// ---- blocks of 256 ----

// Adds scale * (dot product), exactly. `scales` points at a pair of sub-blocks, of which j is this one.
INLINE void add_scaled(const Multiply mul, const int R, const int G, const int8_t *scales, const int j,
                       Sums dots, Sums sums) {
    UNROLL for (int g = 0; g < G; g++) {
        int32x4_t pairs = vreinterpretq_s32_s16(vmovl_s8(vld1_s8(scales + 8 * g)));
        int32x4_t scale = vshrq_n_s32(j ? pairs : vshlq_n_s32(pairs, 16), 16);
        int32x4_t top = mul == MATRICES ? vzip1q_s32(scale, scale) : scale;
        int32x4_t bottom = mul == MATRICES ? vzip2q_s32(scale, scale) : scale;
        UNROLL for (int r = 0; r < even_rows(mul, R); r++) {
            sums[r][g] = vmlaq_s32(sums[r][g], dots[r][g], r % 2 ? bottom : top);
        }
    }
}

// The compiler would mix neighbouring sub-blocks, whose dot products do not fit into the registers together.
// For it, nothing is read for the next one before the sums of this one have been made.
INLINE void finish(const Multiply mul, const int R, const int G, Sums sums) {
    UNROLL for (int r = 0; r < even_rows(mul, R); r++) {
        UNROLL for (int g = 0; g < G; g++) __asm__ volatile("" : "+w"(sums[r][g]) : : "memory");
    }
}

// The scaled integer sums of block b, whose activations are at q.
INLINE void block_sums(const Planes f, const Multiply mul, const int R, const int G, const Strip *s,
                       int group, int b, Sums sums) {
    const int n_bytes = (int)planes_chunk_bytes(f), n_chunks = f.sub / 16; // chunks of a pair of sub-blocks
    const uint8_t *chunk = s->panel + planes_chunks_at(f, b) + 16 * group;
    const int8_t *scales = (const int8_t *)s->panel + planes_scales_at(f, b) + 8 * group, *q = s->q;
    const int32_t *nsums = act_nsums(ACT_Q8_256, s->tile, s->k) + 128 * (ptrdiff_t)b;
    UNROLL for (int r = 0; r < ACT_TILE_ROWS; r++) {
        UNROLL for (int g = 0; g < G; g++) sums[r][g] = vdupq_n_s32(0);
    }
    _Pragma("GCC unroll 1") for (int pair = 0; pair < 256 / f.sub / 2; pair++) {
        UNROLL for (int j = 0; j < 2; j++) {
            const int at = n_chunks == 2 ? j : 0; // the chunk
            Sums dots;
            start_dots(f, mul, R, G, nsums, 2 * pair + j, dots);
            add_chunk(f, mul, R, G, chunk + at * n_bytes, q + 256 * at, n_chunks == 2 ? 0 : 2 * j, f.sub / 8,
                      dots);
            add_scaled(mul, R, G, scales, j, dots, sums);
            finish(mul, R, G, sums);
        }
        chunk += n_chunks * n_bytes;
        q += 256 * n_chunks;
        scales += 32;
    }
    order_rows(mul, R, G, sums);
}

// t -= dmin * (sum over sub-blocks of minimum times activation sum), two sub-blocks a step.
INLINE void subtract_minima(const int R, const int n_pairs, const int16_t *pairs, const uint8_t *mins,
                            float32x4_t dmin, float32x4_t t[ACT_TILE_ROWS]) {
    int32x4_t sums[ACT_TILE_ROWS];
    UNROLL for (int r = 0; r < R; r++) sums[r] = vdupq_n_s32(0);
    UNROLL for (int j = 0; j < n_pairs; j++) {
        int16x8_t m = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(mins + 32 * j)));
        int16x4_t first = vget_low_s16(vuzp1q_s16(m, m)), second = vget_low_s16(vuzp2q_s16(m, m));
        int16x8_t low = vld1q_s16(pairs + 16 * j), high = R > 4 ? vld1q_s16(pairs + 16 * j + 8) : low;
        UNROLL for (int r = 0; r < R; r++) {
            int16x8_t x = r < 4 ? low : high;
            sums[r] = vmlal_n_s16(sums[r], first, x[r % 4 * 2]);
            sums[r] = vmlal_n_s16(sums[r], second, x[r % 4 * 2 + 1]);
        }
    }
    UNROLL for (int r = 0; r < R; r++) t[r] = vfmsq_f32(t[r], vcvtq_f32_s32(sums[r]), dmin);
}

// A block is a strip.
INLINE void block_of_256(const Planes f, const Multiply mul, const int R, const int G, const Strip *s,
                         int group, Floats y) {
    const int n_pairs = 256 / f.sub / 2, b = s->first / 256;
    const int16_t *pairs =
        (f.sub == 16 ? act_pair16(s->tile, s->k) : act_pair32(s->tile, s->k)) + b * n_pairs * 16;
    const uint16_t *d = (const uint16_t *)(s->panel + planes_head_at(f, b)) + 4 * group;
    const uint8_t *mins = s->panel + planes_mins_at(f, b) + 8 * group;
    Sums sums;
    float32x4_t x_scales[2];
    block_sums(f, mul, R, G, s, group, b, sums);
    load_rows(R, act_scales(s->tile, s->k) + 8 * b, x_scales);
    UNROLL for (int g = 0; g < G; g++) {
        float32x4_t t[ACT_TILE_ROWS], scale = half_lanes(d + 4 * g);
        UNROLL for (int r = 0; r < R; r++) t[r] = vmulq_f32(vcvtq_f32_s32(sums[r][g]), scale);
        if (f.has_min)
            subtract_minima(R, n_pairs, pairs, mins + 8 * g, half_lanes(d + PANEL_ROWS + 4 * g), t);
        UNROLL for (int r = 0; r < R; r++) y[r][g] = vfmaq_n_f32(y[r][g], t[r], x_scales[r / 4][r % 4]);
    }
}

// ---- matrices ----

// How many groups R rows take together; those whose unpacking needs registers too take fewer.
INLINE int groups_together(const Planes f, const int R) {
    const bool plain = !f.high && !f.codebook;
    if (R <= 2 && (plain || (R == 1 && f.high != 1))) return 4;
    return R <= 4 ? 2 : 1;
}

// Two rows by 8 columns in each vector, as smmla wants them: 4 such vectors for two steps.
INLINE void interleave_rows(const int8_t *q, int n_columns, int8_t *out) {
    for (int i = 0; i < n_columns / 8; i++, q += 64, out += 64) UNROLL for (int half = 0; half < 2; half++) {
            int32x4_t even = vreinterpretq_s32_s8(vld1q_s8(q + 16 * half));
            int32x4_t odd = vreinterpretq_s32_s8(vld1q_s8(q + 16 * half + 32));
            vst1q_s8(out + 32 * half, vreinterpretq_s8_s32(vzip1q_s32(even, odd)));
            vst1q_s8(out + 32 * half + 16, vreinterpretq_s8_s32(vzip2q_s32(even, odd)));
        }
}

INLINE void group_rows(const Planes f, const Multiply mul, const int R, const int G, const Strip *s,
                       int group, float y[][PANEL_ROWS]) {
    Floats part;
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int g = 0; g < G; g++) {
        part[r][g] = vld1q_f32(&y[r][4 * (group + g)]);
    }
    if (f.block == 32)
        blocks_of_32(f, mul, R, G, s, group, part);
    else
        block_of_256(f, mul, R, G, s, group, part);
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int g = 0; g < G; g++)
        vst1q_f32(&y[r][4 * (group + g)], part[r][g]);
}

// R rows of a tile, from `first_row` on, with a panel.
INLINE void tile_rows(const Planes f, const Multiply mul, const int R, const GemmArgs *a,
                      const uint8_t *panel, const int8_t *tile, int first_row, int first_n) {
    const int G = groups_together(f, R);
    int8_t interleaved[STRIP * ACT_TILE_ROWS];
    float y[ACT_TILE_ROWS][PANEL_ROWS] = {0};
    for (int first = 0; first < a->k; first += STRIP) {
        int end = a->k - first < STRIP ? a->k : first + STRIP;
        Strip s = {panel, tile, a->k, first, end, tile + 8 * (ptrdiff_t)first};
        if (mul == MATRICES) {
            interleave_rows(s.q, end - first, interleaved);
            s.q = interleaved;
        }
        for (int group = 0; group < GROUPS; group += G) group_rows(f, mul, R, G, &s, group, y);
    }
    float *out = a->out + (size_t)first_row * a->out_stride + (size_t)first_n;
    int n = a->n - first_n < PANEL_ROWS ? a->n - first_n : PANEL_ROWS;
    for (int r = 0; r < R; r++, out += a->out_stride)
        for (int i = 0; i < n; i++) out[i] = a->add ? out[i] + y[r][i] : y[r][i];
}

// All panels of a task; for each, all tiles of rows while the panel is in the caches. `many` is for 5 rows
// and more.
INLINE void gemm(const Planes f, const Multiply many, const GemmArgs *a) {
    const size_t tile_bytes = act_tile_bytes(f.block == 32 ? ACT_Q8_32 : ACT_Q8_256, a->k);
    for (int p = a->panel; p < a->panel + a->n_panels; p++) {
        const uint8_t *panel = (const uint8_t *)a->weights + (size_t)p * planes_panel_bytes(f, a->k);
        const int8_t *tile = a->acts;
        for (int row = 0; row < a->m; row += ACT_TILE_ROWS, tile += tile_bytes) {
            switch (a->m - row) {
            case 1: tile_rows(f, DOTS, 1, a, panel, tile, row, p * PANEL_ROWS); break;
            case 2: tile_rows(f, DOTS, 2, a, panel, tile, row, p * PANEL_ROWS); break;
            case 3: tile_rows(f, DOTS, 3, a, panel, tile, row, p * PANEL_ROWS); break;
            case 4: tile_rows(f, DOTS, 4, a, panel, tile, row, p * PANEL_ROWS); break;
            case 5: tile_rows(f, many, 5, a, panel, tile, row, p * PANEL_ROWS); break;
            case 6: tile_rows(f, many, 6, a, panel, tile, row, p * PANEL_ROWS); break;
            case 7: tile_rows(f, many, 7, a, panel, tile, row, p * PANEL_ROWS); break;
            default: tile_rows(f, many, 8, a, panel, tile, row, p * PANEL_ROWS); break;
            }
        }
    }
}

INLINE void gemm_quant(const Multiply many, WeightType type, const GemmArgs *a) {
    switch (type) {
    case WEIGHT_Q8_0: gemm(PLANES_Q8_0, many, a); break;
    case WEIGHT_Q4_0: gemm(PLANES_Q4_0, many, a); break;
    case WEIGHT_Q4_1: gemm(PLANES_Q4_1, many, a); break;
    case WEIGHT_Q5_0: gemm(PLANES_Q5_0, many, a); break;
    case WEIGHT_Q5_1: gemm(PLANES_Q5_1, many, a); break;
    case WEIGHT_IQ4_NL: gemm(PLANES_IQ4_NL, many, a); break;
    case WEIGHT_Q2_K: gemm(PLANES_Q2_K, many, a); break;
    case WEIGHT_Q3_K: gemm(PLANES_Q3_K, many, a); break;
    case WEIGHT_Q4_K: gemm(PLANES_Q4_K, many, a); break;
    case WEIGHT_Q5_K: gemm(PLANES_Q5_K, many, a); break;
    case WEIGHT_Q6_K: gemm(PLANES_Q6_K, many, a); break;
    case WEIGHT_IQ4_XS: gemm(PLANES_IQ4_XS, many, a); break;
    default: break;
    }
}

#endif
