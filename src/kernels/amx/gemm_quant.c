// Products of quantised weights with int8 activations, by AMX: a tile of 16 activation rows by 64 columns
// times a tile of 64 columns by 16 weight rows adds to 16 x 16 sums of 32 bits.
//
// A vector of unpacked weights, four columns of 16 rows, is one row of the second operand. Sums leave the
// tiles through memory, which costs as much as a product, so they have to stay there for long. In blocks of
// 256 they stay for the whole block: the sub-blocks' integer scales multiply the weights before. Such a
// weight does not fit into a byte, so it becomes two, high and low, with tiles of sums of their own. Where
// scales are unsigned (6 bits), it is the scale that is split, in 3 and 3 bits, since both products then fit:
// one multiplication of 16 bits does two bytes. Else the product is split. Blocks of 32, which
// have a scale on both sides, are left to the rung below.
//
// Vectors unpack the weights, and scale and add up the sums, while tiles multiply. For that the order is that
// of a pipeline. A unit is 16 activation rows with one block. While unit u is multiplied, the
// sums of unit u - 1 are stored, scaled and added to the results, and a part of the weights that follow is
// unpacked to the other half of `operands`. Sums of odd and even units have different tiles.
//
// All arithmetic is that of kernels.h: integers are exact in any order, and a block's sum becomes a float
// once.
#include "kernels/amx/table.h"

#include "kernels/avx512/panel512.h"
#include "kernels/avx512vnni/table.h"

// Rows that are computed at once, whose results wait in the first-level cache; and from how many on AMX is
// faster than the rung below, which shares the panels.
enum { ROWS_AT_ONCE = 128, LEAST_ROWS = 9 };

enum { TILE = 1024, PARTS = 4 }; // bytes of a tile; parts in which a block is unpacked

typedef struct Unit {
    int panel, block;
    int row, n_rows;  // of activations
    const char *tile; // theirs
} Unit;

typedef struct Work {
    _Alignas(64) uint8_t operands[2][PARTS][2][TILE]; // weights of this and the next block, high and low
    int32_t sums[2][16][16];                          // of the last unit, high and low
    float y[ROWS_AT_ONCE][PANEL_ROWS];
    const GemmArgs *args;
    int n_blocks; // of 256 columns, in k
} Work;

INLINE const uint8_t *panel_of(const Planes f, const GemmArgs *a, int panel) {
    return (const uint8_t *)a->weights + (size_t)panel * planes_panel_bytes(f, a->k);
}

// ---- operands ----

// The scales of sub-block 0 or 1 of a pair, twice in 16 bits for each weight row.
INLINE __m512i scale_twice(__m512i pairs, const int which) {
    const __m512i order =
        _mm512_broadcast_i32x4(which ? _mm_setr_epi8(2, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11, 14, 15, 14, 15)
                                     : _mm_setr_epi8(0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13));
    return _mm512_shuffle_epi8(pairs, order);
}

INLINE void store(uint8_t *p, __m512i v) {
    _mm512_store_si512((__m512i *)p, v);
}

// Unsigned weights w times scale >> 3 and scale & 7.
INLINE void split_scale(__m512i w, __m512i scale, uint8_t *high, uint8_t *low) {
    store(high, _mm512_mullo_epi16(w, _mm512_srli_epi16(scale, 3)));
    store(low, _mm512_mullo_epi16(w, _mm512_and_si512(scale, _mm512_set1_epi16(7))));
}

// The high and low bytes of the products of signed weights.
INLINE void split_product(__m512i w, __m512i scale, uint8_t *high, uint8_t *low) {
    const __m512i low_byte = _mm512_set1_epi16(0xFF), high_byte = _mm512_set1_epi16((int16_t)0xFF00);
    __m512i even = _mm512_mullo_epi16(_mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8), scale);
    __m512i odd = _mm512_mullo_epi16(_mm512_srai_epi16(w, 8), scale);
    // a | (b & c)
    store(high, _mm512_ternarylogic_epi32(_mm512_srli_epi16(even, 8), odd, high_byte, 0xF8));
    store(low, _mm512_ternarylogic_epi32(_mm512_slli_epi16(odd, 8), even, low_byte, 0xF8));
}

