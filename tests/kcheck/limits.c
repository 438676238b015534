// What one core can do at best, measured beside the kernels: the figures that theirs are divided by.
//
// Multiply-adds run on registers only, with enough independent sums to hide the latency. On AVX2 an
// int8 multiply-add is vpmaddubsw and an add of 16 bits, the cheapest step a kernel can take.
#include "kcheck.h"

#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { SUMS = 16, LOOPS = 200000, ROUNDS = 20 };

#define EACH_SUM _Pragma("GCC unroll 16") for (int i = 0; i < SUMS; i++)

double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double best_rate(void (*loop)(void), double work) {
    double best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double start = cpu_seconds();
        loop();
        double rate = work / (cpu_seconds() - start);
        if (rate > best) best = rate;
    }
    return best;
}

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

__attribute__((target("avx512f"))) static void loop_fma512(void) {
    __m512 sums[SUMS], w = _mm512_set1_ps(0.5f), x = _mm512_set1_ps(0.25f);
    EACH_SUM sums[i] = _mm512_setzero_ps();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM sums[i] = _mm512_fmadd_ps(w, x, sums[i]);
        EACH_SUM __asm__ volatile("" : "+v"(sums[i]));
    }
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

__attribute__((target("avx2,fma"))) static void loop_fma256(void) {
    __m256 sums[SUMS_256], w = _mm256_set1_ps(0.5f), x = _mm256_set1_ps(0.25f);
    EACH_SUM_256 sums[i] = _mm256_setzero_ps();
    for (int n = 0; n < LOOPS; n++) {
        EACH_SUM_256 sums[i] = _mm256_fmadd_ps(w, x, sums[i]);
        EACH_SUM_256 __asm__ volatile("" : "+x"(sums[i]));
    }
}
#endif

double limit_int8_macs(CpuRung rung) {
#if defined(__x86_64__)
    if (rung == CPU_AVX512VNNI) return best_rate(loop_vpdpbusd, 64.0 * SUMS * LOOPS);
    if (rung == CPU_AVX2) return best_rate(loop_maddubs, 32.0 * SUMS_256 * LOOPS);
#endif
    (void)rung;
    return 0;
}

double limit_fma_macs(CpuRung rung) {
#if defined(__x86_64__)
    if (rung == CPU_AVX512VNNI) return best_rate(loop_fma512, 16.0 * SUMS * LOOPS);
    if (rung == CPU_AVX2) return best_rate(loop_fma256, 8.0 * SUMS_256 * LOOPS);
#endif
    (void)rung;
    return 0;
}

double limit_read_bandwidth(const void *p, size_t n) {
    const uint64_t *words = p;
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = cpu_seconds();
        uint64_t sums[8] = {0};
        for (size_t i = 0; i + 8 <= n / 8; i += 8)
            for (int j = 0; j < 8; j++) sums[j] += words[i + (size_t)j];
        for (int j = 0; j < 8; j++) __asm__ volatile("" : : "r"(sums[j]));
        double rate = (double)n / (cpu_seconds() - start);
        if (rate > best) best = rate;
    }
    return best;
}
