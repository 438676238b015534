// The weight formats of GGUF files: how their blocks look and what they mean.
//
// A row of weights is a run of blocks of 1, 32 or 256 elements. All quantised formats are seen here
// as one: unsigned integers u with an optional common offset, a scale per sub-block, an optional
// minimum per sub-block:
//
//     w = scale[j] * (u - offset)  [ - or + minimum[j] ]
//
// so that one decoder per format serves dequantisation, the scalar kernels and the packer.
// Source of the layouts: the block structures of ggml (docs: "GGUF tensor types"); checked bit by
// bit against the Python package `gguf`.
#ifndef CLLM_KERNELS_FORMATS_H
#define CLLM_KERNELS_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum WeightType {
    WEIGHT_F32,
    WEIGHT_F16,
    WEIGHT_BF16,
    WEIGHT_Q8_0,
    WEIGHT_Q4_0,
    WEIGHT_Q4_1,
    WEIGHT_Q5_0,
    WEIGHT_Q5_1,
    WEIGHT_IQ4_NL, // blocks of 32
    WEIGHT_Q2_K,
    WEIGHT_Q3_K,
    WEIGHT_Q4_K,
    WEIGHT_Q5_K,
    WEIGHT_Q6_K,
    WEIGHT_IQ4_XS, // blocks of 256
    N_WEIGHT_TYPES
} WeightType;

enum { MAX_BLOCK = 256, MAX_SUBS = 16 };

typedef struct WeightFormat {
    const char *name;
    int block; // elements in a block: 1 (floats), 32 or 256
    int block_bytes;
    int bits;      // of u: 4, 5, 6, 8, … (floats: of the element)
    int sub;       // elements in a sub-block, which has a scale of its own: 16 or 32
    int offset;    // subtracted from u: a power of two, or 0
    bool has_min;  // blocks of 32: + m; blocks of 256: - dmin * mins[j]
    bool codebook; // u is an index into iq4_values (which then is the unsigned value, offset 128)
} WeightFormat;

extern const WeightFormat weight_formats[N_WEIGHT_TYPES];

// The 16 values of IQ4_NL and IQ4_XS, plus 128.
extern const uint8_t iq4_values[16];

// A decoded block. For blocks of 32: scale d, minimum m = dmin, one sub-block.
// For blocks of 256: sub-block j has scale d * scales[j] and minimum dmin * mins[j].
typedef struct DecodedBlock {
    uint8_t u[MAX_BLOCK]; // raw integers (for codebook formats: the index)
    uint16_t d, dmin;     // half precision, as in the file
    int8_t scales[MAX_SUBS];
    uint8_t mins[MAX_SUBS];
} DecodedBlock;

static inline bool weight_is_float(WeightType type) {
    return type <= WEIGHT_BF16;
}

// Bytes of a row of k elements (k a multiple of the block).
size_t weight_row_bytes(WeightType type, int k);

// One block of a quantised format.
void weight_decode_block(WeightType type, const void *block, DecodedBlock *out);

// k elements to float, bit-equal to the reference: out[k].
void weight_dequantize_row(WeightType type, const void *row, int k, float *out);

#endif
