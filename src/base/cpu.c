#define _GNU_SOURCE
#include "base/cpu.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

static const char *const rung_names[CPU_N_RUNGS] = {"scalar",     "avx2", "avxvnni", "avx512",
                                                    "avx512vnni", "amx",  "neon",    "neon_i8mm"};

const char *cpu_rung_name(CpuRung rung) {
    return rung_names[rung];
}

bool cpu_rung_parse(const char *name, CpuRung *out) {
    for (int i = 0; i < CPU_N_RUNGS; i++) {
        if (strcmp(name, rung_names[i]) != 0) continue;
        *out = (CpuRung)i;
        return true;
    }
    return false;
}

bool cpu_has_vex_vnni(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avxvnni");
#else
    return false;
#endif
}

#if defined(__x86_64__)
// Tiles are 8 KB more that the system saves for a thread, so a process has to ask for them; once it has, all
// its threads may use them. It is refused where the CPU or the system has none.
static bool may_use_tiles(void) {
    enum { REQUEST_STATE = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    enum { AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25 }; // of leaf 7, edx
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (~d & (AMX_TILE | AMX_INT8))) return false;
    return syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
}
#endif

// __builtin_cpu_supports also asks the OS (XGETBV) whether it saves the wide registers; the auxiliary vector
// of a process is the OS's own word.
bool cpu_has_rung(CpuRung rung) {
    if (rung == CPU_SCALAR) return true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (rung == CPU_AVX2) return avx2;
    bool vnni512 = avx2 && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    if (rung == CPU_AVXVNNI) return vnni512 || (avx2 && cpu_has_vex_vnni());
    if (rung == CPU_AVX512) return avx512;
    if (rung == CPU_AVX512VNNI) return avx512 && vnni512;
    if (rung == CPU_AMX) return avx512 && vnni512 && may_use_tiles();
#elif defined(__aarch64__)
    const unsigned long needed = HWCAP_ASIMD | HWCAP_ASIMDDP;
    bool neon = (getauxval(AT_HWCAP) & needed) == needed;
    if (rung == CPU_NEON) return neon;
    if (rung == CPU_NEON_I8MM) return neon && (getauxval(AT_HWCAP2) & HWCAP2_I8MM);
#endif
    return false;
}

CpuRung cpu_best_rung(void) {
    int best = CPU_N_RUNGS - 1;
    while (!cpu_has_rung((CpuRung)best)) best--;
    return (CpuRung)best;
}

void cpu_list_rungs(char *text, size_t size) {
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < CPU_N_RUNGS && at < size; i++)
        if (cpu_has_rung((CpuRung)i))
            at += (size_t)snprintf(text + at, size - at, "%s%s", at ? " " : "", rung_names[i]);
}

bool cpu_rung(CpuRung *out, Err *err) {
    const char *mask = getenv("CLLM_CPU");
    *out = cpu_best_rung();
    if (!mask || !mask[0]) return true;
    CpuRung wanted;
    char rungs[128];
    cpu_list_rungs(rungs, sizeof rungs);
    if (!cpu_rung_parse(mask, &wanted))
        return err_set(err, ERR_INVALID, "CLLM_CPU=%s is unknown; this CPU has %s", mask, rungs);
    if (!cpu_has_rung(wanted))
        return err_set(err, ERR_UNSUPPORTED, "CLLM_CPU=%s is not what this CPU has: %s", mask, rungs);
    *out = wanted;
    return true;
}

int cpu_count(void) {
    cpu_set_t set;
    int n =
        sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? n : 1; // the set holds 1024 CPUs; a larger machine makes the call fail
}

int cpu_cgroup_limit(void) {
    int n = cpu_count();
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f) return n;
    long long quota, period;
    if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
        long long allowed = (quota + period - 1) / period;
        if (allowed >= 1 && allowed < n) n = (int)allowed;
    }
    fclose(f);
    return n;
}
