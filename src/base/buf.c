#include "base/buf.h"

#include "base/num.h"
#include "base/shortage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_free(Buf *b) {
    free(b->ptr);
    *b = (Buf){0};
}

void buf_clear(Buf *b) {
    b->len = 0;
    b->failed = false;
    if (b->ptr) b->ptr[0] = '\0';
}

static void fail(Buf *b) {
    b->failed = true;
    shortage_note();
}

bool buf_reserve(Buf *b, size_t extra) {
    if (b->failed) return false;
    size_t need;
    if (!num_add(b->len, extra, &need) || !num_add(need, 1, &need)) {
        fail(b);
        return false;
    }
    if (need <= b->cap) return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *grown = realloc(b->ptr, cap);
    if (!grown) {
        fail(b);
        return false;
    }
    b->ptr = grown;
    b->cap = cap;
    return true;
}

void buf_put(Buf *b, Str s) {
    if (!buf_reserve(b, s.len)) return;
    if (s.len) memcpy(b->ptr + b->len, s.ptr, s.len);
    b->len += s.len;
    b->ptr[b->len] = '\0';
}

void buf_putc(Buf *b, char c) {
    buf_put(b, (Str){&c, 1});
}

void buf_puts(Buf *b, const char *cstr) {
    buf_put(b, str_from(cstr));
}

void buf_printf(Buf *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && buf_reserve(b, (size_t)n)) {
        vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void buf_drop_front(Buf *b, size_t n) {
    if (n == 0) return;
    b->len -= n;
    memmove(b->ptr, b->ptr + n, b->len);
    b->ptr[b->len] = '\0';
}

void buf_put_utf8(Buf *b, uint32_t cp) {
    if (cp < 0x80) {
        buf_putc(b, (char)cp);
    } else if (cp < 0x800) {
        buf_put(b, (Str){(char[]){(char)(0xC0 | cp >> 6), (char)(0x80 | (cp & 0x3F))}, 2});
    } else if (cp < 0x10000) {
        buf_put(b, (Str){(char[]){(char)(0xE0 | cp >> 12), (char)(0x80 | (cp >> 6 & 0x3F)),
                                  (char)(0x80 | (cp & 0x3F))},
                         3});
    } else {
        buf_put(b, (Str){(char[]){(char)(0xF0 | cp >> 18), (char)(0x80 | (cp >> 12 & 0x3F)),
                                  (char)(0x80 | (cp >> 6 & 0x3F)), (char)(0x80 | (cp & 0x3F))},
                         4});
    }
}
