#include "kernels/formats.h"

#include "kernels/half.h"

const WeightFormat weight_formats[N_WEIGHT_TYPES] = {
    //                name      block bytes bits sub offset min    codebook
    [WEIGHT_F32] = {"F32", 1, 4, 32, 0, 0, false, false},
    [WEIGHT_F16] = {"F16", 1, 2, 16, 0, 0, false, false},
    [WEIGHT_BF16] = {"BF16", 1, 2, 16, 0, 0, false, false},
    [WEIGHT_Q8_0] = {"Q8_0", 32, 34, 8, 32, 128, false, false},
    [WEIGHT_Q4_0] = {"Q4_0", 32, 18, 4, 32, 8, false, false},
    [WEIGHT_Q4_1] = {"Q4_1", 32, 20, 4, 32, 0, true, false},
    [WEIGHT_Q5_0] = {"Q5_0", 32, 22, 5, 32, 16, false, false},
    [WEIGHT_Q5_1] = {"Q5_1", 32, 24, 5, 32, 0, true, false},
    [WEIGHT_IQ4_NL] = {"IQ4_NL", 32, 18, 4, 32, 128, false, true},
    [WEIGHT_Q2_K] = {"Q2_K", 256, 84, 2, 16, 0, true, false},
    [WEIGHT_Q3_K] = {"Q3_K", 256, 110, 3, 16, 4, false, false},
    [WEIGHT_Q4_K] = {"Q4_K", 256, 144, 4, 32, 0, true, false},
    [WEIGHT_Q5_K] = {"Q5_K", 256, 176, 5, 32, 0, true, false},
    [WEIGHT_Q6_K] = {"Q6_K", 256, 210, 6, 16, 32, false, false},
    [WEIGHT_IQ4_XS] = {"IQ4_XS", 256, 136, 4, 32, 128, false, true},
};

const uint8_t iq4_values[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};

size_t weight_row_bytes(WeightType type, int k) {
    const WeightFormat *f = &weight_formats[type];
    return (size_t)(k / f->block) * (size_t)f->block_bytes;
}

static uint16_t load_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
}

// Nibbles of 32 elements in 16 bytes: low ones first.
static void split_nibbles(const uint8_t *qs, int n_bytes, uint8_t *u) {
    for (int i = 0; i < n_bytes; i++) {
        u[i] = qs[i] & 0x0F;
        u[i + n_bytes] = qs[i] >> 4;
    }
}

static void add_fifth_bits(uint32_t high, uint8_t *u) {
    for (int i = 0; i < 32; i++) u[i] |= (uint8_t)((high >> i & 1) << 4);
}

static void decode_q8_0(const uint8_t *b, DecodedBlock *o) {
    o->d = load_u16(b);
    for (int i = 0; i < 32; i++) o->u[i] = b[2 + i] ^ 0x80;
}

static void decode_q4_0(const uint8_t *b, DecodedBlock *o) { // IQ4_NL too
    o->d = load_u16(b);
    split_nibbles(b + 2, 16, o->u);
}

static void decode_q4_1(const uint8_t *b, DecodedBlock *o) {
    o->d = load_u16(b);
    o->dmin = load_u16(b + 2);
    split_nibbles(b + 4, 16, o->u);
}

static void decode_q5_0(const uint8_t *b, DecodedBlock *o) {
    o->d = load_u16(b);
    split_nibbles(b + 6, 16, o->u);
    add_fifth_bits(load_u32(b + 2), o->u);
}

static void decode_q5_1(const uint8_t *b, DecodedBlock *o) {
    o->d = load_u16(b);
    o->dmin = load_u16(b + 2);
    split_nibbles(b + 8, 16, o->u);
    add_fifth_bits(load_u32(b + 4), o->u);
}

