// Attention over paged keys: all queries that share a KV head go through a block together.
//
// Scores: 16 keys in the lanes; a vector of keys (one dimension) is converted once and serves every
// query. Values: 16 dimensions in the lanes; likewise. Blocks lie far apart, so each line of the next
// block is asked for while its counterpart is used. The running maximum, the lane sums and the
// accumulators of each query are its own, so its result is the same in any company.
#include "kernels/avx512/table.h"

#include "kernels/avx512/exp512.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { QUERY_TILE = 8 };

typedef struct Softmax {
    float acc[QUERY_TILE][ATTN_MAX_HEAD_DIM];
    float p[QUERY_TILE][16];
    __m512 l[QUERY_TILE];
    float max[QUERY_TILE];
} Softmax;

INLINE __m512 half_lanes(const uint16_t *h) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h));
}

// The sums over every fourth dimension from the first, second … one on: J of the four side by side,
// since few queries alone would wait for each multiply-add to finish.
INLINE void fourth_sums(const AttnArgs *a, const int Q, const int J, const float *q, const uint16_t *keys,
                        ptrdiff_t ahead, int first, __m512 sums[4][QUERY_TILE]) {
    UNROLL for (int j = 0; j < J; j++) UNROLL for (int i = 0; i < Q; i++) sums[j][i] = _mm512_setzero_ps();
    for (int d = first; d < a->head_dim; d += 4)
        UNROLL for (int j = 0; j < J; j++) {
            const uint16_t *at = keys + 16 * (d + j);
            __m512 key = half_lanes(at);
            if (j % 2 == 0) _mm_prefetch((const char *)(at + ahead), _MM_HINT_T0);
            UNROLL for (int i = 0; i < Q; i++) {
                __m512 dim = _mm512_set1_ps(q[(size_t)i * a->q_stride + (size_t)(d + j)]);
                sums[j][i] = _mm512_fmadd_ps(dim, key, sums[j][i]);
            }
        }
}

INLINE void block_scores(const AttnArgs *a, const int Q, const float *q, const uint16_t *keys, ptrdiff_t ahead,
                         __m512 s[QUERY_TILE]) {
    __m512 sums[4][QUERY_TILE];
    const int together = Q <= 4 ? 4 : 1;
    UNROLL for (int j = 0; j < 4; j += together) fourth_sums(a, Q, together, q, keys, ahead, j, sums + j);
    UNROLL for (int i = 0; i < Q; i++)
        s[i] = _mm512_add_ps(_mm512_add_ps(sums[0][i], sums[1][i]), _mm512_add_ps(sums[2][i], sums[3][i]));
}

// Probabilities of one query's visible keys in this block, with its running maximum brought up to date.
INLINE void update_softmax(const AttnArgs *a, Softmax *m, int i, __m512 s, __mmask16 visible) {
    float block_max = _mm512_mask_reduce_max_ps(visible, s);
    if (visible && block_max > m->max[i]) {
        __m512 shrink = exp512(_mm512_set1_ps(m->max[i] - block_max));
        m->l[i] = _mm512_mul_ps(m->l[i], shrink);
        for (int d = 0; d < a->head_dim; d += 16)
            _mm512_storeu_ps(&m->acc[i][d], _mm512_mul_ps(_mm512_loadu_ps(&m->acc[i][d]), shrink));
        m->max[i] = block_max;
    }
    __m512 p = _mm512_maskz_mov_ps(visible, exp512(_mm512_sub_ps(s, _mm512_set1_ps(m->max[i]))));
    m->l[i] = _mm512_add_ps(m->l[i], p);
    _mm512_storeu_ps(m->p[i], p);
}

// G vectors of dimensions from `d` on, for all tokens of the block.
INLINE void add_dims(const AttnArgs *a, const int Q, const int G, Softmax *m, const uint16_t *values,
                     ptrdiff_t ahead, int n_tokens, int d) {
    __m512 acc[QUERY_TILE][QUERY_TILE];
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++)
        acc[i][g] = _mm512_loadu_ps(&m->acc[i][d + 16 * g]);
    for (int t = 0; t < n_tokens; t++) {
        const uint16_t *at = values + (size_t)t * (size_t)a->head_dim + (size_t)d;
        UNROLL for (int g = 0; g < G; g++) {
            __m512 value = half_lanes(at + 16 * g);
            if ((d / 16 + g) % 2 == 0) _mm_prefetch((const char *)(at + 16 * g + ahead), _MM_HINT_T0);
            UNROLL for (int i = 0; i < Q; i++)
                acc[i][g] = _mm512_fmadd_ps(_mm512_set1_ps(m->p[i][t]), value, acc[i][g]);
        }
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++)
        _mm512_storeu_ps(&m->acc[i][d + 16 * g], acc[i][g]);
}

