// Attention over paged keys: all queries that share a KV head go through a block together.
//
// Scores: 16 keys in the lanes; a vector of keys (one dimension) is converted once and serves every
// query. Values: 16 dimensions in the lanes; likewise. Blocks lie far apart, so each line of the next
// block is asked for while its counterpart is used: into the second-level cache, since the first can wait for
// too few lines at once to keep up with the arithmetic. The running maximum, the lane sums and the
// accumulators of each query are its own, so its result is the same in any company. The KV type (T) and the
// number of queries (Q) are compile-time constants of everything below.
#include "kernels/avx512/table.h"

#include "kernels/avx512/exp512.h"

#include <limits.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { QUERY_TILE = 8, MAX_GROUPS = ATTN_MAX_HEAD_DIM / KV_GROUP };

typedef struct Softmax {
    float acc[QUERY_TILE][ATTN_MAX_HEAD_DIM];
    float p[QUERY_TILE][MAX_GROUPS][16]; // what weighs values: by groups of dimensions, or [0] for all
    __m512 l[QUERY_TILE];
    float max[QUERY_TILE];
} Softmax;

INLINE __m512 half_lanes(const uint16_t *h) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)h));
}

INLINE int element_bytes(const KvType T) {
    return T == KV_F16 ? 2 : 1;
}

// 16 numbers of a block, from its element i on.
INLINE __m512 lanes_at(const KvType T, const char *elements, int i) {
    if (T == KV_F16) return half_lanes((const uint16_t *)elements + i);
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(elements + i))));
}

// The block of the keys from `first` on, in a call that sees `most`; behind the last one: the next head's
// first, which will likely be read then.
INLINE const char *block_at(const AttnArgs *a, const KvType T, int first, int most) {
    if (first < most) return (const char *)(a->kv + (size_t)a->blocks[first / 16] * a->block_stride);
    return (const char *)(a->kv + (size_t)a->blocks[0] * a->block_stride + kv_head_units(T, a->head_dim));
}

// Queries as q8_0 takes them.
typedef struct Queries8 {
    int32_t words[QUERY_TILE][ATTN_MAX_HEAD_DIM / 4]; // four dimensions each
    int32_t offset[QUERY_TILE][MAX_GROUPS];           // -128 times the sum of a group
    float scale[QUERY_TILE][MAX_GROUPS];
} Queries8;

INLINE __m128i quants(__m512 v, __m512 inverse) {
    __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));                  // nearest even
    return _mm512_cvtsepi32_epi8(_mm512_max_epi32(n, _mm512_set1_epi32(-127))); // saturates at 127
}

INLINE void quantize_query(const float *q, int head_dim, Queries8 *out, int i) {
    for (int d = 0, g = 0; d < head_dim; d += KV_GROUP, g++) {
        __mmask16 second = d + 16 < head_dim ? 0xFFFF : 0;
        __m512 low = _mm512_loadu_ps(q + d), high = _mm512_maskz_loadu_ps(second, q + d + 16);
        __m512 most = _mm512_max_ps(_mm512_abs_ps(low), _mm512_setzero_ps()); // a NaN does not count
        float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(high), most));
        __m512 inverse = _mm512_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        __m256i n =
            _mm256_set_m128i(second ? quants(high, inverse) : _mm_setzero_si128(), quants(low, inverse));
        __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), n);
        _mm256_storeu_si256((__m256i *)&out->words[i][d / 4], n);
        out->offset[i][g] = -128 * _mm512_reduce_add_epi32(_mm512_zextsi256_si512(sums));
        out->scale[i][g] = max / 127.0f;
    }
}

// Keys as unsigned numbers, 128 too large; that begins the sums.
INLINE void score_q8(const AttnArgs *a, const int Q, const Queries8 *q, const char *keys, ptrdiff_t ahead,
                     __m512 s[QUERY_TILE]) {
    const uint16_t *scales = kv_q8_key_scales((const int8_t *)keys, a->head_dim);
    UNROLL for (int i = 0; i < Q; i++) s[i] = _mm512_setzero_ps();
    for (int d = 0, g = 0; d < a->head_dim; d += KV_GROUP, g++) {
        __m512i sums[QUERY_TILE];
        UNROLL for (int i = 0; i < Q; i++) sums[i] = _mm512_set1_epi32(q->offset[i][g]);
        _mm_prefetch((const char *)(scales + 16 * g) + ahead, _MM_HINT_T1);
        for (int w = d / 4; w < a->head_dim / 4 && w < d / 4 + KV_GROUP / 4; w++) {
            __m512i key = _mm512_xor_si512(_mm512_loadu_si512(keys + 64 * w), _mm512_set1_epi8(-128));
            _mm_prefetch(keys + 64 * w + ahead, _MM_HINT_T1);
            UNROLL for (int i = 0; i < Q; i++) sums[i] =
                _mm512_dpbusd_epi32(sums[i], key, _mm512_set1_epi32(q->words[i][w]));
        }
        __m512 scale = half_lanes(scales + 16 * g);
        UNROLL for (int i = 0; i < Q; i++) {
            __m512 score = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[i]), _mm512_set1_ps(q->scale[i][g]));
            s[i] = _mm512_fmadd_ps(score, scale, s[i]);
        }
    }
}