// scales[16] (low nibble scale, high nibble minimum), qs[64], d, dmin.
static void decode_q2_k(const uint8_t *b, DecodedBlock *o) {
    const uint8_t *qs = b + 16;
    o->d = load_u16(b + 80);
    o->dmin = load_u16(b + 82);
    for (int j = 0; j < 16; j++) {
        o->scales[j] = (int8_t)(b[j] & 0x0F);
        o->mins[j] = b[j] >> 4;
    }
    for (int i = 0; i < 256; i++) o->u[i] = qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

// hmask[32], qs[64], scales[12] (6 bits each, 32 subtracted), d.
static void decode_q3_k(const uint8_t *b, DecodedBlock *o) {
    const uint8_t *hmask = b, *qs = b + 32, *s = b + 96;
    o->d = load_u16(b + 108);
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? s[j] & 0x0F : s[j - 8] >> 4;
        int high = s[8 + j % 4] >> (j / 4 * 2) & 3;
        o->scales[j] = (int8_t)((low | high << 4) - 32);
    }
    for (int i = 0; i < 256; i++) {
        int low = qs[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
        int high = hmask[i % 32] >> (i / 32) & 1;
        o->u[i] = (uint8_t)(low | high << 2);
    }
}

// Eight 6-bit scales and eight 6-bit minima in 12 bytes, as Q4_K and Q5_K hold them.
static void decode_scales_6bit(const uint8_t *s, DecodedBlock *o) {
    for (int j = 0; j < 4; j++) {
        o->scales[j] = (int8_t)(s[j] & 63);
        o->mins[j] = s[j + 4] & 63;
        o->scales[j + 4] = (int8_t)((s[j + 8] & 0x0F) | (s[j] >> 6) << 4);
        o->mins[j + 4] = (uint8_t)(s[j + 8] >> 4 | (s[j + 4] >> 6) << 4);
    }
}

static void decode_q4_k(const uint8_t *b, DecodedBlock *o) {
    o->d = load_u16(b);
    o->dmin = load_u16(b + 2);
    decode_scales_6bit(b + 4, o);
    for (int j = 0; j < 4; j++) split_nibbles(b + 16 + 32 * j, 32, o->u + 64 * j);
}

static void decode_q5_k(const uint8_t *b, DecodedBlock *o) {
    const uint8_t *qh = b + 16;
    o->d = load_u16(b);
    o->dmin = load_u16(b + 2);
    decode_scales_6bit(b + 4, o);
    for (int j = 0; j < 4; j++) split_nibbles(b + 48 + 32 * j, 32, o->u + 64 * j);
    for (int i = 0; i < 256; i++) o->u[i] |= (uint8_t)((qh[i % 32] >> (i / 32) & 1) << 4);
}

// ql[128], qh[64], scales[16], d. Each half of 128: four runs of 32.
static void decode_q6_k(const uint8_t *b, DecodedBlock *o) {
    const uint8_t *ql = b, *qh = b + 128;
    uint8_t *u = o->u;
    o->d = load_u16(b + 208);
    for (int j = 0; j < 16; j++) o->scales[j] = (int8_t)b[192 + j];
    for (int run = 0; run < 8; run++, u += 32) {
        const uint8_t *low = ql + 64 * (run / 4) + 32 * (run % 2), *high = qh + 32 * (run / 4);
        int low_shift = run % 4 / 2 * 4, high_shift = run % 4 * 2;
        for (int i = 0; i < 32; i++)
            u[i] = (uint8_t)((low[i] >> low_shift & 0x0F) | (high[i] >> high_shift & 3) << 4);
    }
}

// d, scales_h (2 bits each), scales_l[4] (4 bits each), qs[128].
static void decode_iq4_xs(const uint8_t *b, DecodedBlock *o) {
    uint32_t high = load_u16(b + 2);
    o->d = load_u16(b);
    for (int j = 0; j < 8; j++) {
        int low = b[4 + j / 2] >> (j % 2 * 4) & 0x0F;
        o->scales[j] = (int8_t)((low | (int)(high >> (2 * j) & 3) << 4) - 32);
    }
    for (int j = 0; j < 8; j++) split_nibbles(b + 8 + 16 * j, 16, o->u + 32 * j);
}

void weight_decode_block(WeightType type, const void *block, DecodedBlock *out) {
    static void (*const decoders[N_WEIGHT_TYPES])(const uint8_t *, DecodedBlock *) = {
        [WEIGHT_Q8_0] = decode_q8_0, [WEIGHT_Q4_0] = decode_q4_0, [WEIGHT_Q4_1] = decode_q4_1,
        [WEIGHT_Q5_0] = decode_q5_0, [WEIGHT_Q5_1] = decode_q5_1, [WEIGHT_IQ4_NL] = decode_q4_0,
        [WEIGHT_Q2_K] = decode_q2_k, [WEIGHT_Q3_K] = decode_q3_k, [WEIGHT_Q4_K] = decode_q4_k,
        [WEIGHT_Q5_K] = decode_q5_k, [WEIGHT_Q6_K] = decode_q6_k, [WEIGHT_IQ4_XS] = decode_iq4_xs,
    };
    decoders[type](block, out);
}

static void dequantize_block(const WeightFormat *f, const DecodedBlock *b, float *out) {
    float d = half_to_float(b->d), dmin = half_to_float(b->dmin);
    for (int j = 0; j < f->block / f->sub; j++) {
        float scale = f->block == 32 ? d : d * (float)b->scales[j];
        float minimum = !f->has_min ? 0 : f->block == 32 ? dmin : -(dmin * (float)b->mins[j]);
        for (int i = j * f->sub; i < (j + 1) * f->sub; i++) {
            int u = f->codebook ? iq4_values[b->u[i]] : b->u[i];
            float w = scale * (float)(u - f->offset);
            out[i] = f->has_min ? w + minimum : w;
        }
    }
}

static void dequantize_floats(WeightType type, const void *row, int k, float *out) {
    if (type == WEIGHT_F32) {
        memcpy(out, row, (size_t)k * sizeof *out);
        return;
    }
    const uint8_t *p = row;
    for (int i = 0; i < k; i++) {
        uint16_t bits = load_u16(p + 2 * i);
        out[i] = type == WEIGHT_F16 ? half_to_float(bits) : bf16_to_float(bits);
    }
}

void weight_dequantize_row(WeightType type, const void *row, int k, float *out) {
    const WeightFormat *f = &weight_formats[type];
    if (weight_is_float(type)) {
        dequantize_floats(type, row, k, out);
        return;
    }
    const uint8_t *p = row;
    DecodedBlock b = {0};
    for (int i = 0; i < k; i += f->block, p += f->block_bytes) {
        weight_decode_block(type, p, &b);
        dequantize_block(f, &b, out + i);
    }
}
