// Element-wise kernels: quantising activations, norm, gates.
#include "kernels/avx512/table.h"

#include "kernels/avx512/exp512.h"

#include <string.h>

static __m128i quantize16(const float *x, __m512 inverse) {
    __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse)); // nearest even
    return _mm512_cvtsepi32_epi8(_mm512_max_epi32(q, _mm512_set1_epi32(-127))); // saturates at 127
}

static __m256i quantize32(const float *x, __m512 inverse) {
    return _mm256_set_m128i(quantize16(x + 16, inverse), quantize16(x, inverse));
}

static __m512i quantize64(const float *x, __m512 inverse) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(quantize32(x, inverse)), quantize32(x + 32, inverse), 1);
}

// The sums of each 16 of 64 columns, in all four lanes of their quarter.
static __m512i sum16s(__m512i q) {
    __m512i s = _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_set1_epi8(1), q), _mm512_set1_epi16(1));
    s = _mm512_add_epi32(s, _mm512_shuffle_epi32(s, _MM_PERM_CDAB));
    return _mm512_add_epi32(s, _mm512_shuffle_epi32(s, _MM_PERM_BADC));
}

static void store_sum16s(__m512i q, int32_t sums[4]) {
    _mm_storeu_si128((__m128i *)sums, _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, sum16s(q))));
}

static float max_abs(const float *x, int n) {
    __m512 max = _mm512_setzero_ps();
    for (int i = 0; i < n; i += 16) max = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + i)), max);
    return _mm512_reduce_max_ps(max);
}

void avx512_act_write_q8_32(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(tile, k), *ssums = act_ssums(tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_32, tile, k);
    for (int i = from; i < to; i += 32) {
        float max = max_abs(x + i, 32);
        __m512 inverse = _mm512_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        __m256i q = quantize32(x + i, inverse);
        int32_t sums[4];
        _mm256_storeu_si256((__m256i *)((int8_t *)tile + act_at(ACT_Q8_32, i, row)), q);
        store_sum16s(_mm512_zextsi256_si512(q), sums);
        int32_t sum = sums[0] + sums[1];
        int at = i / 32 * ACT_TILE_ROWS + row;
        scales[at] = max / 127.0f;
        nsums[at] = -sum;
        ssums[at] = max / 127.0f * (float)sum;
    }
}

void avx512_act_write_q8_256(const float *x, int k, int from, int to, void *tile, int row) {
    float *scales = act_scales(tile, k);
    int32_t *nsums = act_nsums(ACT_Q8_256, tile, k);
    int16_t *pair16 = act_pair16(tile, k), *pair32 = act_pair32(tile, k);
    for (int i = from; i < to; i += 256) {
        float max = max_abs(x + i, 256);
        __m512 inverse = _mm512_set1_ps(max > ACT_TINY ? 127.0f / max : 0);
        __m512i peak16 = _mm512_setzero_si512(), peak32 = peak16;
        scales[i / 256 * ACT_TILE_ROWS + row] = max / 127.0f;
        for (int j = i; j < i + 256; j += 64) { // j / 64: the pair of sums of 32
            __m512i q = quantize64(x + j, inverse);
            int32_t sums[4];
            _mm512_storeu_si512((int8_t *)tile + act_at(ACT_Q8_256, j, row), q);
            store_sum16s(q, sums);
            __m512i size16 = sum16s(_mm512_abs_epi8(q));
            __m512i size32 = _mm512_add_epi32(size16, _mm512_shuffle_i32x4(size16, size16, 0xB1));
            peak16 = _mm512_max_epi32(peak16, size16);
            peak32 = _mm512_max_epi32(peak32, size32);
            for (int n = 0; n < 4; n++) {
                nsums[(j / 16 + n) * ACT_TILE_ROWS + row] = -32 * sums[n];
                pair16[act_pair_at(j / 16 + n, row)] = (int16_t)sums[n];
            }
            pair32[act_pair_at(j / 32, row)] = (int16_t)(sums[0] + sums[1]);
            pair32[act_pair_at(j / 32 + 1, row)] = (int16_t)(sums[2] + sums[3]);
        }
        act_peak16(tile, k)[i / 256 * ACT_TILE_ROWS + row] = _mm512_reduce_max_epi32(peak16);
        act_peak32(tile, k)[i / 256 * ACT_TILE_ROWS + row] = _mm512_reduce_max_epi32(peak32);
    }
}

static __mmask16 first_lanes(int n) {
    return n >= 16 ? (__mmask16)0xFFFF : (__mmask16)((1u << n) - 1);
}

