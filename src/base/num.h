// Arithmetic on sizes that come from outside: each returns false instead of wrapping.
#ifndef CLLM_BASE_NUM_H
#define CLLM_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool num_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

static inline bool num_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

// Rounds `n` up to a multiple of `align` (a power of two).
static inline bool num_align(size_t n, size_t align, size_t *out) {
    if (!num_add(n, align - 1, out)) return false;
    *out &= ~(align - 1);
    return true;
}

static inline size_t num_div_up(size_t n, size_t d) {
    return n / d + (n % d != 0);
}

static inline size_t num_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t num_max(size_t a, size_t b) {
    return a > b ? a : b;
}

#endif
