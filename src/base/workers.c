#define _GNU_SOURCE
#include "base/workers.h"

#include "base/cpu.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define CPU_RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define CPU_RELAX() __asm__ volatile("yield")
#else
#define CPU_RELAX() ((void)0)
#endif

enum {
    SPINS_BEFORE_SLEEP = 4000, // about 40-80 µs: longer than any gap inside a step
    SPINS_BEFORE_YIELD = 2000, // the caller waits for a straggler that the system has descheduled
};

typedef struct Member {
    _Alignas(64) _Atomic int next; // of its share of the tasks, which others may take from too
    int end;
    int index;
    Workers *team;
    pthread_t thread;
} Member;

// One job at a time. `epoch` changes when a job is published; `pending` counts the members that
// have not yet left it. The caller returns only at pending == 0, so no member can still be looking
// at a share when the following job resets it.
struct Workers {
    _Alignas(64) _Atomic uint32_t epoch;
    _Atomic uint32_t n_sleeping;
    _Atomic bool stop;
    _Alignas(64) _Atomic int pending;
    _Alignas(64) _Atomic uint64_t n_met; // calls of workers_meet so far
    _Alignas(64) WorkerFn fn;
    void *ctx;
    int n_workers;
    const atomic_bool *cancel;
    Member members[];
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

// Its own share first, then what is left of the others'.
static void run_tasks(Workers *w, int worker) {
    for (int i = 0; i < w->n_workers; i++) {
        Member *m = &w->members[(worker + i) % w->n_workers];
        while (atomic_load_explicit(&m->next, memory_order_relaxed) < m->end) {
            int task = atomic_fetch_add_explicit(&m->next, 1, memory_order_relaxed);
            if (task < m->end) w->fn(w->ctx, task, worker);
        }
    }
}

static uint32_t wait_for_job(Workers *w, uint32_t seen) {
    for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
        uint32_t now = atomic_load_explicit(&w->epoch, memory_order_acquire);
        if (now != seen) return now;
        CPU_RELAX();
    }
    atomic_fetch_add(&w->n_sleeping, 1);
    uint32_t now;
    while ((now = atomic_load(&w->epoch)) == seen) futex_wait(&w->epoch, seen);
    atomic_fetch_sub(&w->n_sleeping, 1);
    return now;
}

static void *member_main(void *arg) {
    Member *m = arg;
    Workers *w = m->team;
    for (uint32_t seen = 0;;) {
        seen = wait_for_job(w, seen);
        if (atomic_load(&w->stop)) return NULL;
        run_tasks(w, m->index);
        atomic_fetch_sub_explicit(&w->pending, 1, memory_order_release);
    }
}

static void publish(Workers *w) {
    atomic_fetch_add(&w->epoch, 1);
    if (atomic_load(&w->n_sleeping)) futex_wake_all(&w->epoch);
}

// Between two looks at what another worker must do first.
static void wait_a_little(int i) {
    if (i < SPINS_BEFORE_YIELD)
        CPU_RELAX();
    else
        sched_yield();
}

void workers_run(Workers *w, WorkerFn fn, void *ctx, int n_tasks) {
    if (w->n_workers == 1 || n_tasks == 1) {
        for (int task = 0; task < n_tasks; task++) fn(ctx, task, 0);
        return;
    }
    if (n_tasks <= 0) return;
    w->fn = fn;
    w->ctx = ctx;
    for (int i = 0; i < w->n_workers; i++) {
        Member *m = &w->members[i];
        atomic_store_explicit(&m->next, workers_share(n_tasks, i, w->n_workers), memory_order_relaxed);
        m->end = workers_share(n_tasks, i + 1, w->n_workers);
    }
    atomic_store_explicit(&w->pending, w->n_workers - 1, memory_order_relaxed);
    publish(w);
    run_tasks(w, 0);
    for (int i = 0; atomic_load_explicit(&w->pending, memory_order_acquire); i++) wait_a_little(i);
}

// Nobody can take a second task while it waits inside its first, so each is with another worker.
void workers_meet(Workers *w) {
    uint64_t n = (uint64_t)w->n_workers, mine = atomic_fetch_add_explicit(&w->n_met, 1, memory_order_acq_rel);
    uint64_t all = (mine / n + 1) * n;
    for (int i = 0; atomic_load_explicit(&w->n_met, memory_order_acquire) < all; i++) wait_a_little(i);
}

Workers *workers_new(int n_workers, Err *err) {
    CHECK(n_workers >= 1);
    if (n_workers > WORKERS_MAX) {
        err_set(err, ERR_LIMIT, "%d compute threads asked for, at most %d are possible", n_workers,
                WORKERS_MAX);
        return NULL;
    }
    size_t size = sizeof(Workers) + (size_t)n_workers * sizeof(Member);
    Workers *w = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (!w) {
        err_set(err, ERR_NOMEM, "out of memory for the compute threads");
        return NULL;
    }
    memset(w, 0, size);
    w->n_workers = 1;
    for (int i = 1; i < n_workers; i++) {
        Member *m = &w->members[i];
        m->team = w;
        m->index = i;
        int rc = pthread_create(&m->thread, NULL, member_main, m);
        if (rc != 0) {
            err_set(err, ERR_IO, "cannot start compute thread %d: %s", i, strerror(rc));
            workers_free(w);
            return NULL;
        }
        char name[16];
        snprintf(name, sizeof name, "cllm-w%d", i);
        pthread_setname_np(m->thread, name);
        w->n_workers = i + 1;
    }
    return w;
}

void workers_free(Workers *w) {
    if (!w) return;
    atomic_store(&w->stop, true);
    publish(w);
    for (int i = 1; i < w->n_workers; i++) pthread_join(w->members[i].thread, NULL);
    free(w);
}

static int nth_cpu(const cpu_set_t *set, int n) {
    int cpu = 0;
    while (!CPU_ISSET(cpu, set) || n-- > 0) cpu++;
    return cpu;
}

bool workers_pin(Workers *w, Err *err) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return err_set(err, ERR_IO,
                       "cannot pin the compute threads: the system does not tell which CPUs may be used");
    for (int i = 1; i < w->n_workers; i++) {
        int cpu = nth_cpu(&allowed, i % CPU_COUNT(&allowed));
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        int rc = pthread_setaffinity_np(w->members[i].thread, sizeof one, &one);
        if (rc != 0)
            return err_set(err, ERR_IO, "cannot pin compute thread %d to CPU %d: %s", i, cpu, strerror(rc));
    }
    return true;
}

int workers_default_count(void) {
    int n = cpu_cgroup_limit();
    return n < WORKERS_MAX ? n : WORKERS_MAX;
}

void workers_set_cancel(Workers *w, const atomic_bool *cancel) {
    w->cancel = cancel;
}

bool workers_cancelled(const Workers *w) {
    return w->cancel && atomic_load(w->cancel);
}

int workers_count(const Workers *w) {
    return w->n_workers;
}
