// Attention over keys and values as q8_0: attn512.h with scores of integers.
#include "kernels/avx512vnni/table.h"

#include "kernels/avx512/attn_block.h"

static const KvType T = KV_Q8_0;

// As integers, by groups of dimensions.
typedef struct Queries {
    int32_t words[QUERY_TILE][ATTN_MAX_HEAD_DIM / 4]; // four dimensions each
    int32_t offset[QUERY_TILE][MAX_GROUPS];           // -128 times the sum of a group
    float scale[QUERY_TILE][MAX_GROUPS];
} Queries;

INLINE void queries_take(const AttnArgs *a, int first_q, int i, Queries *out) {
    const float *q = a->q + (size_t)(first_q + i) * a->q_stride;
    const int head_dim = a->head_dim;
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
INLINE void score_keys(const AttnArgs *a, const int Q, const Queries *q, const char *keys, ptrdiff_t ahead,
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

#include "kernels/avx512/attn512.h"

static void attend_q8(const AttnArgs *a, float *max, float *sum) {
    attend_all(a, max, sum);
}

void avx512vnni_attention_q8(const AttnArgs *a) {
    attend_q8(a, NULL, NULL);
}

void avx512vnni_attention_part_q8(const AttnArgs *a, float *max, float *sum) {
    attend_q8(a, max, sum);
}