// A chunk's weights as signed bytes, or as the unsigned ones that they are.
INLINE void unpack_signed(const Planes f, const uint8_t *chunk, __m512i w[STEPS]) {
    unpack_chunk(f, f.offset_shift == 7, chunk, w);
    if (f.offset_shift < 0 || f.offset_shift == 7) return;
    UNROLL for (int s = 0; s < STEPS; s++) w[s] =
        _mm512_sub_epi8(w[s], _mm512_set1_epi8((char)(1 << f.offset_shift)));
}

// Columns 64 i … of block b of 256.
INLINE void scale_part(const Planes f, const uint8_t *panel, int b, int i, uint8_t (*operands)[TILE]) {
    const uint8_t *scales = panel + planes_scales_at(f, b) + 32 * i * (32 / f.sub);
    const uint8_t *chunk = panel + planes_chunks_at(f, b) + (size_t)(2 * i) * planes_chunk_bytes(f);
    UNROLL for (int c = 0; c < 2; c++) {
        __m512i w[STEPS], scale[2];
        const uint8_t *at = scales + (f.sub == 16 ? 32 * c : 0);
        __m512i pairs = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)at));
        unpack_signed(f, chunk + (size_t)c * planes_chunk_bytes(f), w);
        UNROLL for (int j = 0; j < 2; j++) scale[j] = scale_twice(pairs, f.sub == 16 ? j : c);
        UNROLL for (int s = 0; s < STEPS; s++) {
            uint8_t *high = operands[0] + 64 * (STEPS * c + s), *low = operands[1] + 64 * (STEPS * c + s);
            if (f.has_min)
                split_scale(w[s], scale[s / 4], high, low);
            else
                split_product(w[s], scale[s / 4], high, low);
        }
    }
}

INLINE void prepare(const Planes f, Work *w, int n, int from, int to) {
    const GemmArgs *a = w->args;
    if (n == a->n_panels * w->n_blocks) return;
    const uint8_t *panel = panel_of(f, a, a->panel + n / w->n_blocks);
    const int b = n % w->n_blocks;
    for (int i = from; i < to; i++) scale_part(f, panel, b, i, w->operands[n % 2][i]);
}

// ---- products ----

typedef struct TileConfig {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileConfig;

// Tiles 0 to 3: sums, high and low of even and odd units; 4: activations; 6 and 7: weights, high and low.
static void load_config(void) {
    TileConfig config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.rows[i] = 16;
        config.row_bytes[i] = 64;
    }
    _tile_loadconfig(&config);
}

// The products of a unit. Tiles are named by literals, so the functions for even and odd units are made by a
// macro. Activations are signed; low bytes and scaled unsigned weights are not.
#define DEFINE_MULTIPLY(name, HIGH, LOW)                                                                     \
    INLINE void name(const Planes f, const int8_t *q, uint8_t(*operands)[2][TILE]) {                         \
        _tile_zero(HIGH);                                                                                    \
        _tile_zero(LOW);                                                                                     \
        UNROLL for (int i = 0; i < PARTS; i++) {                                                             \
            _tile_loadd(4, q + i * ACT_TILE_ROWS * 64, 64);                                                  \
            _tile_loadd(6, operands[i][0], 64);                                                              \
            if (f.has_min)                                                                                   \
                _tile_dpbsud(HIGH, 4, 6);                                                                    \
            else                                                                                             \
                _tile_dpbssd(HIGH, 4, 6);                                                                    \
            _tile_loadd(7, operands[i][1], 64);                                                              \
            _tile_dpbsud(LOW, 4, 7);                                                                         \
        }                                                                                                    \
    }

DEFINE_MULTIPLY(multiply_even, 0, 1)
DEFINE_MULTIPLY(multiply_odd, 2, 3)

