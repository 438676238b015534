// Attention over paged keys; see the wider rung for the idea. 16 keys are two vectors here.
#include "kernels/avx2/table.h"

#include "kernels/avx2/exp256.h"

#include <limits.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { QUERY_TILE = 4, MAX_GROUPS = ATTN_MAX_HEAD_DIM / KV_GROUP };

typedef struct Softmax {
    float acc[QUERY_TILE][ATTN_MAX_HEAD_DIM];
    float p[QUERY_TILE][MAX_GROUPS][16]; // what weighs values: by groups of dimensions, or [0] for all
    __m256 l[QUERY_TILE][2];
    float max[QUERY_TILE];
} Softmax;

INLINE __m256 half_lanes(const uint16_t *h) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
}

INLINE int element_bytes(const KvType T) {
    return T == KV_F16 ? 2 : 1;
}

// 8 numbers of a block, from its element i on.
INLINE __m256 lanes_at(const KvType T, const char *elements, int i) {
    if (T == KV_F16) return half_lanes((const uint16_t *)elements + i);
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(elements + i))));
}

// The block of the keys from `first` on, in a call that sees `most`; behind the last one: the next head's
// first, which will likely be read then.
INLINE const char *block_at(const AttnArgs *a, const KvType T, int first, int most) {
    if (first < most) return (const char *)(a->kv + (size_t)a->blocks[first / 16] * a->block_stride);
    return (const char *)(a->kv + (size_t)a->blocks[0] * a->block_stride + kv_head_units(T, a->head_dim));
}

static float max16(__m256 low, __m256 high) {
    __m256 h8 = _mm256_max_ps(low, high);
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

// 8 numbers, rounded to the nearest even of -127 … 127.
INLINE __m128i quants(__m256 v, __m256 inverse) {
    __m256i n = _mm256_cvtps_epi32(_mm256_mul_ps(v, inverse));
    n = _mm256_max_epi32(n, _mm256_set1_epi32(-127));
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
    return _mm_packs_epi16(words, words); // saturates at 127
}

// Queries as q8_0 takes them.
typedef struct Queries8 {
    int32_t words[QUERY_TILE][ATTN_MAX_HEAD_DIM / 4]; // four dimensions each
    float scale[QUERY_TILE][MAX_GROUPS];
} Queries8;

INLINE void quantize_query(const float *q, int head_dim, Queries8 *out, int i) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    for (int d = 0, g = 0; d < head_dim; d += KV_GROUP, g++) {
        int end = d + KV_GROUP < head_dim ? d + KV_GROUP : head_dim;
        __m256 most = _mm256_setzero_ps();
        for (int j = d; j < end; j += 8) // a NaN does not count
            most = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(q + j)), most);
        float max = max16(most, most);
        __m256 inverse = _mm256_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        for (int j = d; j < end; j += 8)
            _mm_storel_epi64((__m128i *)&out->words[i][j / 4], quants(_mm256_loadu_ps(q + j), inverse));
        out->scale[i][g] = max / 127.0f;
    }
}

// Products of |key| and the query with the key's sign: two of them fit into 16 bits.
INLINE void score_q8(const AttnArgs *a, const int Q, const Queries8 *q, const char *keys, ptrdiff_t ahead,
                     __m256 s[QUERY_TILE][2]) {
    const uint16_t *scales = kv_q8_key_scales((const int8_t *)keys, a->head_dim);
    UNROLL for (int i = 0; i < Q; i++) s[i][0] = s[i][1] = _mm256_setzero_ps();
    for (int d = 0, g = 0; d < a->head_dim; d += KV_GROUP, g++) {
        __m256i sums[QUERY_TILE][2];
        UNROLL for (int i = 0; i < Q; i++) sums[i][0] = sums[i][1] = _mm256_setzero_si256();
        _mm_prefetch((const char *)(scales + 16 * g) + ahead, _MM_HINT_T1);
        for (int w = d / 4; w < a->head_dim / 4 && w < d / 4 + KV_GROUP / 4; w++) {
            _mm_prefetch(keys + 64 * w + ahead, _MM_HINT_T1);
            UNROLL for (int h = 0; h < 2; h++) {
                __m256i key = _mm256_loadu_si256((const __m256i *)(keys + 64 * w + 32 * h));
                __m256i size = _mm256_abs_epi8(key);
                UNROLL for (int i = 0; i < Q; i++) {
                    __m256i signed_q = _mm256_sign_epi8(_mm256_set1_epi32(q->words[i][w]), key);
                    __m256i pairs = _mm256_maddubs_epi16(size, signed_q);
                    sums[i][h] = _mm256_add_epi32(sums[i][h], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                }
            }
        }
        UNROLL for (int i = 0; i < Q; i++) UNROLL for (int h = 0; h < 2; h++) {
            __m256 score = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[i][h]), _mm256_set1_ps(q->scale[i][g]));
            s[i][h] = _mm256_fmadd_ps(score, half_lanes(scales + 16 * g + 8 * h), s[i][h]);
        }
    }
}

