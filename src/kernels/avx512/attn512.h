// Attention over paged keys: all queries that share a KV head go through a block together.
//
// Scores: 16 keys in the lanes; a vector of keys (one dimension) is converted once and serves every
// query. Values: 16 dimensions in the lanes; likewise. Blocks lie far apart, so each line of the next
// block is asked for while its counterpart is used: into the second-level cache, since the first can wait for
// too few lines at once to keep up with the arithmetic. The running maximum, the lane sums and the
// accumulators of each query are its own, so its result is the same in any company. The number of
// queries (Q) is a compile-time constant of everything below, and so is the KV type. The file that includes
// this defines first:
//
//   T                                        the KV type
//   Queries, queries_take(a, first_q, i, q)  query first_q + i as the scores need it, at place i
//   score_keys(a, Q, q, keys, ahead, s)      the scores of a block; prefetches what lies `ahead`
#ifndef CLLM_KERNELS_AVX512_ATTN512_H
#define CLLM_KERNELS_AVX512_ATTN512_H

#include "kernels/avx512/attn_block.h"
#include "kernels/avx512/exp512.h"

#include <limits.h>

typedef struct Softmax {
    float acc[QUERY_TILE][ATTN_MAX_HEAD_DIM];
    float p[QUERY_TILE][MAX_GROUPS][16]; // what weighs values: by groups of dimensions, or [0] for all
    __m512 l[QUERY_TILE];
    float max[QUERY_TILE];
} Softmax;

// Probabilities of one query's visible keys in this block, with its running maximum brought up to date.
INLINE void update_softmax(const AttnArgs *a, Softmax *m, int i, __m512 s, __mmask16 visible,
                           const uint16_t *value_scales) {
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
    if (T == KV_F16)
        _mm512_storeu_ps(m->p[i][0], p);
    else
        for (int g = 0; g < kv_groups(a->head_dim); g++)
            _mm512_storeu_ps(m->p[i][g], _mm512_mul_ps(p, half_lanes(value_scales + 16 * g)));
}

INLINE __mmask16 lanes_below(int n) {
    return n >= 16 ? (__mmask16)0xFFFF : n > 0 ? (__mmask16)((1u << n) - 1) : (__mmask16)0;
}

INLINE void update_all(const AttnArgs *a, const int Q, Softmax *m, int first, const int *n_keys,
                       const __m512 s[QUERY_TILE]) {
    const char *keys = block_at(a, T, first, INT_MAX);
    const uint16_t *value_scales = kv_q8_value_scales((const int8_t *)keys, a->head_dim);
    const int window = a->window ? a->window : INT_MAX;
    UNROLL for (int i = 0; i < Q; i++) {
        int n = n_keys[i] - first;
        __mmask16 visible = lanes_below(n) & (__mmask16)~lanes_below(n - window);
        update_softmax(a, m, i, s[i], visible, value_scales);
    }
}

// G vectors of dimensions from `d` on, for all tokens of the block.
INLINE void add_dims(const AttnArgs *a, const int Q, const int G, Softmax *m, const char *values,
                     ptrdiff_t ahead, int n_tokens, int d) {
    const int line_vectors = 4 / element_bytes(T);
    __m512 acc[QUERY_TILE][QUERY_TILE];
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++) acc[i][g] =
        _mm512_loadu_ps(&m->acc[i][d + 16 * g]);
    for (int t = 0; t < n_tokens; t++) {
        const char *at = values + (t * a->head_dim + d) * element_bytes(T);
        UNROLL for (int g = 0; g < G; g++) {
            __m512 value = lanes_at(T, at, 16 * g);
            if ((d / 16 + g) % line_vectors == 0)
                _mm_prefetch(at + 16 * g * element_bytes(T) + ahead, _MM_HINT_T1);
            UNROLL for (int i = 0; i < Q; i++) {
                const float *p = m->p[i][T == KV_F16 ? 0 : (d / 16 + g) / 2];
                acc[i][g] = _mm512_fmadd_ps(_mm512_set1_ps(p[t]), value, acc[i][g]);
            }
        }
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++)
        _mm512_storeu_ps(&m->acc[i][d + 16 * g], acc[i][g]);
}

