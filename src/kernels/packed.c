#include "kernels/packed.h"

#include "base/err.h"

#include <string.h>

#define INLINE inline __attribute__((always_inline))

static const Planes planes_of[N_WEIGHT_TYPES] = {
    [WEIGHT_Q8_0] = PLANES_Q8_0, [WEIGHT_Q4_0] = PLANES_Q4_0, [WEIGHT_Q4_1] = PLANES_Q4_1,
    [WEIGHT_Q5_0] = PLANES_Q5_0, [WEIGHT_Q5_1] = PLANES_Q5_1, [WEIGHT_IQ4_NL] = PLANES_IQ4_NL,
    [WEIGHT_Q2_K] = PLANES_Q2_K, [WEIGHT_Q3_K] = PLANES_Q3_K, [WEIGHT_Q4_K] = PLANES_Q4_K,
    [WEIGHT_Q5_K] = PLANES_Q5_K, [WEIGHT_Q6_K] = PLANES_Q6_K, [WEIGHT_IQ4_XS] = PLANES_IQ4_XS,
};

size_t packed_panel_bytes(WeightType type, int k) {
    if (weight_is_float(type)) return (size_t)k * PANEL_ROWS * (size_t)weight_formats[type].block_bytes;
    return planes_panel_bytes(planes_of[type], k);
}

// The low or high bits of four columns, in each byte of a word.
static inline uint32_t bits_of(uint32_t columns, int from, int n) {
    return columns >> from & ((1u << n) - 1) * 0x01010101u;
}

// Vector v of a plane for one row: each byte joins 8 / bits fields, of steps that lie `stride` apart.
static INLINE void put_vector(const uint32_t *fields, int bits, int stride, int v, uint8_t *vector, int row) {
    int per_word = 8 / bits;
    uint32_t word = 0;
    for (int i = 0; i < per_word; i++)
        word |= fields[stride * i + v * (stride == 1 ? per_word : 1)] << (i * bits);
    memcpy(vector + 4 * row, &word, sizeof word);
}

// The bit planes of 32 columns of one row: eight words of four columns each.
static INLINE void put_chunk(Planes f, const uint8_t *u, int row, uint8_t *chunk) {
    uint32_t low[8], high[8];
    for (int step = 0; step < 8; step++) {
        uint32_t columns;
        memcpy(&columns, u + 4 * step, sizeof columns);
        low[step] = bits_of(columns, 0, f.low);
        high[step] = bits_of(columns, f.low % 8, f.high);
    }
    for (int i = 0; i < f.low; i++)
        put_vector(low, f.low, f.low == 4 ? 4 : 1, i, chunk + planes_low_at(f, i), row);
    for (int h = 0; h < f.high; h++) put_vector(high, f.high, 1, h, chunk + planes_high_at(f, h), row);
}

static INLINE void put_block(Planes f, const DecodedBlock *d, int b, int row, uint8_t *panel) {
    uint16_t *head = (uint16_t *)(panel + planes_head_at(f, b));
    head[row] = d->d;
    if (f.has_min) head[PANEL_ROWS + row] = d->dmin;
    for (int j = 0; f.block == 256 && j < f.block / f.sub; j++) {
        size_t at = (size_t)(32 * (j / 2) + 2 * row + j % 2);
        panel[planes_scales_at(f, b) + at] = (uint8_t)d->scales[j];
        if (f.has_min) panel[planes_mins_at(f, b) + at] = d->mins[j];
    }
    uint8_t *chunk = panel + planes_chunks_at(f, b);
    for (int c = 0; c < f.block / CHUNK; c++, chunk += planes_chunk_bytes(f))
        put_chunk(f, d->u + CHUNK * c, row, chunk);
}

static INLINE void write_planes(Planes f, WeightType type, const uint8_t *rows, int n_rows, int k,
                                uint8_t *panel) {
    size_t row_bytes = weight_row_bytes(type, k);
    memset(panel, 0, planes_panel_bytes(f, k));
    DecodedBlock decoded = {0};
    for (int row = 0; row < n_rows; row++) {
        const uint8_t *src = rows + (size_t)row * row_bytes;
        for (int b = 0; b < k / f.block; b++, src += weight_formats[type].block_bytes) {
            weight_decode_block(type, src, &decoded);
            put_block(f, &decoded, b, row, panel);
        }
    }
}

// With planes that are constants at compile time the loops over their bits unroll: a quarter off loading.
static void write_quantized(WeightType type, const uint8_t *rows, int n_rows, int k, uint8_t *panel) {
#define CASE(name)                                                                                           \
    case WEIGHT_##name: write_planes(PLANES_##name, type, rows, n_rows, k, panel); break
    switch (type) {
        CASE(Q8_0);
        CASE(Q4_0);
        CASE(Q4_1);
        CASE(Q5_0);
        CASE(Q5_1);
        CASE(IQ4_NL);
        CASE(Q2_K);
        CASE(Q3_K);
        CASE(Q4_K);
        CASE(Q5_K);
        CASE(Q6_K);
        CASE(IQ4_XS);
    default: CHECK(!"a quantised type");
    }
#undef CASE
}

static void write_floats(WeightType type, const uint8_t *rows, int n_rows, int k, uint8_t *panel) {
    size_t size = (size_t)weight_formats[type].block_bytes;
    memset(panel, 0, packed_panel_bytes(type, k));
    for (int row = 0; row < n_rows; row++)
        for (int i = 0; i < k; i++)
            memcpy(panel + ((size_t)i * PANEL_ROWS + (size_t)row) * size,
                   rows + ((size_t)row * (size_t)k + (size_t)i) * size, size);
}

void packed_panel_write(WeightType type, const void *rows, int n_rows, int k, void *panel) {
    if (weight_is_float(type))
        write_floats(type, rows, n_rows, k, panel);
    else
        write_quantized(type, rows, n_rows, k, panel);
}
