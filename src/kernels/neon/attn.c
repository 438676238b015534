// Attention over paged keys; see avx512/attn.c for the idea. 16 keys are four vectors here.
#include "kernels/neon/table.h"

#include "kernels/neon/exp128.h"

#include <limits.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { QUERY_TILE = 4 };

typedef struct Softmax {
    float acc[QUERY_TILE][ATTN_MAX_HEAD_DIM];
    float p[QUERY_TILE][16];
    float32x4_t l[QUERY_TILE][4];
    float max[QUERY_TILE];
} Softmax;

INLINE float32x4_t half_lanes(const uint16_t *h) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h)));
}

// The sums over every fourth dimension from the first, second … one on: J of the four side by side,
// since few queries alone would wait for each multiply-add to finish.
INLINE void fourth_sums(const AttnArgs *a, const int Q, const int J, const float *q, const uint16_t *keys,
                        ptrdiff_t ahead, int first, float32x4_t out[4][QUERY_TILE][4]) {
    float32x4_t sums[4][QUERY_TILE][4];
    UNROLL for (int j = 0; j < J; j++) UNROLL for (int i = 0; i < Q; i++) UNROLL for (int v = 0; v < 4; v++) {
        sums[j][i][v] = vdupq_n_f32(0);
    }
    for (int d = first; d < a->head_dim; d += 4) {
        UNROLL for (int j = 0; j < J; j++) {
            const uint16_t *at = keys + 16 * (d + j);
            const float *dims = q + d + j;
            if ((first + j) % 2 == 0) __builtin_prefetch(at + ahead);
            UNROLL for (int v = 0; v < 4; v++) {
                float32x4_t key = half_lanes(at + 4 * v);
                UNROLL for (int i = 0; i < Q; i++) {
                    sums[j][i][v] = vfmaq_n_f32(sums[j][i][v], key, dims[(size_t)i * a->q_stride]);
                }
            }
        }
    }
    UNROLL for (int j = 0; j < J; j++) UNROLL for (int i = 0; i < Q; i++) UNROLL for (int v = 0; v < 4; v++) {
        out[j][i][v] = sums[j][i][v];
    }
}

INLINE void block_scores(const AttnArgs *a, const int Q, const float *q, const uint16_t *keys,
                         ptrdiff_t ahead, float32x4_t s[QUERY_TILE][4]) {
    float32x4_t sums[4][QUERY_TILE][4];
    const int together = Q == 1 ? 4 : Q == 2 ? 2 : 1;
    _Pragma("GCC unroll 1") for (int j = 0; j < 4; j += together) { // their sums wait in memory
        fourth_sums(a, Q, together, q, keys, ahead, j, sums + j);
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int v = 0; v < 4; v++) {
        s[i][v] = vaddq_f32(vaddq_f32(sums[0][i][v], sums[1][i][v]), vaddq_f32(sums[2][i][v], sums[3][i][v]));
    }
}

// All ones in the lanes below n.
INLINE uint32x4_t first_lanes(int n) {
    static const int32_t lanes[4] = {0, 1, 2, 3};
    return vcltq_s32(vld1q_s32(lanes), vdupq_n_s32(n));
}

INLINE float max16(const float32x4_t s[4], const uint32x4_t mask[4]) {
    float32x4_t none = vdupq_n_f32(-INFINITY), max = none;
    UNROLL for (int v = 0; v < 4; v++) max = vmaxq_f32(max, vbslq_f32(mask[v], s[v], none));
    return vmaxvq_f32(max);
}

// n: keys of this block up to the last that the query sees.
INLINE void update_softmax(const AttnArgs *a, Softmax *m, int i, const float32x4_t s[4], int n) {
    const int unseen = n - (a->window ? a->window : INT_MAX);
    uint32x4_t mask[4];
    UNROLL for (int v = 0; v < 4; v++) mask[v] =
        vbicq_u32(first_lanes(n - 4 * v), first_lanes(unseen - 4 * v));
    float block_max = max16(s, mask);
    if (block_max > m->max[i]) {
        float32x4_t shrink = exp128(vdupq_n_f32(m->max[i] - block_max));
        UNROLL for (int v = 0; v < 4; v++) m->l[i][v] = vmulq_f32(m->l[i][v], shrink);
        for (int d = 0; d < a->head_dim; d += 4)
            vst1q_f32(&m->acc[i][d], vmulq_f32(vld1q_f32(&m->acc[i][d]), shrink));
        m->max[i] = block_max;
    }
    UNROLL for (int v = 0; v < 4; v++) {
        float32x4_t p = exp128(vsubq_f32(s[v], vdupq_n_f32(m->max[i])));
        p = vreinterpretq_f32_u32(vandq_u32(mask[v], vreinterpretq_u32_f32(p)));
        m->l[i][v] = vaddq_f32(m->l[i][v], p);
        vst1q_f32(&m->p[i][4 * v], p);
    }
}

