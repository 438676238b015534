#include "kernels/limits.h"

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { SUMS = 16, LOOPS = 200000, ROUNDS = 20 };

#define EACH_SUM _Pragma("GCC unroll 16") for (int i = 0; i < SUMS; i++)

typedef struct Burst {
    void (*run)(void);
    double macs;
} Burst;

// ---- scalar ----

enum { PLAIN_N = 256, PLAIN_LOOPS = 20000 };

static void plain_int8(void) {
    static int16_t w[PLAIN_N];
    static int8_t q[PLAIN_N];
    for (int n = 0; n < PLAIN_LOOPS; n++) {
        int32_t sum = 0;
        __asm__ volatile("" : : : "memory");
        for (int i = 0; i < PLAIN_N; i++) sum += w[i] * q[i];
        __asm__ volatile("" : : "r"(sum));
    }
}

static void plain_float(void) {
    static float w[PLAIN_N], x[PLAIN_N];
    for (int n = 0; n < PLAIN_LOOPS; n++) {
        float sums[SUMS] = {0};
        __asm__ volatile("" : : : "memory");
        for (int k = 0; k < PLAIN_N; k += SUMS) EACH_SUM sums[i] += w[k + i] * x[k + i];
        __asm__ volatile("" : : "r"(sums) : "memory");
    }
}

// ---- vectors ----

#if defined(__x86_64__)
// The empty asm makes the compiler believe that every sum is looked at in every turn.
__attribute__((target("avx512f,avx512vnni"))) static void loop_vpdpbusd(void) {
    __m512i sums[SUMS], w = _mm512_set1_epi32(0x01020304), q = _mm512_set1_epi32(0x04030201);
    EACH_SUM sums[i] = _mm512_setzero_si512();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM sums[i] = _mm512_dpbusd_epi32(sums[i], w, q);
        EACH_SUM __asm__ volatile("" : "+v"(sums[i]));
    }
}

__attribute__((target("avx512f,avx512bw"))) static void loop_maddubs512(void) {
    __m512i sums[SUMS], w = _mm512_set1_epi32(0x01020304), q = _mm512_set1_epi32(0x04030201);
    EACH_SUM sums[i] = _mm512_setzero_si512();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM {
            __asm__ volatile("" : "+v"(w)); // a product of its own for each sum
            sums[i] = _mm512_add_epi16(sums[i], _mm512_maddubs_epi16(w, q));
        }
        EACH_SUM __asm__ volatile("" : "+v"(sums[i]));
    }
}

__attribute__((target("avx512f"))) static void loop_fma512(void) {
    __m512 sums[SUMS], w = _mm512_set1_ps(0.5f), x = _mm512_set1_ps(0.25f);
    EACH_SUM sums[i] = _mm512_setzero_ps();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM sums[i] = _mm512_fmadd_ps(w, x, sums[i]);
        EACH_SUM __asm__ volatile("" : "+v"(sums[i]));
    }
}

// Two operands of 16 rows with 64 bytes each, into four sums.
enum { TILE_SUMS = 4, TILE_LOOPS = 50000 };

__attribute__((target("amx-tile,amx-int8"))) static void loop_tdpbssd(void) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < TILE_SUMS + 2; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = 16;
    }
    _tile_loadconfig(&config);
    for (int n = 0; n < TILE_LOOPS; n++) {
        _tile_dpbssd(0, 4, 5);
        _tile_dpbssd(1, 4, 5);
        _tile_dpbssd(2, 4, 5);
        _tile_dpbssd(3, 4, 5);
    }
    _tile_release();
}

enum { SUMS_256 = 12 }; // 16 registers, some for operands

#define EACH_SUM_256 _Pragma("GCC unroll 16") for (int i = 0; i < SUMS_256; i++)

__attribute__((target("avx2"))) static void loop_maddubs(void) {
    __m256i sums[SUMS_256], w = _mm256_set1_epi32(0x01020304), q = _mm256_set1_epi32(0x04030201);
    EACH_SUM_256 sums[i] = _mm256_setzero_si256();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM_256 {
            __asm__ volatile("" : "+x"(w)); // a product of its own for each sum
            sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(w, q));
        }
        EACH_SUM_256 __asm__ volatile("" : "+x"(sums[i]));
    }
}

// The same instruction in two encodings; see avxvnni/gemm_dots.h.
__attribute__((target("avx2,avxvnni"))) static void loop_vpdpbusd_vex(void) {
    __m256i sums[SUMS_256], w = _mm256_set1_epi32(0x01020304), q = _mm256_set1_epi32(0x04030201);
    EACH_SUM_256 sums[i] = _mm256_setzero_si256();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM_256 sums[i] = _mm256_dpbusd_avx_epi32(sums[i], w, q);
        EACH_SUM_256 __asm__ volatile("" : "+x"(sums[i]));
    }
}

