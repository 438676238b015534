// Elements of KV blocks in 512-bit lanes, for either KV type (T, a compile-time constant).
#ifndef CLLM_KERNELS_AVX512_ATTN_BLOCK_H
#define CLLM_KERNELS_AVX512_ATTN_BLOCK_H

#include "kernels/avx512/lanes.h"

enum { QUERY_TILE = 8, MAX_GROUPS = ATTN_MAX_HEAD_DIM / KV_GROUP };

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

// To the nearest even of -127 … 127.
INLINE __m128i quants(__m512 v, __m512 inverse) {
    __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));                  // nearest even
    return _mm512_cvtsepi32_epi8(_mm512_max_epi32(n, _mm512_set1_epi32(-127))); // saturates at 127
}

#endif