// As many dimensions at once as leave registers, so that a token's values are read in one ascending run.
INLINE void add_values(const AttnArgs *a, const int Q, Softmax *m, const uint16_t *values, ptrdiff_t ahead,
                       int n_tokens) {
    int d = 0;
    if (Q <= 2)
        for (; d + 128 <= a->head_dim; d += 128) add_dims(a, Q, 8, m, values, ahead, n_tokens, d);
    if (Q <= 4)
        for (; d + 64 <= a->head_dim; d += 64) add_dims(a, Q, 4, m, values, ahead, n_tokens, d);
    if (Q <= 4)
        for (; d + 32 <= a->head_dim; d += 32) add_dims(a, Q, 2, m, values, ahead, n_tokens, d);
    for (; d < a->head_dim; d += 16) add_dims(a, Q, 1, m, values, ahead, n_tokens, d);
}

// What will be read after this block: the sequence's next one, or (first < 0) the next head's first.
INLINE const uint16_t *next_block(const AttnArgs *a, int first) {
    if (first >= 0) return a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
    return a->kv + (size_t)a->blocks[0] * a->block_stride + (size_t)a->head_dim * 32;
}

// Queries [first_q, first_q + Q).
INLINE void attend(const AttnArgs *a, const int Q, int first_q) {
    Softmax m;
    int n_keys[QUERY_TILE], most = 0;
    UNROLL for (int i = 0; i < Q; i++) {
        n_keys[i] = a->n_keys + (first_q + i) / a->group;
        most = n_keys[i] > most ? n_keys[i] : most;
        m.l[i] = _mm512_setzero_ps();
        m.max[i] = -INFINITY;
        for (int d = 0; d < a->head_dim; d += 16) _mm512_storeu_ps(&m.acc[i][d], _mm512_setzero_ps());
    }
    const float *q = a->q + (size_t)first_q * a->q_stride;
    for (int first = 0; first < most; first += 16) {
        const uint16_t *keys = a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
        ptrdiff_t ahead = next_block(a, first + 16 < most ? first + 16 : -1) - keys;
        __m512 s[QUERY_TILE];
        block_scores(a, Q, q, keys, ahead, s);
        UNROLL for (int i = 0; i < Q; i++) {
            int n = n_keys[i] - first;
            __mmask16 visible = n >= 16 ? (__mmask16)0xFFFF : n > 0 ? (__mmask16)((1u << n) - 1) : (__mmask16)0;
            update_softmax(a, &m, i, s[i], visible);
        }
        add_values(a, Q, &m, keys + (size_t)a->head_dim * 16, ahead, most - first < 16 ? most - first : 16);
    }
    UNROLL for (int i = 0; i < Q; i++) {
        float *out = a->out + (size_t)(first_q + i) * a->out_stride;
        __m512 total = _mm512_set1_ps(sum512(m.l[i]));
        for (int d = 0; d < a->head_dim; d += 16)
            _mm512_storeu_ps(out + d, _mm512_div_ps(_mm512_loadu_ps(&m.acc[i][d]), total));
    }
}

void avx512_attention(const AttnArgs *a) {
    int i = 0;
    for (; i + 8 <= a->n_q; i += 8) attend(a, 8, i);
    for (; i + 4 <= a->n_q; i += 4) attend(a, 4, i);
    switch (a->n_q - i) {
    case 3: attend(a, 3, i); break;
    case 2: attend(a, 2, i); break;
    case 1: attend(a, 1, i); break;
    default: break;
    }
}

// 16 numbers to half precision, clamped to its finite range (a NaN becomes the maximum).
INLINE __m256i finite_halves(const float *x) {
    __m512 v = _mm512_min_ps(_mm512_loadu_ps(x), _mm512_set1_ps(65504.0f));
    v = _mm512_max_ps(v, _mm512_set1_ps(-65504.0f));
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

void avx512_kv_write(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    uint16_t *values = block + (size_t)head_dim * 16 + (size_t)slot * (size_t)head_dim;
    for (int d = 0; d < head_dim; d += 16) {
        uint16_t lanes[16];
        _mm256_storeu_si256((__m256i *)lanes, finite_halves(key + d));
        UNROLL for (int i = 0; i < 16; i++) block[16 * (d + i) + slot] = lanes[i];
        _mm256_storeu_si256((__m256i *)(values + d), finite_halves(value + d));
    }
}