// Whole vectors are stored without a mask, as what is read soon after should be.
void avx512_rms_norm(const float *x, const float *w, float eps, int n, float *y) {
    int whole = n / 16 * 16;
    __mmask16 rest = first_lanes(n - whole);
    __m512 squares = _mm512_setzero_ps();
    for (int i = 0; i < whole; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    if (rest) {
        __m512 v = _mm512_maskz_loadu_ps(rest, x + whole);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    __m512 scale = _mm512_set1_ps(1.0f / sqrtf(sum512(squares) / (float)n + eps));
    for (int i = 0; i < whole; i += 16) {
        __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), scale);
        _mm512_storeu_ps(y + i, _mm512_mul_ps(v, _mm512_loadu_ps(w + i)));
    }
    if (rest) {
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, x + whole), scale);
        _mm512_mask_storeu_ps(y + whole, rest, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(rest, w + whole)));
    }
}

static inline void turn_halves(float *a, float *b, const float *c, const float *s, __mmask16 mask) {
    __m512 x = _mm512_maskz_loadu_ps(mask, a), y = _mm512_maskz_loadu_ps(mask, b);
    __m512 cs = _mm512_maskz_loadu_ps(mask, c), sn = _mm512_maskz_loadu_ps(mask, s);
    _mm512_mask_storeu_ps(a, mask, _mm512_sub_ps(_mm512_mul_ps(x, cs), _mm512_mul_ps(y, sn)));
    _mm512_mask_storeu_ps(b, mask, _mm512_add_ps(_mm512_mul_ps(x, sn), _mm512_mul_ps(y, cs)));
}

// Up to 8 pairs.
static inline void turn_neighbours(float *pairs, const float *c, const float *s, int n) {
    const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    __mmask16 both = first_lanes(2 * n), each = first_lanes(n);
    __m512 v = _mm512_maskz_loadu_ps(both, pairs);
    __m512 cs = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(each, c));
    __m512 sn = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(each, s));
    __m512 straight = _mm512_mul_ps(v, cs), crossed = _mm512_mul_ps(_mm512_permute_ps(v, 0xB1), sn);
    __m512 turned = _mm512_mask_sub_ps(_mm512_add_ps(straight, crossed), 0x5555, straight, crossed);
    _mm512_mask_storeu_ps(pairs, both, turned);
}

void avx512_rope(float *head, const float *table, int n_pairs, bool halves) {
    const float *c = table, *s = table + n_pairs;
    int step = halves ? 16 : 8, whole = n_pairs / step * step;
    if (halves) {
        for (int i = 0; i < whole; i += 16) turn_halves(head + i, head + n_pairs + i, c + i, s + i, 0xFFFF);
        if (whole < n_pairs)
            turn_halves(head + whole, head + n_pairs + whole, c + whole, s + whole,
                        first_lanes(n_pairs - whole));
    } else {
        for (int i = 0; i < whole; i += 8) turn_neighbours(head + 2 * i, c + i, s + i, 8);
        if (whole < n_pairs) turn_neighbours(head + 2 * whole, c + whole, s + whole, n_pairs - whole);
    }
}

void avx512_silu_mul(float *gate, const float *up, int n) {
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 negated =
            _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(g), _mm512_set1_epi32(INT32_MIN)));
        __m512 v = _mm512_div_ps(g, _mm512_add_ps(one, exp512(negated)));
        _mm512_mask_storeu_ps(gate + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

void avx512_gelu_mul(float *gate, const float *up, int n) {
    const __m512 one = _mm512_set1_ps(1.0f), c1 = _mm512_set1_ps(GELU_C1), c3 = _mm512_set1_ps(GELU_C3);
    for (int i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 z = _mm512_mul_ps(g, _mm512_fmadd_ps(_mm512_mul_ps(g, g), c3, c1));
        __m512 v = _mm512_div_ps(g, _mm512_add_ps(one, exp512(z)));
        _mm512_mask_storeu_ps(gate + i, mask, _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

// Compressed in a register and stored whole: a compressing store is microcode on some CPUs.
int32_t avx512_collect(const float *x, int32_t from, int32_t to, float threshold, int32_t *out) {
    const __m512 bound = _mm512_set1_ps(threshold);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i ids = _mm512_add_epi32(lanes, _mm512_set1_epi32(from));
    int32_t found = 0;
    for (int32_t i = from; i < to; i += 16) {
        __mmask16 in = first_lanes(to - i);
        __mmask16 hits = _mm512_mask_cmp_ps_mask(in, _mm512_maskz_loadu_ps(in, x + i), bound, _CMP_GE_OQ);
        _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi32(hits, ids));
        found += __builtin_popcount(hits);
        ids = _mm512_add_epi32(ids, _mm512_set1_epi32(16));
    }
    return found;
}