INLINE void score_f16(const AttnArgs *a, const int Q, const float *q, const char *keys, ptrdiff_t ahead,
                      __m256 s[QUERY_TILE][2]) {
    __m256 sums[4][QUERY_TILE][2];
    UNROLL for (int j = 0; j < 4; j++) {
        __m256 sum[QUERY_TILE][2];
        UNROLL for (int i = 0; i < Q; i++) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
        for (int d = j; d < a->head_dim; d += 4) {
            __m256 low = lanes_at(KV_F16, keys, 16 * d), high = lanes_at(KV_F16, keys, 16 * d + 8);
            if (j % 2 == 0) _mm_prefetch(keys + 32 * d + ahead, _MM_HINT_T1);
            UNROLL for (int i = 0; i < Q; i++) {
                __m256 dim = _mm256_set1_ps(q[(size_t)i * a->q_stride + (size_t)d]);
                sum[i][0] = _mm256_fmadd_ps(dim, low, sum[i][0]);
                sum[i][1] = _mm256_fmadd_ps(dim, high, sum[i][1]);
            }
        }
        UNROLL for (int i = 0; i < Q; i++) UNROLL for (int h = 0; h < 2; h++) sums[j][i][h] = sum[i][h];
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int h = 0; h < 2; h++) s[i][h] = _mm256_add_ps(
        _mm256_add_ps(sums[0][i][h], sums[1][i][h]), _mm256_add_ps(sums[2][i][h], sums[3][i][h]));
}

// Scores of the block whose keys begin at `first`, for the queries from first_q on (q8: those, quantised).
INLINE void block_scores(const AttnArgs *a, const KvType T, const int Q, int first_q, const Queries8 *q8,
                         int first, int most, __m256 s[QUERY_TILE][2]) {
    const char *keys = block_at(a, T, first, most);
    ptrdiff_t ahead = block_at(a, T, first + 16, most) - keys;
    if (T == KV_F16)
        score_f16(a, Q, a->q + (size_t)first_q * a->q_stride, keys, ahead, s);
    else
        score_q8(a, Q, q8, keys, ahead, s);
}

// n: keys of this block up to the last that the query sees.
INLINE void update_softmax(const AttnArgs *a, const KvType T, Softmax *m, int i, const __m256 s[2], int n,
                           const uint16_t *value_scales) {
    const int unseen = n - (a->window ? a->window : INT_MAX);
    const __m256 none = _mm256_set1_ps(-INFINITY);
    __m256 mask[2];
    for (int h = 0; h < 2; h++)
        mask[h] =
            _mm256_castsi256_ps(_mm256_andnot_si256(first_lanes8(unseen - 8 * h), first_lanes8(n - 8 * h)));
    float block_max = max16(_mm256_blendv_ps(none, s[0], mask[0]), _mm256_blendv_ps(none, s[1], mask[1]));
    if (block_max > m->max[i]) {
        __m256 shrink = exp256(_mm256_set1_ps(m->max[i] - block_max));
        for (int h = 0; h < 2; h++) m->l[i][h] = _mm256_mul_ps(m->l[i][h], shrink);
        for (int d = 0; d < a->head_dim; d += 8)
            _mm256_storeu_ps(&m->acc[i][d], _mm256_mul_ps(_mm256_loadu_ps(&m->acc[i][d]), shrink));
        m->max[i] = block_max;
    }
    for (int h = 0; h < 2; h++) {
        __m256 p = _mm256_and_ps(mask[h], exp256(_mm256_sub_ps(s[h], _mm256_set1_ps(m->max[i]))));
        m->l[i][h] = _mm256_add_ps(m->l[i][h], p);
        if (T == KV_F16)
            _mm256_storeu_ps(&m->p[i][0][8 * h], p);
        else
            for (int g = 0; g < kv_groups(a->head_dim); g++)
                _mm256_storeu_ps(&m->p[i][g][8 * h],
                                 _mm256_mul_ps(p, half_lanes(value_scales + 16 * g + 8 * h)));
    }
}

INLINE void update_all(const AttnArgs *a, const KvType T, const int Q, Softmax *m, int first,
                       const int *n_keys, __m256 s[QUERY_TILE][2]) {
    const char *keys = block_at(a, T, first, INT_MAX);
    const uint16_t *value_scales = kv_q8_value_scales((const int8_t *)keys, a->head_dim);
    UNROLL for (int i = 0; i < Q; i++) update_softmax(a, T, m, i, s[i], n_keys[i] - first, value_scales);
}

// G vectors of dimensions from `d` on, all of one group, for all tokens of the block.
INLINE void add_dims(const AttnArgs *a, const KvType T, const int Q, const int G, Softmax *m,
                     const char *values, ptrdiff_t ahead, int n_tokens, int d) {
    __m256 acc[QUERY_TILE][4];
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++) acc[i][g] =
        _mm256_loadu_ps(&m->acc[i][d + 8 * g]);
    for (int t = 0; t < n_tokens; t++) {
        const char *at = values + (t * a->head_dim + d) * element_bytes(T);
        if (d % (64 / element_bytes(T)) == 0) _mm_prefetch(at + ahead, _MM_HINT_T1);
        UNROLL for (int g = 0; g < G; g++) {
            __m256 value = lanes_at(T, at, 8 * g);
            UNROLL for (int i = 0; i < Q; i++) {
                const float *p = m->p[i][T == KV_F16 ? 0 : d / KV_GROUP];
                acc[i][g] = _mm256_fmadd_ps(_mm256_set1_ps(p[t]), value, acc[i][g]);
            }
        }
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++)
        _mm256_storeu_ps(&m->acc[i][d + 8 * g], acc[i][g]);
}