// The sums over every fourth dimension from the first, second … one on: J of the four side by side, since few
// queries alone would wait for each multiply-add to finish.
INLINE void fourth_sums(const AttnArgs *a, const int Q, const int J, const float *q, const char *keys,
                        ptrdiff_t ahead, const int first, __m512 sums[4][QUERY_TILE]) {
    UNROLL for (int j = 0; j < J; j++) UNROLL for (int i = 0; i < Q; i++) sums[j][i] = _mm512_setzero_ps();
    for (int d = first; d < a->head_dim; d += 4) UNROLL for (int j = 0; j < J; j++) {
            __m512 key = lanes_at(KV_F16, keys, 16 * (d + j));
            if ((first + j) % 2 == 0) _mm_prefetch(keys + 32 * (d + j) + ahead, _MM_HINT_T1);
            UNROLL for (int i = 0; i < Q; i++) {
                __m512 dim = _mm512_set1_ps(q[(size_t)i * a->q_stride + (size_t)(d + j)]);
                sums[j][i] = _mm512_fmadd_ps(dim, key, sums[j][i]);
            }
        }
}

INLINE void score_f16(const AttnArgs *a, const int Q, const float *q, const char *keys, ptrdiff_t ahead,
                      __m512 s[QUERY_TILE]) {
    __m512 sums[4][QUERY_TILE];
    const int together = Q <= 4 ? 4 : 1;
    UNROLL for (int j = 0; j < 4; j += together) fourth_sums(a, Q, together, q, keys, ahead, j, sums + j);
    UNROLL for (int i = 0; i < Q; i++) s[i] =
        _mm512_add_ps(_mm512_add_ps(sums[0][i], sums[1][i]), _mm512_add_ps(sums[2][i], sums[3][i]));
}

// Scores of the block whose keys begin at `first`, for the queries from first_q on (q8: those, quantised).
INLINE void block_scores(const AttnArgs *a, const KvType T, const int Q, int first_q, const Queries8 *q8,
                         int first, int most, __m512 s[QUERY_TILE]) {
    const char *keys = block_at(a, T, first, most);
    ptrdiff_t ahead = block_at(a, T, first + 16, most) - keys;
    if (T == KV_F16)
        score_f16(a, Q, a->q + (size_t)first_q * a->q_stride, keys, ahead, s);
    else
        score_q8(a, Q, q8, keys, ahead, s);
}

