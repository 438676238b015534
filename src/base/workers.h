// Compute threads: a fixed team that runs parallel-for bodies.
//
// The caller of workers_run is worker 0 and takes part; the others spin for a short while after
// each job (a step is hundreds of jobs, microseconds apart) and then sleep in the kernel, so an
// idle server burns nothing. Each worker has a share of a job's tasks, in order, and takes from the
// others' when it is done: in jobs that are cut alike the same worker mostly gets the same data, which
// its caches then hold (cores may have separate ones), and one that the system delays takes fewer.
// Nothing about the result may depend on who runs which task.
//
// Thread: workers_run only from one thread at a time (the engine thread).
#ifndef CLLM_BASE_WORKERS_H
#define CLLM_BASE_WORKERS_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdint.h>

enum { WORKERS_MAX = 256 };

typedef struct Workers Workers;

// task: 0 … n_tasks-1; worker: 0 … workers_count()-1, for per-worker scratch.
typedef void (*WorkerFn)(void *ctx, int task, int worker);

Workers *workers_new(int n_workers, Err *err); // 1 … WORKERS_MAX, including the caller
// Keeps each worker but the caller of workers_run on one of the CPUs that this process may use: the second,
// third … of them, in turn if they are fewer. The caller stays free.
bool workers_pin(Workers *w, Err *err);
int workers_default_count(void); // as many as the CPUs that this process, or its container, may use
void workers_free(Workers *w);   // joins the threads; NULL is allowed
int workers_count(const Workers *w);

// The first of n_tasks tasks in the share of a worker; of worker + 1: the end of that share.
static inline int workers_share(int n_tasks, int worker, int n_workers) {
    return (int)((int64_t)n_tasks * worker / n_workers);
}

// What takes seconds and more, as loading does, is cut into jobs, and whoever cuts it looks between them whether it
// is still wanted. *cancel is borrowed, and set by any thread or signal handler; NULL: it always is.
void workers_set_cancel(Workers *w, const atomic_bool *cancel);
bool workers_cancelled(const Workers *w);

// Runs fn(ctx, task, worker) for every task and returns when all are done.
void workers_run(Workers *w, WorkerFn fn, void *ctx, int n_tasks);

// In a job of exactly as many tasks as workers, every one of which calls this equally often: waits until
// all tasks have come here. What they wrote before is visible to all behind.
void workers_meet(Workers *w);

#endif