INLINE void store_sums(Work *w, bool odd) {
    if (odd) {
        _tile_stored(2, w->sums[0], 64);
        _tile_stored(3, w->sums[1], 64);
    } else {
        _tile_stored(0, w->sums[0], 64);
        _tile_stored(1, w->sums[1], 64);
    }
}

// ---- results ----

// What a block's sums are scaled by.
typedef struct Factors {
    __m512 d, dmin;
    __m512i mins[8]; // of pairs of sub-blocks, 16 bits each
} Factors;

INLINE Factors factors_of(const Planes f, const uint8_t *panel, int b) {
    const uint16_t *d = (const uint16_t *)(panel + planes_head_at(f, b));
    Factors x;
    x.d = half_lanes(d);
    if (!f.has_min) return x;
    x.dmin = half_lanes(d + PANEL_ROWS);
    UNROLL for (int j = 0; j < 128 / f.sub; j++) {
        const uint8_t *at = panel + planes_mins_at(f, b) + 32 * j;
        x.mins[j] = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)at));
    }
    return x;
}

// The sums of row r of a unit as a part of its results, before the scale of its activations. `pairs` are the
// sums of those for the block.
INLINE __m512 scale_sums(const Planes f, const Work *w, const Factors *x, const int16_t *pairs, int r) {
    __m512i high = _mm512_slli_epi32(load(w->sums[0][r]), f.has_min ? 3 : 8);
    __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_add_epi32(high, load(w->sums[1][r]))), x->d);
    if (!f.has_min) return t;
    __m512i minima = _mm512_setzero_si512();
    UNROLL for (int j = 0; j < 128 / f.sub; j++) {
        minima = _mm512_dpwssd_epi32(minima, x->mins[j],
                                     broadcast32(pairs + 2 * (ACT_TILE_ROWS * j + (ptrdiff_t)r)));
    }
    return _mm512_fnmadd_ps(_mm512_cvtepi32_ps(minima), x->dmin, t);
}

INLINE void add_rows(const Planes f, Work *w, const Unit *u, const int n_rows) {
    const GemmArgs *a = w->args;
    const int b = u->block;
    const Factors x = factors_of(f, panel_of(f, a, u->panel), b);
    const int16_t *pairs = (f.sub == 16 ? act_pair16(u->tile, a->k) : act_pair32(u->tile, a->k)) +
                           (ptrdiff_t)b * (128 / f.sub) * 2 * ACT_TILE_ROWS;
    const float *x_scales = act_scales(u->tile, a->k) + b * ACT_TILE_ROWS;
    float *y = w->y[u->row % ROWS_AT_ONCE];
    _Pragma("GCC unroll 4") for (ptrdiff_t r = 0; r < n_rows; r++) {
        __m512 t = scale_sums(f, w, &x, pairs, (int)r);
        _mm512_store_ps(y + PANEL_ROWS * r,
                        _mm512_fmadd_ps(t, _mm512_set1_ps(x_scales[r]), _mm512_load_ps(y + PANEL_ROWS * r)));
    }
}

// Adds the stored sums of a unit to its results, which go out behind the last block.
INLINE void add_sums(const Planes f, Work *w, const Unit *u) {
    if (u->n_rows == ACT_TILE_ROWS)
        add_rows(f, w, u, ACT_TILE_ROWS);
    else
        add_rows(f, w, u, u->n_rows);
    if (u->block != w->n_blocks - 1) return;
    const __mmask16 lanes = panel_lanes(w->args, u->panel);
    for (int r = 0; r < u->n_rows; r++) {
        float *y = w->y[u->row % ROWS_AT_ONCE + r];
        store_row(w->args, u->row + r, u->panel, lanes, _mm512_load_ps(y));
        _mm512_store_ps(y, _mm512_setzero_ps());
    }
}

// ---- the pipeline ----

