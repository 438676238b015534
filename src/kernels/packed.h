// Weight matrices repacked into panels of 16 rows, one vector lane each.
//
// All vector rungs share this layout. A panel of k columns is
//
//   heads   d f16 [k/block][16], then, for formats with minima, dmin (or m) f16 [k/block][16];
//           padded to 64 bytes
//   blocks  for blocks of 256: scales i8 [256/sub][16], then minima u8 [256/sub/2][16][2];
//           then for every 32 columns a chunk of bit planes:
//             4 bits  64 B × 4: byte (row, c) of vector i = column 4i+c (low), 16+4i+c (high nibble)
//             2 bits  64 B × 2: vector h, byte (row, c): field i (2 bits) = column 16h+4i+c
//             8 bits  64 B × 8: vector s, byte (row, c) = column 4s+c
//             1 bit   64 B:     byte (row, c): bit s = column 4s+c
//           Q3_K = 2 + 1, Q5 = 4 + 1, Q6_K = 4 + 2 planes, low bits first.
//
// Float formats: [k][16] elements of the file's type. Rows past the matrix's end are zeros.
#ifndef CLLM_KERNELS_PACKED_H
#define CLLM_KERNELS_PACKED_H

#include "kernels/formats.h"

enum { PANEL_ROWS = 16, CHUNK = 32 };

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

static inline size_t planes_head_bytes(Planes f, int k) {
    return ((size_t)(k / f.block) * 32 * (size_t)(1 + f.has_min) + 63) & ~(size_t)63;
}

// Bytes of scales and minima in front of the chunks of a block.
static inline size_t planes_scale_bytes(Planes f) {
    if (f.block == 32) return 0;
    return (size_t)(f.block / f.sub) * 16 * (size_t)(1 + f.has_min);
}

static inline size_t planes_block_bytes(Planes f) {
    return planes_scale_bytes(f) + (size_t)(f.block / CHUNK) * planes_chunk_bytes(f);
}

static inline size_t planes_panel_bytes(Planes f, int k) {
    return planes_head_bytes(f, k) + (size_t)(k / f.block) * planes_block_bytes(f);
}

// Bytes of a packed panel of k columns.
size_t packed_panel_bytes(WeightType type, int k);

// Packs n_rows (1 … 16) consecutive rows as the file holds them into one panel (64-byte aligned).
void packed_panel_write(WeightType type, const void *rows, int n_rows, int k, void *panel);

#endif
