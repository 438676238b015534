#define _DEFAULT_SOURCE // madvise
#include "cli/bench_limits.h"

#include "base/clock.h"

#include <string.h>
#include <sys/mman.h>

static const size_t MEMORY_BYTES = (size_t)256 << 20, PIECE_BYTES = (size_t)1 << 20;
static const int64_t MEASURE_NS = 200000000;

enum { BURSTS_PER_WORKER = 8 };

bool bench_limiter_open(BenchLimiter *l, Workers *workers, LimitKind kind, Err *err) {
    *l = (BenchLimiter){.workers = workers, .kind = kind, .rung = cpu_best_rung()};
    void *p = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return err_set(err, ERR_NOMEM, "no memory to measure reading with (%zu MiB)", MEMORY_BYTES >> 20);
    madvise(p, MEMORY_BYTES, MADV_HUGEPAGE);
    memset(p, 1, MEMORY_BYTES); // untouched pages would all be the same one
    l->memory = p;
    return true;
}

void bench_limiter_close(BenchLimiter *l) {
    if (l->memory) munmap(l->memory, MEMORY_BYTES);
    *l = (BenchLimiter){0};
}

static void compute_task(void *ctx, int task, int worker) {
    (void)task, (void)worker;
    const BenchLimiter *l = ctx;
    limit_macs_burst(l->kind, l->rung);
}

static void read_task(void *ctx, int task, int worker) {
    (void)worker;
    const BenchLimiter *l = ctx;
    limit_read_burst((const char *)l->memory + (size_t)task * PIECE_BYTES, PIECE_BYTES);
}

// Rounds of n tasks per second.
static double rate(const BenchLimiter *l, WorkerFn fn, int n) {
    int64_t start = clock_now_ns(), took = 0;
    double rounds = 0;
    for (; took < MEASURE_NS; took = clock_now_ns() - start) {
        workers_run(l->workers, fn, (void *)l, n);
        rounds++;
    }
    return rounds / clock_seconds(took);
}

BenchLimits bench_limiter_measure(const BenchLimiter *l) {
    int bursts = workers_count(l->workers) * BURSTS_PER_WORKER;
    double macs = limit_macs_burst(l->kind, l->rung);
    return (BenchLimits){
        .macs = rate(l, compute_task, bursts) * bursts * macs,
        .reading = rate(l, read_task, (int)(MEMORY_BYTES / PIECE_BYTES)) * (double)MEMORY_BYTES,
    };
}

BenchLimits bench_limits_mean(BenchLimits a, BenchLimits b) {
    return (BenchLimits){(a.macs + b.macs) / 2, (a.reading + b.reading) / 2};
}
