// Element-wise kernels: quantising activations, norm, SwiGLU.
#include "kernels/avx512/table.h"

#include "kernels/avx512/exp512.h"

#include <string.h>

static __m512i quantize16(const float *x, __m512 inverse) {
    __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse)); // nearest even
    q = _mm512_min_epi32(q, _mm512_set1_epi32(127));
    return _mm512_max_epi32(q, _mm512_set1_epi32(-127));
}

// Four groups of four columns go to four places 32 bytes apart.
static void store16(int8_t *q, int from, int row, __m512i v) {
    __m128i bytes = _mm512_cvtepi32_epi8(v);
    int8_t *out = q + from / 4 * 32 + row * 4;
    int32_t group[4];
    _mm_storeu_si128((__m128i *)group, bytes);
    for (int i = 0; i < 4; i++) memcpy(out + 32 * i, &group[i], 4);
}

static float max_abs(const float *x, int n) {
    __m512 max = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) max = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + i)), max);
    return _mm512_reduce_max_ps(max);
}

void avx512_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(ACT_Q8_32, tile, k), *ssums = act_ssums(tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_32, tile, k);
    for (int i = from; i < to; i += 32) {
        float max = max_abs(x + i, 32);
        __m512 inverse = _mm512_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        __m512i a = quantize16(x + i, inverse), b = quantize16(x + i + 16, inverse);
        int32_t sum = _mm512_reduce_add_epi32(_mm512_add_epi32(a, b));
        int at = i / 32 * 8 + row;
        store16(tile, i, row, a);
        store16(tile, i + 16, row, b);
        scales[at] = max / 127.0f;
        nsums[at] = -sum;
        ssums[at] = max / 127.0f * (float)sum;
    }
}

void avx512_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(ACT_Q8_256, tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_256, tile, k);
    int16_t *pair16 = act_pair16(tile, k), *pair32 = act_pair32(tile, k);
    for (int i = from; i < to; i += 256) {
        float max = max_abs(x + i, 256);
        __m512 inverse = _mm512_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        scales[i / 256 * 8 + row] = max / 127.0f;
        for (int j = i / 32; j < i / 32 + 8; j++) {
            __m512i a = quantize16(x + 32 * j, inverse), b = quantize16(x + 32 * j + 16, inverse);
            int32_t sum_a = _mm512_reduce_add_epi32(a), sum_b = _mm512_reduce_add_epi32(b);
            store16(tile, 32 * j, row, a);
            store16(tile, 32 * j + 16, row, b);
            nsums[16 * j + row] = -32 * sum_a;
            nsums[16 * j + 8 + row] = -32 * sum_b;
            pair16[16 * j + 2 * row] = (int16_t)sum_a;
            pair16[16 * j + 2 * row + 1] = (int16_t)sum_b;
            pair32[j / 2 * 16 + 2 * row + j % 2] = (int16_t)(sum_a + sum_b);
        }
    }
}

static __mmask16 first_lanes(int n) {
    return n >= 16 ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1);
}

void avx512_rms_norm(const float *x, const float *w, float eps, int n, float *y) {
    __m512 squares = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(first_lanes(n - i), x + i);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    __m512 scale = _mm512_set1_ps(1.0f / sqrtf(sum512(squares) / (float)n + eps));
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), scale);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, w + i)));
    }
}

void avx512_silu_mul(float *gate, const float *up, int n) {
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 negated = _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(g), _mm512_set1_epi32(INT32_MIN)));
        __m512 v = _mm512_div_ps(g, _mm512_add_ps(one, exp512(negated)));
        _mm512_mask_storeu_ps(gate + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}