INLINE void add_values(const AttnArgs *a, const KvType T, const int Q, Softmax *m, int first, int most) {
    const char *keys = block_at(a, T, first, most), *values = keys + 16 * a->head_dim * element_bytes(T);
    ptrdiff_t ahead = block_at(a, T, first + 16, most) - keys;
    int n_tokens = most - first < 16 ? most - first : 16;
    int d = 0;
    if (Q <= 2)
        for (; d + 32 <= a->head_dim; d += 32) add_dims(a, T, Q, 4, m, values, ahead, n_tokens, d);
    for (; d < a->head_dim; d += 16) add_dims(a, T, Q, 2, m, values, ahead, n_tokens, d);
}

INLINE void put_out(const AttnArgs *a, const Softmax *m, int i, float *out, float *max, float *sum) {
    float total = sum2x256(m->l[i][0], m->l[i][1]);
    if (max) {
        *max = m->max[i];
        *sum = total;
    }
    for (int d = 0; d < a->head_dim; d += 8) {
        __m256 acc = _mm256_loadu_ps(&m->acc[i][d]);
        _mm256_storeu_ps(out + d, max ? acc : _mm256_div_ps(acc, _mm256_set1_ps(total)));
    }
}

// Queries [first_q, first_q + Q). max and sum: of those, or NULL for finished outputs. The scores of a block
// are computed before the values of the one before it are added, lest everything wait for its probabilities.
INLINE void attend(const AttnArgs *a, const KvType T, const int Q, int first_q, float *max, float *sum) {
    Softmax m;
    Queries8 q8;
    __m256 s[QUERY_TILE][2];
    int n_keys[QUERY_TILE], most = 0;
    UNROLL for (int i = 0; i < Q; i++) {
        n_keys[i] = a->n_keys + (first_q + i) / a->group;
        most = n_keys[i] > most ? n_keys[i] : most;
        m.l[i][0] = m.l[i][1] = s[i][0] = s[i][1] = _mm256_setzero_ps();
        if (T == KV_Q8_0) quantize_query(a->q + (size_t)(first_q + i) * a->q_stride, a->head_dim, &q8, i);
        m.max[i] = -INFINITY;
        for (int d = 0; d < a->head_dim; d += 8) _mm256_storeu_ps(&m.acc[i][d], _mm256_setzero_ps());
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

void avx2_attention_f16(const AttnArgs *a) {
    attend_f16(a, NULL, NULL);
}

void avx2_attention_part_f16(const AttnArgs *a, float *max, float *sum) {
    attend_f16(a, max, sum);
}

void avx2_attention_q8(const AttnArgs *a) {
    attend_q8(a, NULL, NULL);
}

void avx2_attention_part_q8(const AttnArgs *a, float *max, float *sum) {
    attend_q8(a, max, sum);
}

// ---- writing --------------------------------------------------------------------------------

// 8 numbers, clamped to the finite range of half precision (a NaN becomes the maximum).
INLINE __m256 finite_lanes(const float *x) {
    __m256 v = _mm256_min_ps(_mm256_loadu_ps(x), _mm256_set1_ps(65504.0f));
    return _mm256_max_ps(v, _mm256_set1_ps(-65504.0f));
}

INLINE __m128i finite_halves(const float *x) {
    return _mm256_cvtps_ph(finite_lanes(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

void avx2_kv_write_f16(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    uint16_t *values = block + (size_t)head_dim * 16 + (size_t)slot * (size_t)head_dim;
    for (int d = 0; d < head_dim; d += 8) {
        uint16_t lanes[8];
        _mm_storeu_si128((__m128i *)lanes, finite_halves(key + d));
        UNROLL for (int i = 0; i < 8; i++) block[16 * (d + i) + slot] = lanes[i];
        _mm_storeu_si128((__m128i *)(values + d), finite_halves(value + d));
    }
}

// 16 or 32 numbers; returns their scale.
INLINE uint16_t quantize(const float *x, int n, int8_t *q) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 most = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8) most = _mm256_max_ps(most, _mm256_andnot_ps(sign, finite_lanes(x + i)));
    uint16_t scale = _cvtss_sh(max16(most, most) / 127.0f, _MM_FROUND_TO_NEAREST_INT);
    __m256 inverse = _mm256_set1_ps(scale ? 1.0f / _cvtsh_ss(scale) : 0);
    for (int i = 0; i < n; i += 8) _mm_storel_epi64((__m128i *)(q + i), quants(finite_lanes(x + i), inverse));
    return scale;
}

void avx2_kv_write_q8(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    kv_q8_write(quantize, key, value, head_dim, block, slot);
}
