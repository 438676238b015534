// What the machine can do at best: the figures that measured speed is divided by.
//
// Multiply-adds run on registers only, with enough independent sums to hide their latency: tdpbssd on whole
// tiles where there is AMX; vpdpbusd where there is VNNI; without it vpmaddubsw and an add of 16 bits, the
// cheapest step that a kernel can take there; sdot on NEON, smmla with i8mm; on the scalar rung what the
// compiler makes of plain C on data in the first cache. Reading walks through memory of the caller, which
// should be larger than the caches.
//
// The bursts are for a team: each thread runs some, the caller keeps the time. The rates are those of
// the calling thread alone, by its own CPU time, the best of several: others on the machine only add.
//
// Thread: any.
#ifndef CLLM_KERNELS_LIMITS_H
#define CLLM_KERNELS_LIMITS_H

#include "base/cpu.h"

#include <stddef.h>

typedef enum LimitKind {
    LIMIT_INT8,  // 8-bit integers, sums of 32 bits (without VNNI: 16)
    LIMIT_FLOAT, // 32-bit floats
} LimitKind;

double limit_macs_burst(LimitKind kind, CpuRung rung); // does about a millisecond of multiply-adds; how many
void limit_read_burst(const void *p, size_t n);        // reads n bytes once; n a multiple of 64

double limit_macs_rate(LimitKind kind, CpuRung rung); // multiply-adds per second
double limit_read_rate(const void *p, size_t n);      // bytes per second

double limit_clock(void); // seconds of CPU time of the calling thread

#endif
