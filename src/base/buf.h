// A growable byte buffer.
//
// Appending never fails in the middle of a caller: when memory runs out the buffer remembers it in
// `failed`, ignores what follows, and the caller checks once at the end. `ptr` is always
// NUL-terminated once anything was appended, so it also serves as a C string. A zeroed Buf is an
// empty buffer. Owner: whoever declared it; free with buf_free. Not thread-safe.
#ifndef CLLM_BASE_BUF_H
#define CLLM_BASE_BUF_H

#include "base/str.h"

#include <stdint.h>

typedef struct Buf {
    char *ptr;
    size_t len; // bytes used, without the final NUL
    size_t cap;
    bool failed; // memory ran out; the content is incomplete
} Buf;

void buf_free(Buf *b);                   // frees and zeroes
void buf_clear(Buf *b);                  // len = 0, failed = false; keeps the memory
bool buf_reserve(Buf *b, size_t extra);  // room for `extra` more bytes; false: failed
void buf_put(Buf *b, Str s);             // appends bytes
void buf_putc(Buf *b, char c);           // appends one byte
void buf_puts(Buf *b, const char *cstr); // appends a C string
void buf_printf(Buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop_front(Buf *b, size_t n);          // removes the first n bytes (n <= len)
void buf_put_utf8(Buf *b, uint32_t code_point); // appends a code point as UTF-8

static inline Str buf_str(const Buf *b) {
    return (Str){b->ptr ? b->ptr : "", b->len};
}

#endif
