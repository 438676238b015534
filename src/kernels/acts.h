// Activations as the matrix kernels read them: tiles of up to ACT_TILE_ROWS rows.
//
// Everything that a kernel needs of a tile lies behind one pointer at displacements that depend on k alone. A
// row's values lie together in runs, and the rows' runs behind each other: [k / run][ACT_TILE_ROWS][run]. How
// long a run is, and how many rows a tile has, is what the machine's instructions want. x86 broadcasts a few
// columns of one row from anywhere, and AMX loads 16 rows of up to 64 bytes as an operand. NEON multiplies by
// one lane of a vector, which holds four columns of each of four rows. What rows beyond those in use hold
// never matters.
//
//   ACT_F32      values            f32  in runs
//   ACT_Q8_32    int8 per 32:      q    i8   in runs
//                                  scale f32 [k/32][rows]     q * scale = value
//                                  nsum  i32 [k/32][rows]     minus the sum of q over 32
//                                  ssum  f32 [k/32][rows]     scale times the sum
//   ACT_Q8_256   int8 per 256:     q    i8   in runs
//                                  scale f32 [k/256][rows]
//                                  nsum  i32 [k/16][rows]     -32 times the sum of q over 16
//                                  pair16 i16 [k/32][rows][2] sums over two neighbouring 16s
//                                  pair32 i16 [k/64][rows][2] sums over two neighbouring 32s
//                                  peak16 i32 [k/256][rows]   largest sum of |q| over 16
//                                  peak32 i32 [k/256][rows]   largest sum of |q| over 32
//
// scale = max|x| / 127, q = round-half-even(x * (127 / max|x|)); a block of zeros has scale 0, and one
// with max|x| <= ACT_TINY (where the reciprocal would overflow) has q = 0.
#ifndef CLLM_KERNELS_ACTS_H
#define CLLM_KERNELS_ACTS_H

#include <stddef.h>
#include <stdint.h>

typedef enum ActFormat { ACT_F32, ACT_Q8_32, ACT_Q8_256, N_ACT_FORMATS } ActFormat;

#define ACT_TINY 0x1p-120f

#if defined(__aarch64__)
enum { ACT_TILE_ROWS = 8, ACT_RUN_F32 = 1, ACT_RUN_Q8_32 = 4, ACT_RUN_Q8_256 = 4 };
#else
enum { ACT_TILE_ROWS = 16, ACT_RUN_F32 = 16, ACT_RUN_Q8_32 = 32, ACT_RUN_Q8_256 = 64 };
#endif

static inline int act_block(ActFormat format) {
    return format == ACT_Q8_32 ? 32 : 256;
}

static inline int act_run(ActFormat format) {
    return format == ACT_F32 ? ACT_RUN_F32 : format == ACT_Q8_32 ? ACT_RUN_Q8_32 : ACT_RUN_Q8_256;
}

// Where the value of a row and column is, in values from the start of the tile.
static inline size_t act_at(ActFormat format, int column, int row) {
    const int run = act_run(format);
    return (size_t)(column / run) * (size_t)(ACT_TILE_ROWS * run) + (size_t)(row * run + column % run);
}

// Bytes of one tile; a multiple of 64. k is a multiple of 32 (of 256 for ACT_Q8_256).
static inline size_t act_tile_bytes(ActFormat format, int k) {
    size_t n = (size_t)k, words = 0; // of 32 bits for each row
    if (format == ACT_F32) words = n;
    if (format == ACT_Q8_32) words = n / 4 + n / 32 * 3;
    if (format == ACT_Q8_256) words = n / 4 + n / 256 * 3 + n / 16 + n / 32 + n / 64;
    return (words * sizeof(int32_t) * ACT_TILE_ROWS + 63) & ~(size_t)63;
}

// Where the parts of a tile begin.
static inline float *act_scales(const void *tile, int k) {
    return (float *)((char *)tile + (size_t)k * ACT_TILE_ROWS);
}
static inline int32_t *act_nsums(ActFormat format, const void *tile, int k) {
    return (int32_t *)(act_scales(tile, k) + k / act_block(format) * ACT_TILE_ROWS);
}
static inline float *act_ssums(const void *tile, int k) { // ACT_Q8_32
    return (float *)(act_nsums(ACT_Q8_32, tile, k) + k / 32 * ACT_TILE_ROWS);
}
static inline int16_t *act_pair16(const void *tile, int k) { // ACT_Q8_256
    return (int16_t *)(act_nsums(ACT_Q8_256, tile, k) + k / 16 * ACT_TILE_ROWS);
}
static inline int16_t *act_pair32(const void *tile, int k) { // ACT_Q8_256
    return act_pair16(tile, k) + k / 32 * ACT_TILE_ROWS * 2;
}
static inline size_t act_pair_at(int sum, int row) { // of one sum, in either list of pairs
    return (size_t)(sum / 2 * ACT_TILE_ROWS * 2 + row * 2 + sum % 2);
}
static inline int32_t *act_peak16(const void *tile, int k) { // ACT_Q8_256
    return (int32_t *)(act_pair32(tile, k) + k / 64 * ACT_TILE_ROWS * 2);
}
static inline int32_t *act_peak32(const void *tile, int k) { // ACT_Q8_256
    return act_peak16(tile, k) + k / 256 * ACT_TILE_ROWS;
}

#endif
