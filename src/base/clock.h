// Time. The monotonic clock serves all durations and deadlines; wall time is for people only.
#ifndef CLLM_BASE_CLOCK_H
#define CLLM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline double clock_seconds(int64_t ns) {
    return (double)ns * 1e-9;
}

#endif
