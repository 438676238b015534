// Watches and fails allocations of the calling thread. Where the C library or a sanitizer does not
// let malloc be replaced, alloc_hook_works() is false and its tests skip themselves.
#ifndef CLLM_TESTS_ALLOC_HOOK_H
#define CLLM_TESTS_ALLOC_HOOK_H

#include <stdbool.h>
#include <stdint.h>

bool alloc_hook_works(void);

// Calls of malloc, calloc, realloc, aligned_alloc and free by this thread since it began.
uint64_t alloc_hook_count(void);

// Lets this thread's n-th allocation from now on fail (1: the next); 0 switches it off. Returns
// whether the previous order was carried out.
bool alloc_hook_fail_at(uint64_t n);

#endif
