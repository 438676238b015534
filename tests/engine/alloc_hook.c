#include "alloc_hook.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static _Thread_local uint64_t count, fail_at;
static _Thread_local bool failed;

#if defined(__GLIBC__) && !defined(SANITIZED)

// glibc's own entry points, under the names that it keeps for such replacements.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *p);

static bool refused(void) {
    count++;
    if (fail_at == 0 || --fail_at > 0) return false;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) {
    return refused() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    return refused() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
    return refused() ? NULL : __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return refused() ? NULL : __libc_memalign(alignment, size);
}

void free(void *p) {
    count++;
    __libc_free(p);
}

bool alloc_hook_works(void) {
    return true;
}

#else

bool alloc_hook_works(void) {
    return false;
}

#endif

uint64_t alloc_hook_count(void) {
    return count;
}

bool alloc_hook_fail_at(uint64_t n) {
    bool was = failed;
    fail_at = n;
    failed = false;
    return was;
}
