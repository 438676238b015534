// Attention over paged keys; see the wider rung for the idea. 16 keys are two vectors here.
#include "kernels/avx2/table.h"

#include "kernels/avx2/exp256.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

enum { QUERY_TILE = 4 };

typedef struct Softmax {
    float acc[QUERY_TILE][ATTN_MAX_HEAD_DIM];
    float p[QUERY_TILE][16];
    __m256 l[QUERY_TILE][2];
    float max[QUERY_TILE];
} Softmax;

INLINE __m256 half_lanes(const uint16_t *h) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)h));
}

INLINE void block_scores(const AttnArgs *a, const int Q, const float *q, const uint16_t *keys, ptrdiff_t ahead,
                         __m256 s[QUERY_TILE][2]) {
    __m256 sums[4][QUERY_TILE][2];
    for (int j = 0; j < 4; j++) {
        __m256 sum[QUERY_TILE][2];
        UNROLL for (int i = 0; i < Q; i++) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
        for (int d = j; d < a->head_dim; d += 4) {
            __m256 low = half_lanes(keys + 16 * d), high = half_lanes(keys + 16 * d + 8);
            if (j % 2 == 0) _mm_prefetch((const char *)(keys + 16 * d + ahead), _MM_HINT_T0);
            UNROLL for (int i = 0; i < Q; i++) {
                __m256 dim = _mm256_set1_ps(q[(size_t)i * a->q_stride + (size_t)d]);
                sum[i][0] = _mm256_fmadd_ps(dim, low, sum[i][0]);
                sum[i][1] = _mm256_fmadd_ps(dim, high, sum[i][1]);
            }
        }
        UNROLL for (int i = 0; i < Q; i++) UNROLL for (int h = 0; h < 2; h++) sums[j][i][h] = sum[i][h];
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int h = 0; h < 2; h++)
        s[i][h] = _mm256_add_ps(_mm256_add_ps(sums[0][i][h], sums[1][i][h]),
                                _mm256_add_ps(sums[2][i][h], sums[3][i][h]));
}

static float max16(__m256 low, __m256 high) {
    __m256 h8 = _mm256_max_ps(low, high);
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(h8), _mm256_extractf128_ps(h8, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

// n: keys of this block that the query sees.
INLINE void update_softmax(const AttnArgs *a, Softmax *m, int i, const __m256 s[2], int n) {
    const __m256 none = _mm256_set1_ps(-INFINITY);
    __m256 mask[2] = {_mm256_castsi256_ps(first_lanes8(n)), _mm256_castsi256_ps(first_lanes8(n - 8))};
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
        _mm256_storeu_ps(&m->p[i][8 * h], p);
    }
}

// G vectors of dimensions from `d` on, for all tokens of the block.
INLINE void add_dims(const AttnArgs *a, const int Q, const int G, Softmax *m, const uint16_t *values,
                     ptrdiff_t ahead, int n_tokens, int d) {
    __m256 acc[QUERY_TILE][4];
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++)
        acc[i][g] = _mm256_loadu_ps(&m->acc[i][d + 8 * g]);
    for (int t = 0; t < n_tokens; t++) {
        const uint16_t *at = values + (size_t)t * (size_t)a->head_dim + (size_t)d;
        if (d % 32 == 0) _mm_prefetch((const char *)(at + ahead), _MM_HINT_T0);
        UNROLL for (int g = 0; g < G; g++) {
            __m256 value = half_lanes(at + 8 * g);
            UNROLL for (int i = 0; i < Q; i++)
                acc[i][g] = _mm256_fmadd_ps(_mm256_set1_ps(m->p[i][t]), value, acc[i][g]);
        }
    }
    UNROLL for (int i = 0; i < Q; i++) UNROLL for (int g = 0; g < G; g++)
        _mm256_storeu_ps(&m->acc[i][d + 8 * g], acc[i][g]);
}

INLINE void add_values(const AttnArgs *a, const int Q, Softmax *m, const uint16_t *values, ptrdiff_t ahead,
                       int n_tokens) {
    int d = 0;
    if (Q <= 2)
        for (; d + 32 <= a->head_dim; d += 32) add_dims(a, Q, 4, m, values, ahead, n_tokens, d);
    for (; d < a->head_dim; d += 16) add_dims(a, Q, 2, m, values, ahead, n_tokens, d);
}

// What will be read after this block: the sequence's next one, or (first < 0) the next head's first.
INLINE const uint16_t *next_block(const AttnArgs *a, int first) {
    if (first >= 0) return a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
    return a->kv + (size_t)a->blocks[0] * a->block_stride + (size_t)a->head_dim * 32;
}

INLINE void attend(const AttnArgs *a, const int Q, int first_q) {
    Softmax m;
    int n_keys[QUERY_TILE], most = 0;
    UNROLL for (int i = 0; i < Q; i++) {
        n_keys[i] = a->n_keys + (first_q + i) / a->group;
        most = n_keys[i] > most ? n_keys[i] : most;
        m.l[i][0] = m.l[i][1] = _mm256_setzero_ps();
        m.max[i] = -INFINITY;
        for (int d = 0; d < a->head_dim; d++) m.acc[i][d] = 0;
    }
    const float *q = a->q + (size_t)first_q * a->q_stride;
    for (int first = 0; first < most; first += 16) {
        const uint16_t *keys = a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
        ptrdiff_t ahead = next_block(a, first + 16 < most ? first + 16 : -1) - keys;
        __m256 s[QUERY_TILE][2];
        block_scores(a, Q, q, keys, ahead, s);
        UNROLL for (int i = 0; i < Q; i++) update_softmax(a, &m, i, s[i], n_keys[i] - first);
        add_values(a, Q, &m, keys + (size_t)a->head_dim * 16, ahead, most - first < 16 ? most - first : 16);
    }
    UNROLL for (int i = 0; i < Q; i++) {
        float *out = a->out + (size_t)(first_q + i) * a->out_stride;
        __m256 total = _mm256_set1_ps(sum2x256(m.l[i][0], m.l[i][1]));
        for (int d = 0; d < a->head_dim; d += 8)
            _mm256_storeu_ps(out + d, _mm256_div_ps(_mm256_loadu_ps(&m.acc[i][d]), total));
    }
}

void avx2_attention(const AttnArgs *a) {
    int i = 0;
    for (; i + 4 <= a->n_q; i += 4) attend(a, 4, i);
    switch (a->n_q - i) {
    case 3: attend(a, 3, i); break;
    case 2: attend(a, 2, i); break;
    case 1: attend(a, 1, i); break;
    default: break;
    }
}

// 8 numbers to half precision, clamped to its finite range (a NaN becomes the maximum).
INLINE __m128i finite_halves(const float *x) {
    __m256 v = _mm256_min_ps(_mm256_loadu_ps(x), _mm256_set1_ps(65504.0f));
    v = _mm256_max_ps(v, _mm256_set1_ps(-65504.0f));
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

void avx2_kv_write(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    uint16_t *values = block + (size_t)head_dim * 16 + (size_t)slot * (size_t)head_dim;
    for (int d = 0; d < head_dim; d += 8) {
        uint16_t lanes[8];
        _mm_storeu_si128((__m128i *)lanes, finite_halves(key + d));
        UNROLL for (int i = 0; i < 8; i++) block[16 * (d + i) + slot] = lanes[i];
        _mm_storeu_si128((__m128i *)(values + d), finite_halves(value + d));
    }
}