__attribute__((target("avx512vl,avx512vnni"))) static void loop_vpdpbusd_evex(void) {
    __m256i sums[SUMS_256], w = _mm256_set1_epi32(0x01020304), q = _mm256_set1_epi32(0x04030201);
    EACH_SUM_256 sums[i] = _mm256_setzero_si256();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM_256 sums[i] = _mm256_dpbusd_epi32(sums[i], w, q);
        EACH_SUM_256 __asm__ volatile("" : "+x"(sums[i]));
    }
}

static void loop_vpdpbusd256(void) {
    if (cpu_has_vex_vnni())
        loop_vpdpbusd_vex();
    else
        loop_vpdpbusd_evex();
}

__attribute__((target("avx2,fma"))) static void loop_fma256(void) {
    __m256 sums[SUMS_256], w = _mm256_set1_ps(0.5f), x = _mm256_set1_ps(0.25f);
    EACH_SUM_256 sums[i] = _mm256_setzero_ps();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM_256 sums[i] = _mm256_fmadd_ps(w, x, sums[i]);
        EACH_SUM_256 __asm__ volatile("" : "+x"(sums[i]));
    }
}
#elif defined(__aarch64__)
__attribute__((target("arch=armv8.2-a+dotprod"))) static void loop_sdot(void) {
    int32x4_t sums[SUMS];
    int8x16_t w = vdupq_n_s8(2), q = vdupq_n_s8(3);
    EACH_SUM sums[i] = vdupq_n_s32(0);
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM sums[i] = vdotq_s32(sums[i], w, q);
        EACH_SUM __asm__ volatile("" : "+w"(sums[i]));
    }
}

__attribute__((target("arch=armv8.2-a+i8mm"))) static void loop_smmla(void) {
    int32x4_t sums[SUMS];
    int8x16_t w = vdupq_n_s8(2), q = vdupq_n_s8(3);
    EACH_SUM sums[i] = vdupq_n_s32(0);
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM sums[i] = vmmlaq_s32(sums[i], w, q);
        EACH_SUM __asm__ volatile("" : "+w"(sums[i]));
    }
}

static void loop_fmla(void) {
    float32x4_t sums[SUMS], w = vdupq_n_f32(0.5f), x = vdupq_n_f32(0.25f);
    EACH_SUM sums[i] = vdupq_n_f32(0);
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM sums[i] = vfmaq_f32(sums[i], w, x);
        EACH_SUM __asm__ volatile("" : "+w"(sums[i]));
    }
}
#endif

static const Burst bursts[][2] = {
    [CPU_SCALAR] = {{plain_int8, (double)PLAIN_N *PLAIN_LOOPS}, {plain_float, (double)PLAIN_N *PLAIN_LOOPS}},
#if defined(__x86_64__)
    [CPU_AVX2] = {{loop_maddubs, 32.0 * SUMS_256 *LOOPS}, {loop_fma256, 8.0 * SUMS_256 *LOOPS}},
    [CPU_AVXVNNI] = {{loop_vpdpbusd256, 32.0 * SUMS_256 *LOOPS}, {loop_fma256, 8.0 * SUMS_256 *LOOPS}},
    [CPU_AVX512] = {{loop_maddubs512, 64.0 * SUMS *LOOPS}, {loop_fma512, 16.0 * SUMS *LOOPS}},
    [CPU_AVX512VNNI] = {{loop_vpdpbusd, 64.0 * SUMS *LOOPS}, {loop_fma512, 16.0 * SUMS *LOOPS}},
    [CPU_AMX] = {{loop_tdpbssd, 16.0 * 16 * 64 * TILE_SUMS *TILE_LOOPS}, {loop_fma512, 16.0 * SUMS *LOOPS}},
#elif defined(__aarch64__)
    [CPU_NEON] = {{loop_sdot, 16.0 * SUMS *LOOPS}, {loop_fmla, 4.0 * SUMS *LOOPS}},
    [CPU_NEON_I8MM] = {{loop_smmla, 32.0 * SUMS *LOOPS}, {loop_fmla, 4.0 * SUMS *LOOPS}},
#endif
};

// ---- measuring ----

double limit_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double limit_macs_burst(LimitKind kind, CpuRung rung) {
    const Burst *b = &bursts[rung][kind];
    b->run();
    return b->macs;
}

void limit_read_burst(const void *p, size_t n) {
    const uint64_t *words = p;
    uint64_t sums[8] = {0};
    for (size_t i = 0; i + 8 <= n / 8; i += 8)
        for (size_t j = 0; j < 8; j++) sums[j] += words[i + j];
    for (int j = 0; j < 8; j++) __asm__ volatile("" : : "r"(sums[j]));
}

double limit_macs_rate(LimitKind kind, CpuRung rung) {
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double start = limit_clock(), macs = limit_macs_burst(kind, rung);
        double rate = macs / (limit_clock() - start);
        if (rate > best) best = rate;
    }
    return best;
}

double limit_read_rate(const void *p, size_t n) {
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double start = limit_clock();
        limit_read_burst(p, n);
        double rate = (double)n / (limit_clock() - start);
        if (rate > best) best = rate;
    }
    return best;
}
