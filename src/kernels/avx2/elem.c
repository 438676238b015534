// Element-wise kernels: quantising activations, norm, gates.
#include "kernels/avx2/table.h"

#include "kernels/avx2/exp256.h"

#include <string.h>

static __m256i quantize8(const float *x, __m256 inverse) {
    __m256i q = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse)); // nearest even
    q = _mm256_min_epi32(q, _mm256_set1_epi32(127));
    return _mm256_max_epi32(q, _mm256_set1_epi32(-127));
}

static __m128i pack8(__m256i v) {
    return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

static int32_t sum8(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1)));
}

static float max8(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}

static float max_abs(const float *x, int n) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
    __m256 max = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8) max = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(x + i), magnitude), max);
    return max8(max);
}

static int32_t max_int(int32_t a, int32_t b) {
    return a > b ? a : b;
}

typedef struct Sum16 {
    int32_t plain, magnitudes;
} Sum16;

// 16 columns go to q; returns their sums.
static Sum16 write16(const float *x, __m256 inverse, int8_t *q) {
    __m256i a = quantize8(x, inverse), b = quantize8(x + 8, inverse);
    _mm_storeu_si128((__m128i *)q, _mm_packs_epi16(pack8(a), pack8(b)));
    return (Sum16){sum8(_mm256_add_epi32(a, b)),
                   sum8(_mm256_add_epi32(_mm256_abs_epi32(a), _mm256_abs_epi32(b)))};
}

void avx2_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(tile, k), *ssums = act_ssums(tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_32, tile, k);
    for (int i = from; i < to; i += 32) {
        float max = max_abs(x + i, 32);
        __m256 inverse = _mm256_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        int8_t *q = (int8_t *)tile + act_at(ACT_Q8_32, i, row);
        int32_t sum = write16(x + i, inverse, q).plain + write16(x + i + 16, inverse, q + 16).plain;
        int at = i / 32 * ACT_TILE_ROWS + row;
        scales[at] = max / 127.0f;
        nsums[at] = -sum;
        ssums[at] = max / 127.0f * (float)sum;
    }
}

void avx2_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_256, tile, k);
    int16_t *pair16 = act_pair16(tile, k), *pair32 = act_pair32(tile, k);
    for (int i = from; i < to; i += 256) {
        float max = max_abs(x + i, 256);
        __m256 inverse = _mm256_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        int32_t peak16 = 0, peak32 = 0;
        scales[i / 256 * ACT_TILE_ROWS + row] = max / 127.0f;
        for (int j = i / 32; j < i / 32 + 8; j++) {
            int8_t *q = (int8_t *)tile + act_at(ACT_Q8_256, 32 * j, row);
            Sum16 a = write16(x + 32 * j, inverse, q), b = write16(x + 32 * j + 16, inverse, q + 16);
            nsums[2 * j * ACT_TILE_ROWS + row] = -32 * a.plain;
            nsums[(2 * j + 1) * ACT_TILE_ROWS + row] = -32 * b.plain;
            pair16[act_pair_at(2 * j, row)] = (int16_t)a.plain;
            pair16[act_pair_at(2 * j + 1, row)] = (int16_t)b.plain;
            pair32[act_pair_at(j, row)] = (int16_t)(a.plain + b.plain);
            peak16 = max_int(peak16, max_int(a.magnitudes, b.magnitudes));
            peak32 = max_int(peak32, a.magnitudes + b.magnitudes);
        }
        act_peak16(tile, k)[i / 256 * ACT_TILE_ROWS + row] = peak16;
        act_peak32(tile, k)[i / 256 * ACT_TILE_ROWS + row] = peak32;
    }
}

void avx2_rms_norm(const float *x, const float *w, float eps, int n, float *y) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (int i = 0; i < n; i += 16) {
        __m256 a = _mm256_maskload_ps(x + i, first_lanes8(n - i));
        __m256 b = _mm256_maskload_ps(x + i + 8, first_lanes8(n - i - 8));
        low = _mm256_fmadd_ps(a, a, low);
        high = _mm256_fmadd_ps(b, b, high);
    }
    __m256 scale = _mm256_set1_ps(1.0f / sqrtf(sum2x256(low, high) / (float)n + eps));
    for (int i = 0; i < n; i += 8) {
        __m256i mask = first_lanes8(n - i);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), scale);
        _mm256_maskstore_ps(y + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(w + i, mask)));
    }
}

void avx2_silu_mul(float *gate, const float *up, int n) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (int i = 0; i < n; i += 8) {
        __m256i mask = first_lanes8(n - i);
        __m256 g = _mm256_maskload_ps(gate + i, mask);
        __m256 v = _mm256_div_ps(g, _mm256_add_ps(one, exp256(_mm256_xor_ps(g, sign))));
        _mm256_maskstore_ps(gate + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(up + i, mask)));
    }
}

void avx2_gelu_mul(float *gate, const float *up, int n) {
    const __m256 one = _mm256_set1_ps(1.0f), c1 = _mm256_set1_ps(GELU_C1), c3 = _mm256_set1_ps(GELU_C3);
    for (int i = 0; i < n; i += 8) {
        __m256i mask = first_lanes8(n - i);
        __m256 g = _mm256_maskload_ps(gate + i, mask);
        __m256 z = _mm256_mul_ps(g, _mm256_fmadd_ps(_mm256_mul_ps(g, g), c3, c1));
        __m256 v = _mm256_div_ps(g, _mm256_add_ps(one, exp256(z)));
        _mm256_maskstore_ps(gate + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(up + i, mask)));
    }
}

int32_t avx2_collect(const float *x, int32_t from, int32_t to, float threshold, int32_t *out) {
    const __m256 bound = _mm256_set1_ps(threshold);
    int32_t found = 0;
    for (int32_t i = from; i < to; i += 8) {
        __m256i mask = first_lanes8(to - i);
        __m256 reached = _mm256_cmp_ps(_mm256_maskload_ps(x + i, mask), bound, _CMP_GE_OQ);
        unsigned hits = (unsigned)_mm256_movemask_ps(_mm256_and_ps(reached, _mm256_castsi256_ps(mask)));
        for (; hits; hits &= hits - 1) out[found++] = i + __builtin_ctz(hits);
    }
    return found;
}
