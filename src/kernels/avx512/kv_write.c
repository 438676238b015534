// A token's key and value into a KV block.
#include "kernels/avx512/table.h"

#include "kernels/avx512/attn_block.h"

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
    kv_q8_write(quantize, key, value, head_dim, block, slot);
}
