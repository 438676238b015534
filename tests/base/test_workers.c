#define _GNU_SOURCE // cpu_set_t
#include "harness.h"

#include "base/clock.h"
#include "base/workers.h"

#include <sched.h>
#include <stdatomic.h>
#include <time.h>

enum { MAX_TASKS = 1000 };

typedef struct Count {
    _Atomic int ran[MAX_TASKS];
    _Atomic int bad_worker;
    int n_workers;
} Count;

static void count_task(void *ctx, int task, int worker) {
    Count *c = ctx;
    atomic_fetch_add(&c->ran[task], 1);
    if (worker < 0 || worker >= c->n_workers) atomic_fetch_add(&c->bad_worker, 1);
}

// Every task exactly once, for every team and number of tasks, many jobs in a row.
static void test_each_task_once(void **state) {
    (void)state;
    for (int n_workers = 1; n_workers <= 4; n_workers++) {
        Workers *w = workers_new(n_workers, NULL);
        assert_non_null(w);
        assert_int_equal(workers_count(w), n_workers);
        static Count c;
        for (int job = 0; job < 300; job++) {
            int n_tasks = job * 7 % 50;
            for (int i = 0; i < MAX_TASKS; i++) c.ran[i] = 0;
            c.n_workers = n_workers;
            workers_run(w, count_task, &c, n_tasks);
            for (int i = 0; i < MAX_TASKS; i++) assert_int_equal(c.ran[i], i < n_tasks);
        }
        assert_int_equal(c.bad_worker, 0);
        workers_free(w);
    }
}

// Workers that have gone to sleep wake up again.
static void test_wakes_from_sleep(void **state) {
    (void)state;
    Workers *w = workers_new(3, NULL);
    static Count c;
    c.n_workers = 3;
    for (int round = 0; round < 5; round++) {
        struct timespec pause = {0, 20000000};
        nanosleep(&pause, NULL);
        for (int i = 0; i < MAX_TASKS; i++) c.ran[i] = 0;
        workers_run(w, count_task, &c, MAX_TASKS);
        for (int i = 0; i < MAX_TASKS; i++) assert_int_equal(c.ran[i], 1);
    }
    workers_free(w);
}

enum { MEETINGS = 200 }; // each takes a turn of every worker, where all share a CPU with others

typedef struct Meeting {
    Workers *w;
    int n_workers;
    int wrote[4][16]; // a cache line for each
    _Atomic int n_wrong;
} Meeting;

static void meet_task(void *ctx, int task, int worker) {
    (void)worker;
    Meeting *m = ctx;
    for (int i = 1; i <= MEETINGS; i++) {
        m->wrote[task][0] = i;
        workers_meet(m->w);
        for (int other = 0; other < m->n_workers; other++)
            if (m->wrote[other][0] != i) atomic_fetch_add(&m->n_wrong, 1);
        workers_meet(m->w);
    }
}

// Behind a meeting everybody sees what the others wrote before it.
static void test_meetings(void **state) {
    (void)state;
    for (int n_workers = 1; n_workers <= 4; n_workers++) {
        Meeting m = {.w = workers_new(n_workers, NULL), .n_workers = n_workers};
        for (int job = 0; job < 3; job++) workers_run(m.w, meet_task, &m, n_workers);
        assert_int_equal(m.n_wrong, 0);
        workers_free(m.w);
    }
}

static int64_t process_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void test_idle_burns_nothing(void **state) {
    (void)state;
    Workers *w = workers_new(4, NULL);
    static Count c;
    c.n_workers = 4;
    workers_run(w, count_task, &c, 10);
    struct timespec pause = {0, 100000000};
    int64_t burnt_ns = INT64_MAX;
    for (int i = 0; i < 300 && burnt_ns >= 5000000;
         i++) { // until they have fallen asleep: 5 % of a core is 5 ms
        int64_t before = process_cpu_ns();
        nanosleep(&pause, NULL);
        burnt_ns = process_cpu_ns() - before;
    }
    assert_true(burnt_ns < 5000000);
    workers_free(w);
}

static void test_refuses_too_many(void **state) {
    (void)state;
    Err err;
    assert_null(workers_new(100000, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    workers_free(NULL);
}

static void mask_task(void *ctx, int task, int worker) {
    (void)task;
    Meeting *m = ctx;
    cpu_set_t mine;
    workers_meet(m->w); // so that each worker has a task
    m->wrote[worker][0] = sched_getaffinity(0, sizeof mine, &mine) == 0 ? CPU_COUNT(&mine) : -1;
}

// Every worker but the caller may run on one CPU only; more workers than CPUs share them.
static void test_pinned(void **state) {
    (void)state;
    Meeting m = {.w = workers_new(4, NULL), .n_workers = 4};
    assert_true(workers_pin(m.w, NULL));
    workers_run(m.w, mask_task, &m, 4);
    for (int i = 1; i < 4; i++) assert_int_equal(m.wrote[i][0], 1);
    workers_free(m.w);
}

SUITE(base_workers, cmocka_unit_test(test_each_task_once), cmocka_unit_test(test_meetings),
      cmocka_unit_test(test_pinned), cmocka_unit_test(test_wakes_from_sleep),
      cmocka_unit_test(test_idle_burns_nothing), cmocka_unit_test(test_refuses_too_many))
