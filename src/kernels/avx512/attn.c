// Attention over keys and values in half precision: attn512.h with its scores.
#include "kernels/avx512/table.h"

#include "kernels/avx512/attn_block.h"

static const KvType T = KV_F16;

// Where they are.
typedef struct Queries {
    const float *first;
} Queries;

INLINE void queries_take(const AttnArgs *a, int first_q, int i, Queries *q) {
    if (i == 0) q->first = a->q + (size_t)first_q * a->q_stride;
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

INLINE void score_keys(const AttnArgs *a, const int Q, const Queries *q, const char *keys, ptrdiff_t ahead,
                       __m512 s[QUERY_TILE]) {
    __m512 sums[4][QUERY_TILE];
    const int together = Q <= 4 ? 4 : 1;
    UNROLL for (int j = 0; j < 4; j += together)
        fourth_sums(a, Q, together, q->first, keys, ahead, j, sums + j);
    UNROLL for (int i = 0; i < Q; i++) s[i] =
        _mm512_add_ps(_mm512_add_ps(sums[0][i], sums[1][i]), _mm512_add_ps(sums[2][i], sums[3][i]));
}

#include "kernels/avx512/attn512.h"

static void attend_f16(const AttnArgs *a, float *max, float *sum) {
    attend_all(a, max, sum);
}

void avx512_attention_f16(const AttnArgs *a) {
    attend_f16(a, NULL, NULL);
}

void avx512_attention_part_f16(const AttnArgs *a, float *max, float *sum) {
    attend_f16(a, max, sum);
}