// As many dimensions at once as leave registers, so that a token's values are read in one ascending run.
INLINE void add_values(const AttnArgs *a, const int Q, Softmax *m, int first, int most) {
    const char *keys = block_at(a, T, first, most), *values = keys + 16 * a->head_dim * element_bytes(T);
    ptrdiff_t ahead = block_at(a, T, first + 16, most) - keys;
    int n_tokens = most - first < 16 ? most - first : 16;
    int d = 0;
    if (Q <= 2)
        for (; d + 128 <= a->head_dim; d += 128) add_dims(a, Q, 8, m, values, ahead, n_tokens, d);
    if (Q <= 4)
        for (; d + 64 <= a->head_dim; d += 64) add_dims(a, Q, 4, m, values, ahead, n_tokens, d);
    if (Q <= 4)
        for (; d + 32 <= a->head_dim; d += 32) add_dims(a, Q, 2, m, values, ahead, n_tokens, d);
    for (; d < a->head_dim; d += 16) add_dims(a, Q, 1, m, values, ahead, n_tokens, d);
}

INLINE void put_out(const AttnArgs *a, const Softmax *m, int i, float *out, float *max, float *sum) {
    float total = sum512(m->l[i]);
    if (max) {
        *max = m->max[i];
        *sum = total;
    }
    for (int d = 0; d < a->head_dim; d += 16) {
        __m512 acc = _mm512_loadu_ps(&m->acc[i][d]);
        _mm512_storeu_ps(out + d, max ? acc : _mm512_div_ps(acc, _mm512_set1_ps(total)));
    }
}

// Scores of the block whose keys begin at `first`.
INLINE void block_scores(const AttnArgs *a, const int Q, const Queries *q, int first, int most,
                         __m512 s[QUERY_TILE]) {
    const char *keys = block_at(a, T, first, most);
    score_keys(a, Q, q, keys, block_at(a, T, first + 16, most) - keys, s);
}

// Queries [first_q, first_q + Q). max and sum: of those, or NULL for finished outputs. The scores of a block
// are computed before the values of the one before it are added, lest everything wait for its probabilities.
INLINE void attend(const AttnArgs *a, const int Q, int first_q, float *max, float *sum) {
    Softmax m;
    Queries queries;
    __m512 s[QUERY_TILE];
    int n_keys[QUERY_TILE], most = 0;
    UNROLL for (int i = 0; i < Q; i++) {
        n_keys[i] = a->n_keys + (first_q + i) / a->group;
        most = n_keys[i] > most ? n_keys[i] : most;
        m.l[i] = s[i] = _mm512_setzero_ps();
        queries_take(a, first_q, i, &queries);
        m.max[i] = -INFINITY;
        for (int d = 0; d < a->head_dim; d += 16) _mm512_storeu_ps(&m.acc[i][d], _mm512_setzero_ps());
    }
    for (int first = -16; first < most; first += 16) {
        if (first >= 0) update_all(a, Q, &m, first, n_keys, s);
        if (first + 16 < most) block_scores(a, Q, &queries, first + 16, most, s);
        if (first >= 0) add_values(a, Q, &m, first, most);
    }
    UNROLL for (int i = 0; i < Q; i++) put_out(a, &m, i, a->out + (size_t)(first_q + i) * a->out_stride,
                                               max ? max + i : NULL, max ? sum + i : NULL);
}

// max and sum: NULL for finished outputs.
INLINE void attend_all(const AttnArgs *a, float *max, float *sum) {
    int i = 0;
#define ATTEND(Q) attend(a, Q, i, max ? max + i : NULL, max ? sum + i : NULL)
    for (; i + 8 <= a->n_q; i += 8) ATTEND(8);
    for (; i + 4 <= a->n_q; i += 4) ATTEND(4);
    switch (a->n_q - i) {
    case 3: ATTEND(3); break;
    case 2: ATTEND(2); break;
    case 1: ATTEND(1); break;
    default: break;
    }
#undef ATTEND
}

#endif
