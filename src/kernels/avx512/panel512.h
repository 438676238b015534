// What 512-bit products share: fetching ahead, unpacking panels, storing results.
#ifndef CLLM_KERNELS_AVX512_PANEL512_H
#define CLLM_KERNELS_AVX512_PANEL512_H

#include "kernels/avx512/lanes.h"

// field << shift (right for negative shifts), kept inside bytes by the caller's mask.
INLINE __m512i shift_bits(__m512i v, int shift) {
    return shift > 0   ? _mm512_slli_epi16(v, (unsigned)shift)
           : shift < 0 ? _mm512_srli_epi16(v, (unsigned)-shift)
                       : v;
}

INLINE __m512i field(__m512i v, int from_bit, int to_bit, int bits) {
    int mask = ((1 << bits) - 1) << to_bit;
    return _mm512_and_si512(shift_bits(v, to_bit - from_bit), _mm512_set1_epi8((char)mask));
}

// Panels come from memory in one pass, and hardware prefetchers stop at each 4 KB page. So while a
// panel is being used, its successor is asked for: each tile of rows fetches every n_tiles-th block,
// which spreads the traffic over the panel's whole use. One or two rows are faster without: the loop
// then runs at the speed of memory and out-of-order execution looks far enough ahead.
INLINE void prefetch(const uint8_t *p, const int n_bytes) {
    UNROLL for (int i = 0; i < n_bytes; i += 64) _mm_prefetch((const char *)p + i, _MM_HINT_T1);
}

// Memory to fetch besides the panels (GemmArgs.ahead): some lines with every chunk.
typedef struct Ahead {
    const GemmArgs *args;
    int at, end; // in lines
    int lines;   // with each chunk
} Ahead;

enum { AHEAD_LINES = AHEAD_BYTES / 64 };

static Ahead ahead_new(const GemmArgs *a, int n_chunks) {
    int end = a->n_ahead * AHEAD_LINES;
    return (Ahead){a, 0, end, n_chunks ? (end + n_chunks - 1) / n_chunks : 0};
}

INLINE void fetch_ahead(Ahead *f) {
    for (int i = 0; i < f->lines && f->at < f->end; i++, f->at++) {
        const char *piece = f->args->ahead + f->args->ahead_at[f->at / AHEAD_LINES];
        _mm_prefetch(piece + 64 * (f->at % AHEAD_LINES), _MM_HINT_T1);
    }
}

// The 32 columns of a chunk as eight vectors of bytes, unsigned, or signed by flipping their top bits.
INLINE void unpack_chunk(const Planes f, const bool flip, const uint8_t *chunk, __m512i w[STEPS]) {
    UNROLL for (int s = 0; s < STEPS; s++) {
        if (f.low == 8) w[s] = load(chunk + planes_low_at(f, s));
        if (f.low == 4) w[s] = field(load(chunk + planes_low_at(f, s % 4)), s / 4 * 4, 0, 4);
        if (f.low == 2) w[s] = field(load(chunk + planes_low_at(f, s / 4)), s % 4 * 2, 0, 2);
        if (f.high) {
            __m512i high = load(chunk + planes_high_at(f, f.high == 2 ? s / 4 : 0));
            w[s] = _mm512_or_si512(w[s], field(high, f.high == 2 ? s % 4 * 2 : s, f.low, f.high));
        }
        if (f.codebook) {
            const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)iq4_values));
            w[s] = _mm512_shuffle_epi8(table, w[s]);
        }
        if (flip) w[s] = _mm512_xor_si512(w[s], _mm512_set1_epi8((char)0x80));
    }
}

// The weight rows of a panel that the matrix has.
INLINE __mmask16 panel_lanes(const GemmArgs *a, int panel) {
    int left = a->n - panel * PANEL_ROWS;
    return left >= PANEL_ROWS ? (__mmask16)0xFFFF : (__mmask16)((1u << left) - 1);
}

INLINE void store_row(const GemmArgs *a, int row, int panel, __mmask16 lanes, __m512 y) {
    float *out = a->out + (size_t)row * a->out_stride + (size_t)panel * PANEL_ROWS;
    _mm512_mask_storeu_ps(out, lanes, a->add ? _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, out), y) : y);
}

#endif