// The products of a unit; meanwhile the results of the one before it.
INLINE void run_unit(const Planes f, Work *w, const Unit *u, const Unit *last, bool odd,
                     uint8_t (*operands)[2][TILE]) {
    const int8_t *q = (const int8_t *)u->tile + act_at(ACT_Q8_256, 256 * u->block, 0);
    if (odd)
        multiply_odd(f, q, operands);
    else
        multiply_even(f, q, operands);
    if (!last->tile) return;
    store_sums(w, !odd);
    add_sums(f, w, last);
}

// Fetches a part of what stands one panel further.
INLINE void prefetch_part(const uint8_t *block, int n_bytes, int part, int n_parts) {
    for (int line = n_bytes / 64 * part / n_parts; line < n_bytes / 64 * (part + 1) / n_parts; line++)
        _mm_prefetch((const char *)block + 64 * line, _MM_HINT_T1);
}

// All panels with rows [first, end).
INLINE void multiply_rows(const Planes f, Work *w, int first, int end, Ahead *ahead) {
    const GemmArgs *a = w->args;
    const size_t tile_bytes = act_tile_bytes(ACT_Q8_256, a->k);
    const int n_tiles = (end - first + ACT_TILE_ROWS - 1) / ACT_TILE_ROWS,
              n_blocks = a->n_panels * w->n_blocks;
    Unit last = {0};
    bool odd = false;
    for (int r = 0; r < end - first; r++) _mm512_store_ps(w->y[r], _mm512_setzero_ps());
    prepare(f, w, 0, 0, PARTS);
    for (int n = 0; n < n_blocks; n++) {
        const int panel = a->panel + n / w->n_blocks, b = n % w->n_blocks;
        for (int i = 0; i < n_tiles; i++, odd = !odd) {
            const int row = first + i * ACT_TILE_ROWS, left = end - row;
            const char *tile = (const char *)a->acts + (size_t)(row / ACT_TILE_ROWS) * tile_bytes;
            const Unit u = {panel, b, row, left < ACT_TILE_ROWS ? left : ACT_TILE_ROWS, tile};
            run_unit(f, w, &u, &last, odd, w->operands[n % 2]);
            last = u;
            prefetch_part(panel_of(f, a, panel + 1) + planes_head_at(f, b), (int)planes_block_bytes(f), i,
                          n_tiles);
            fetch_ahead(ahead);
            prepare(f, w, n + 1, PARTS * i / n_tiles, PARTS * (i + 1) / n_tiles);
        }
    }
    if (!last.tile) return;
    store_sums(w, !odd);
    add_sums(f, w, &last);
}

INLINE void gemm(const Planes f, const GemmArgs *a) {
    Work w;
    w.args = a;
    w.n_blocks = a->k / 256;
    Ahead ahead = ahead_new(a, a->n_panels * w.n_blocks * ((a->m + ACT_TILE_ROWS - 1) / ACT_TILE_ROWS));
    load_config();
    for (int row = 0; row < a->m; row += ROWS_AT_ONCE)
        multiply_rows(f, &w, row, row + ROWS_AT_ONCE < a->m ? row + ROWS_AT_ONCE : a->m, &ahead);
    _tile_release();
}

void amx_gemm_quant(WeightType type, const GemmArgs *a) {
    if (a->m < LEAST_ROWS) {
        avx512vnni_gemm_quant(type, a);
        return;
    }
    switch (type) {
    case WEIGHT_Q2_K: gemm(PLANES_Q2_K, a); break;
    case WEIGHT_Q3_K: gemm(PLANES_Q3_K, a); break;
    case WEIGHT_Q4_K: gemm(PLANES_Q4_K, a); break;
    case WEIGHT_Q5_K: gemm(PLANES_Q5_K, a); break;
    case WEIGHT_Q6_K: gemm(PLANES_Q6_K, a); break;
    case WEIGHT_IQ4_XS: gemm(PLANES_IQ4_XS, a); break;
    default: avx512vnni_gemm_quant(type, a); break;
    }
}
