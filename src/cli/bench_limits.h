// What all compute threads together can do now: the two figures that a benchmark's are divided by.
//
// Unlike the rates of one core in kernels/limits.h these are averages by the clock on the wall, with
// the very threads that compute the model: what others take from the machine is missing from both.
//
// Thread: the one that may call workers_run, that is: while the engine has no request.
#ifndef CLLM_CLI_BENCH_LIMITS_H
#define CLLM_CLI_BENCH_LIMITS_H

#include "base/workers.h"
#include "kernels/limits.h"

typedef struct BenchLimits {
    double macs;    // multiply-adds per second, operands in registers
    double reading; // bytes per second, from memory
} BenchLimits;

typedef struct BenchLimiter {
    Workers *workers; // borrowed
    LimitKind kind;
    CpuRung rung; // the best of this CPU, whatever CLLM_CPU says
    void *memory; // larger than the caches
} BenchLimiter;

bool bench_limiter_open(BenchLimiter *l, Workers *workers, LimitKind kind, Err *err);
void bench_limiter_close(BenchLimiter *l); // a zeroed one is allowed

BenchLimits bench_limiter_measure(const BenchLimiter *l); // takes 0.4 s
BenchLimits bench_limits_mean(BenchLimits a, BenchLimits b);

#endif
