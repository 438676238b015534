// Activations as the matrix kernels read them: tiles of up to 8 rows, interleaved.
//
// A kernel multiplies 16 weight rows (one vector lane each) with four consecutive k of one
// activation row, broadcast. With 8 rows interleaved in groups of four k, everything that a tile
// of rows needs lies behind one pointer at constant displacements. What rows beyond those in use
// hold never matters.
//
//   ACT_F32      values            f32  [k][8]
//   ACT_Q8_32    int8 per 32:      q    i8  [k/4][8][4]
//                                  scale f32 [k/32][8]        q * scale = value
//                                  nsum  i32 [k/32][8]        minus the sum of q over 32
//                                  ssum  f32 [k/32][8]        scale times the sum
//   ACT_Q8_256   int8 per 256:     q    i8  [k/4][8][4]
//                                  scale f32 [k/256][8]
//                                  nsum  i32 [k/16][8]        -32 times the sum of q over 16
//                                  pair16 i16 [k/32][8][2]    sums over two neighbouring 16s
//                                  pair32 i16 [k/64][8][2]    sums over two neighbouring 32s
//
// scale = max|x| / 127, q = round-half-even(x * (127 / max|x|)); a block of zeros has scale 0, and one
// with max|x| <= ACT_TINY (where the reciprocal would overflow) has q = 0.
#ifndef CLLM_KERNELS_ACTS_H
#define CLLM_KERNELS_ACTS_H

#include <stddef.h>
#include <stdint.h>

typedef enum ActFormat { ACT_F32, ACT_Q8_32, ACT_Q8_256, N_ACT_FORMATS } ActFormat;

#define ACT_TINY 0x1p-120f

enum { ACT_TILE_ROWS = 8 };

static inline int act_block(ActFormat format) {
    return format == ACT_Q8_32 ? 32 : 256;
}

// Bytes of one tile; a multiple of 64. k is a multiple of 32 (of 256 for ACT_Q8_256).
static inline size_t act_tile_bytes(ActFormat format, int k) {
    size_t n = (size_t)k;
    size_t bytes = format == ACT_F32     ? n * 32
                   : format == ACT_Q8_32 ? n * 8 + n / 32 * (32 + 32 + 32)
                                         : n * 8 + n / 256 * 96 + n / 16 * 32 + n / 32 * 32 + n / 64 * 32;
    return (bytes + 63) & ~(size_t)63;
}

// Where the parts of a tile begin.
static inline float *act_scales(ActFormat format, const void *tile, int k) {
    (void)format;
    return (float *)((char *)tile + (size_t)k * 8);
}
static inline int32_t *act_nsums(ActFormat format, const void *tile, int k) {
    return (int32_t *)((char *)tile + (size_t)k * 8 + (size_t)(k / act_block(format)) * 32);
}
static inline float *act_ssums(const void *tile, int k) { // ACT_Q8_32
    return (float *)((char *)tile + (size_t)k * 8 + (size_t)(k / 32) * 64);
}
static inline int16_t *act_pair16(const void *tile, int k) { // ACT_Q8_256
    return (int16_t *)((char *)tile + (size_t)k * 8 + (size_t)(k / 256) * 32 + (size_t)(k / 16) * 32);
}
static inline int16_t *act_pair32(const void *tile, int k) { // ACT_Q8_256
    return (int16_t *)((char *)act_pair16(tile, k) + (size_t)(k / 32) * 32);
}
static inline int32_t *act_peak16(const void *tile, int k) { // ACT_Q8_256
    return (int32_t *)((char *)act_pair32(tile, k) + (size_t)(k / 64) * 32);
}
static inline int32_t *act_peak32(const void *tile, int k) { // ACT_Q8_256
    return act_peak16(tile, k) + k / 256 * 8;
}

#endif
