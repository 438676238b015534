// Weight matrices repacked into panels of 16 rows, one vector lane each.
//
// All vector rungs share this layout. A kernel reads a panel of k columns once, in ascending order:
// memory is at its fastest then, because hardware prefetchers follow one ascending stream. So what a
// block needs stands beside it and in the order of its use:
//
//   blocks of 256  d f16 [16] and dmin f16 [16] (or a gap); scales i8 [256/sub/2][16][2]; eight chunks;
//                  with minima, mins u8 likewise
//   blocks of 32   d f16 [16] and m f16 [16]; a chunk. Without m, two blocks share a head: d [2][16],
//                  two chunks (the last may be missing)
//
// A chunk is the bit planes of 32 columns, 64-byte vectors of which byte (row, c) holds column c of 4:
//
//   8 bits  8 vectors: vector s = columns 4s+c
//   4 bits  4 vectors: vector i = columns 4i+c (low nibble), 16+4i+c (high nibble)
//   2 bits  2 vectors: vector h, field i of 2 bits = columns 16h+4i+c
//   1 bit   1 vector: bit s = columns 4s+c
//   Q3_K = 2 + 1 bits, Q5 = 4 + 1, Q6_K = 4 + 2. The first vector of the high plane stands in front
//   of the low plane, the second behind it.
//
// Float formats: [k][16] elements of the file's type. Rows past the matrix's end are zeros.
#ifndef CLLM_KERNELS_PACKED_H
#define CLLM_KERNELS_PACKED_H

#include "kernels/formats.h"

enum { PANEL_ROWS = 16, CHUNK = 32 };

// Of the layout above. Packed weights are kept in files: whoever changes the layout raises it.
enum { PACKED_LAYOUT_VERSION = 1 };

// What a kernel must know at compile time about a format.
typedef struct Planes {
    int low, high; // bits of the two planes; high may be 0
    int block, sub;
    int offset_shift; // log2 of the offset, -1 for none
    int has_min, codebook;
} Planes;

#define PLANES_Q8_0 ((Planes){8, 0, 32, 32, 7, 0, 0})
#define PLANES_Q4_0 ((Planes){4, 0, 32, 32, 3, 0, 0})
#define PLANES_Q4_1 ((Planes){4, 0, 32, 32, -1, 1, 0})
#define PLANES_Q5_0 ((Planes){4, 1, 32, 32, 4, 0, 0})
#define PLANES_Q5_1 ((Planes){4, 1, 32, 32, -1, 1, 0})
#define PLANES_IQ4_NL ((Planes){4, 0, 32, 32, 7, 0, 1})
#define PLANES_Q2_K ((Planes){2, 0, 256, 16, -1, 1, 0})
#define PLANES_Q3_K ((Planes){2, 1, 256, 16, 2, 0, 0})
#define PLANES_Q4_K ((Planes){4, 0, 256, 32, -1, 1, 0})
#define PLANES_Q5_K ((Planes){4, 1, 256, 32, -1, 1, 0})
#define PLANES_Q6_K ((Planes){4, 2, 256, 16, 5, 0, 0})
#define PLANES_IQ4_XS ((Planes){4, 0, 256, 32, 7, 0, 1})

static inline size_t planes_chunk_bytes(Planes f) {
    return (size_t)(f.low + f.high) * 64;
}

// Where vector i of a chunk's low plane begins, and vector h of its high plane.
static inline size_t planes_low_at(Planes f, int i) {
    return (size_t)(i + (f.high > 0)) * 64;
}
static inline size_t planes_high_at(Planes f, int h) {
    return h == 0 ? 0 : (size_t)(f.low + 1) * 64;
}

// Where the parts of block b begin, in bytes from the start of its panel.
static inline size_t planes_scale_bytes(Planes f) { // of a block of 256; its minima take as much
    return (size_t)(f.block / f.sub) * 16;
}
static inline size_t planes_block_bytes(Planes f) { // of 256, or of 32 with minima
    size_t parts = f.block == 32 ? 0 : planes_scale_bytes(f) * (size_t)(1 + f.has_min);
    return 64 + parts + (size_t)(f.block / CHUNK) * planes_chunk_bytes(f);
}
static inline size_t planes_head_at(Planes f, int b) { // d f16 [16]; with minima, dmin or m follows
    if (f.block == 256 || f.has_min) return (size_t)b * planes_block_bytes(f);
    return (size_t)(b / 2) * (64 + 2 * planes_chunk_bytes(f)) + (size_t)(b % 2) * 32;
}
static inline size_t planes_scales_at(Planes f, int b) { // blocks of 256
    return planes_head_at(f, b) + 64;
}
static inline size_t planes_chunks_at(Planes f, int b) {
    if (f.block == 256) return planes_scales_at(f, b) + planes_scale_bytes(f);
    if (f.has_min) return planes_head_at(f, b) + 64;
    return planes_head_at(f, b & ~1) + 64 + (size_t)(b % 2) * planes_chunk_bytes(f);
}
static inline size_t planes_mins_at(Planes f, int b) { // blocks of 256
    return planes_chunks_at(f, b) + 8 * planes_chunk_bytes(f);
}

static inline size_t planes_panel_bytes(Planes f, int k) {
    int n = k / f.block;
    if (f.block == 256 || f.has_min) return (size_t)n * planes_block_bytes(f);
    return (size_t)((n + 1) / 2) * 64 + (size_t)n * planes_chunk_bytes(f);
}

// Bytes of a packed panel of k columns.
size_t packed_panel_bytes(WeightType type, int k);

// Packs n_rows (1 … 16) consecutive rows as the file holds them into one panel (64-byte aligned).
void packed_panel_write(WeightType type, const void *rows, int n_rows, int k, void *panel);

#endif