// G vectors of dimensions from `d` on, for all tokens of the block.
INLINE void add_dims(const AttnArgs *a, const int Q, const int G, Softmax *m, const uint16_t *values,
                     ptrdiff_t ahead, int n_tokens, int d) {
    float32x4_t acc[QUERY_TILE][16];
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++) {
        acc[i][g] = vld1q_f32(&m->acc[i][d + 4 * g]);
    }
    for (int t = 0; t < n_tokens; t++) {
        const uint16_t *at = values + (size_t)t * (size_t)a->head_dim + (size_t)d;
        UNROLL for (int g = 0; g < G; g++) {
            float32x4_t value = half_lanes(at + 4 * g);
            if ((d / 4 + g) % 8 == 0) __builtin_prefetch(at + 4 * g + ahead);
            UNROLL for (int i = 0; i < Q; i++) acc[i][g] = vfmaq_n_f32(acc[i][g], value, m->p[i][t]);
        }
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++)
        vst1q_f32(&m->acc[i][d + 4 * g], acc[i][g]);
}

// As many dimensions at once as leave registers, so that a token's values are read in one ascending run.
INLINE void add_values(const AttnArgs *a, const int Q, Softmax *m, const uint16_t *values, ptrdiff_t ahead,
                       int n_tokens) {
    int d = 0;
    if (Q == 1)
        for (; d + 64 <= a->head_dim; d += 64) add_dims(a, Q, 16, m, values, ahead, n_tokens, d);
    if (Q <= 2)
        for (; d + 32 <= a->head_dim; d += 32) add_dims(a, Q, 8, m, values, ahead, n_tokens, d);
    for (; d < a->head_dim; d += 16) add_dims(a, Q, 4, m, values, ahead, n_tokens, d);
}

// What will be read after this block: the sequence's next one, or (first < 0) the next head's first.
INLINE const uint16_t *next_block(const AttnArgs *a, int first) {
    if (first >= 0) return a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
    return a->kv + (size_t)a->blocks[0] * a->block_stride + (size_t)a->head_dim * 32;
}

// Queries [first_q, first_q + Q). max and sum: of those, or NULL for finished outputs.
INLINE void attend(const AttnArgs *a, const int Q, int first_q, float *max, float *sum) {
    Softmax m;
    int n_keys[QUERY_TILE], most = 0;
    UNROLL for (int i = 0; i < Q; i++) {
        n_keys[i] = a->n_keys + (first_q + i) / a->group;
        most = n_keys[i] > most ? n_keys[i] : most;
        UNROLL for (int v = 0; v < 4; v++) m.l[i][v] = vdupq_n_f32(0);
        m.max[i] = -INFINITY;
        for (int d = 0; d < a->head_dim; d++) m.acc[i][d] = 0;
    }
    const float *q = a->q + (size_t)first_q * a->q_stride;
    for (int first = 0; first < most; first += 16) {
        const uint16_t *keys = a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
        ptrdiff_t ahead = next_block(a, first + 16 < most ? first + 16 : -1) - keys;
        float32x4_t s[QUERY_TILE][4];
        block_scores(a, Q, q, keys, ahead, s);
        UNROLL for (int i = 0; i < Q; i++) update_softmax(a, &m, i, s[i], n_keys[i] - first);
        add_values(a, Q, &m, keys + (size_t)a->head_dim * 16, ahead, most - first < 16 ? most - first : 16);
    }
    UNROLL for (int i = 0; i < Q; i++) {
        float *out = a->out + (size_t)(first_q + i) * a->out_stride;
        float total = sum4x128(m.l[i]);
        if (max) {
            max[i] = m.max[i];
            sum[i] = total;
        }
        float32x4_t divisor = vdupq_n_f32(max ? 1 : total); // x / 1 is x
        for (int d = 0; d < a->head_dim; d += 4)
            vst1q_f32(out + d, vdivq_f32(vld1q_f32(&m.acc[i][d]), divisor));
    }
}

static void attend_all(const AttnArgs *a, float *max, float *sum) {
    int i = 0;
#define ATTEND(Q) attend(a, Q, i, max ? max + i : NULL, max ? sum + i : NULL)
    for (; i + 4 <= a->n_q; i += 4) ATTEND(4);
    switch (a->n_q - i) {
    case 3: ATTEND(3); break;
    case 2: ATTEND(2); break;
    case 1: ATTEND(1); break;
    default: break;
    }
#undef ATTEND
}

void neon_attention_f16(const AttnArgs *a) {
    attend_all(a, NULL, NULL);
}

void neon_attention_part_f16(const AttnArgs *a, float *max, float *sum) {
    attend_all(a, max, sum);
}

// 4 numbers to half precision, clamped to its finite range (a NaN becomes the maximum).
INLINE uint16x4_t finite_halves(const float *x) {
    const float32x4_t most = vdupq_n_f32(65504.0f);
    float32x4_t v = vld1q_f32(x);
    v = vbslq_f32(vcltq_f32(v, most), v, most);
    return vreinterpret_u16_f16(vcvt_f16_f32(vmaxq_f32(v, vnegq_f32(most))));
}

void neon_kv_write_f16(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    uint16_t *values = block + (size_t)head_dim * 16 + (size_t)slot * (size_t)head_dim;
    for (int d = 0; d < head_dim; d += 4) {
        uint16_t lanes[4];
        vst1_u16(lanes, finite_halves(key + d));
        UNROLL for (int i = 0; i < 4; i++) block[16 * (d + i) + slot] = lanes[i];
        vst1_u16(values + d, finite_halves(value + d));
    }
}
