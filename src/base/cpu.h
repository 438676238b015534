// What this CPU can do, as the kernels see it: rungs of a ladder, better ones above. On one kind of machine
// a rung needs what the rungs below it need, except that a CPU with AVX-512 may lack vpdpbusd.
//
// The environment variable CLLM_CPU=NAME chooses a lower rung than the best, so that one machine can test
// all that it has.
#ifndef CLLM_BASE_CPU_H
#define CLLM_BASE_CPU_H

#include "base/err.h"

#include <stddef.h>

typedef enum CpuRung {
    CPU_SCALAR,
    CPU_AVX2,       // x86: AVX2, FMA, F16C
    CPU_AVXVNNI,    // x86: these and 256-bit vpdpbusd, from AVX-VNNI or from AVX-512 VL and VNNI
    CPU_AVX512,     // x86: AVX-512 F, BW, DQ, VL, FMA, F16C
    CPU_AVX512VNNI, // x86: these and AVX-512 VNNI
    CPU_AMX,        // x86: these and AMX with int8, if the system lets this process use it
    CPU_NEON,       // AArch64: ASIMD and its dot products
    CPU_NEON_I8MM,  // AArch64: also products of int8 matrices
    CPU_N_RUNGS
} CpuRung;

bool cpu_has_rung(CpuRung rung);       // what the hardware and the OS allow, ignoring CLLM_CPU
bool cpu_has_vex_vnni(void);           // AVX-VNNI itself
CpuRung cpu_best_rung(void);           // the highest of them
bool cpu_rung(CpuRung *out, Err *err); // the rung to use; fails if CLLM_CPU names nothing we know or have
bool cpu_rung_parse(const char *name, CpuRung *out); // the words of cpu_rung_name; false: none of them
const char *cpu_rung_name(CpuRung rung);
void cpu_list_rungs(char *text, size_t size); // the names of all that this CPU has: "scalar avx2"
int cpu_count(void);                          // CPUs that this process may run on, at least 1
int cpu_cgroup_limit(void);                   // CPUs that the container's quota allows, or cpu_count()

#endif