// Probabilities of one query's visible keys in this block, with its running maximum brought up to date.
INLINE void update_softmax(const AttnArgs *a, const KvType T, Softmax *m, int i, __m512 s, __mmask16 visible,
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

INLINE void update_all(const AttnArgs *a, const KvType T, const int Q, Softmax *m, int first,
                       const int *n_keys, const __m512 s[QUERY_TILE]) {
    const char *keys = block_at(a, T, first, INT_MAX);
    const uint16_t *value_scales = kv_q8_value_scales((const int8_t *)keys, a->head_dim);
    UNROLL for (int i = 0; i < Q; i++) {
        int n = n_keys[i] - first;
        __mmask16 visible = n >= 16 ? (__mmask16)0xFFFF : n > 0 ? (__mmask16)((1u << n) - 1) : (__mmask16)0;
        update_softmax(a, T, m, i, s[i], visible, value_scales);
    }
}

// G vectors of dimensions from `d` on, for all tokens of the block.
INLINE void add_dims(const AttnArgs *a, const KvType T, const int Q, const int G, Softmax *m,
                     const char *values, ptrdiff_t ahead, int n_tokens, int d) {
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
INLINE void add_values(const AttnArgs *a, const KvType T, const int Q, Softmax *m, int first, int most) {
    const char *keys = block_at(a, T, first, most), *values = keys + 16 * a->head_dim * element_bytes(T);
    ptrdiff_t ahead = block_at(a, T, first + 16, most) - keys;
    int n_tokens = most - first < 16 ? most - first : 16;
    int d = 0;
    if (Q <= 2)
        for (; d + 128 <= a->head_dim; d += 128) add_dims(a, T, Q, 8, m, values, ahead, n_tokens, d);
    if (Q <= 4)
        for (; d + 64 <= a->head_dim; d += 64) add_dims(a, T, Q, 4, m, values, ahead, n_tokens, d);
    if (Q <= 4)
        for (; d + 32 <= a->head_dim; d += 32) add_dims(a, T, Q, 2, m, values, ahead, n_tokens, d);
    for (; d < a->head_dim; d += 16) add_dims(a, T, Q, 1, m, values, ahead, n_tokens, d);
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

// Queries [first_q, first_q + Q). max and sum: of those, or NULL for finished outputs. The scores of a block
// are computed before the values of the one before it are added, lest everything wait for its probabilities.
INLINE void attend(const AttnArgs *a, const KvType T, const int Q, int first_q, float *max, float *sum) {
    Softmax m;
    Queries8 q8;
    __m512 s[QUERY_TILE];
    int n_keys[QUERY_TILE], most = 0;
    UNROLL for (int i = 0; i < Q; i++) {
        n_keys[i] = a->n_keys + (first_q + i) / a->group;
        most = n_keys[i] > most ? n_keys[i] : most;
        m.l[i] = s[i] = _mm512_setzero_ps();
        if (T == KV_Q8_0) quantize_query(a->q + (size_t)(first_q + i) * a->q_stride, a->head_dim, &q8, i);
        m.max[i] = -INFINITY;
        for (int d = 0; d < a->head_dim; d += 16) _mm512_storeu_ps(&m.acc[i][d], _mm512_setzero_ps());
    }
    for (int first = -16; first < most; first += 16) {
        if (first >= 0) update_all(a, T, Q, &m, first, n_keys, s);
        if (first + 16 < most) block_scores(a, T, Q, first_q, &q8, first + 16, most, s);
        if (first >= 0) add_values(a, T, Q, &m, first, most);
    }
    UNROLL for (int i = 0; i < Q; i++) put_out(a, &m, i, a->out + (size_t)(first_q + i) * a->out_stride,
                                               max ? max + i : NULL, max ? sum + i : NULL);
}

// max and sum: NULL for finished outputs.
INLINE void attend_all(const AttnArgs *a, const KvType T, float *max, float *sum) {
    int i = 0;
#define ATTEND(Q) attend(a, T, Q, i, max ? max + i : NULL, max ? sum + i : NULL)
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

static void attend_f16(const AttnArgs *a, float *max, float *sum) {
    attend_all(a, KV_F16, max, sum);
}

static void attend_q8(const AttnArgs *a, float *max, float *sum) {
    attend_all(a, KV_Q8_0, max, sum);
}

void avx512_attention_f16(const AttnArgs *a) {
    attend_f16(a, NULL, NULL);
}

void avx512_attention_part_f16(const AttnArgs *a, float *max, float *sum) {
    attend_f16(a, max, sum);
}

void avx512_attention_q8(const AttnArgs *a) {
    attend_q8(a, NULL, NULL);
}

void avx512_attention_part_q8(const AttnArgs *a, float *max, float *sum) {
    attend_q8(a, max, sum);
}

// ---- writing --------------------------------------------------------------------------------

// 16 numbers, clamped to the finite range of half precision (a NaN becomes the maximum).
INLINE __m512 finite_lanes(const float *x) {
    __m512 v = _mm512_min_ps(_mm512_loadu_ps(x), _mm512_set1_ps(65504.0f));
    return _mm512_max_ps(v, _mm512_set1_ps(-65504.0f));
}

INLINE __m256i finite_halves(const float *x) {
    return _mm512_cvtps_ph(finite_lanes(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

void avx512_kv_write_f16(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    uint16_t *values = block + (size_t)head_dim * 16 + (size_t)slot * (size_t)head_dim;
    for (int d = 0; d < head_dim; d += 16) {
        uint16_t lanes[16];
        _mm256_storeu_si256((__m256i *)lanes, finite_halves(key + d));
        UNROLL for (int i = 0; i < 16; i++) block[16 * (d + i) + slot] = lanes[i];
        _mm256_storeu_si256((__m256i *)(values + d), finite_halves(value + d));
    }
}

// 16 or 32 numbers; returns their scale.
INLINE uint16_t quantize(const float *x, int n, int8_t *q) {
    __m512 low = finite_lanes(x), high = n > 16 ? finite_lanes(x + 16) : _mm512_setzero_ps();
    float max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
    uint16_t scale = _cvtss_sh(max / 127.0f, _MM_FROUND_TO_NEAREST_INT);
    __m512 inverse = _mm512_set1_ps(scale ? 1.0f / _cvtsh_ss(scale) : 0);
    _mm_storeu_si128((__m128i *)q, quants(low, inverse));
    if (n > 16) _mm_storeu_si128((__m128i *)(q + 16), quants(high, inverse));
    return scale;
}

void avx512_kv_write_q8(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    int8_t *keys = (int8_t *)block, *values = keys + (16 + slot) * head_dim;
    uint16_t *key_scales = block + 16 * head_dim, *value_scales = key_scales + 16 * kv_groups(head_dim);
    for (int d = 0; d < head_dim; d += KV_GROUP) {
        int8_t q[KV_GROUP];
        int n = head_dim - d < KV_GROUP ? head_dim - d : KV_GROUP, at = d / KV_GROUP * 16 + slot;
        key_scales[at] = quantize(key + d, n, q);
        for (int i = 0; i < n; i += 4) memcpy(keys + kv_q8_key_at(d + i, slot), q + i, 4);
        value_scales[at] = quantize(value + d, n, values + d);
    }
}
