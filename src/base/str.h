// A view of bytes: not owned, not NUL-terminated, any content.
#ifndef CLLM_BASE_STR_H
#define CLLM_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct Str {
    const char *ptr;
    size_t len;
} Str;

#define STR(literal) ((Str){(literal), sizeof(literal) - 1})

static inline Str str_from(const char *cstr) {
    return (Str){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool str_eq(Str a, Str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_starts_with(Str s, Str prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline Str str_skip(Str s, size_t n) {
    return n < s.len ? (Str){s.ptr + n, s.len - n} : (Str){s.ptr + s.len, 0};
}

static inline Str str_sub(Str s, size_t from, size_t len) {
    Str tail = str_skip(s, from);
    return (Str){tail.ptr, len < tail.len ? len : tail.len};
}

// Where `what` (not empty) first stands in s; s.len: nowhere.
static inline size_t str_index_of(Str s, Str what) {
    for (size_t i = 0; i + what.len <= s.len; i++) {
        const char *at = (const char *)memchr(s.ptr + i, what.ptr[0], s.len - what.len - i + 1);
        if (!at) return s.len;
        i = (size_t)(at - s.ptr);
        if (memcmp(at, what.ptr, what.len) == 0) return i;
    }
    return s.len;
}

static inline bool str_contains(Str s, Str what) {
    return str_index_of(s, what) < s.len;
}

#endif
