// What this CPU can do, as the kernels see it: rungs of a ladder, each a superset of the one below.
//
// The environment variable CLLM_CPU=scalar|avx2|avx512vnni masks everything above the named
// rung, so that one machine can test all of them.
#ifndef CLLM_BASE_CPU_H
#define CLLM_BASE_CPU_H

#include "base/err.h"

typedef enum CpuRung {
    CPU_SCALAR,
    CPU_AVX2,       // AVX2, FMA, F16C
    CPU_AVX512VNNI, // AVX-512 F, BW, DQ, VL and VNNI
    CPU_N_RUNGS
} CpuRung;

CpuRung cpu_best_rung(void);              // what the hardware and the OS allow, ignoring the mask
bool cpu_rung(CpuRung *out, Err *err);    // the rung to use; fails if CLLM_CPU names nothing we know or have
bool cpu_rung_parse(const char *name, CpuRung *out);
const char *cpu_rung_name(CpuRung rung);
int cpu_count(void);                      // CPUs that this process may run on, at least 1
int cpu_cgroup_limit(void);               // CPUs that the container's quota allows, or cpu_count()

#endif
