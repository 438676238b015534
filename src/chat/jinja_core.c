#include "chat/jinja_core.h"

#include "base/num.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <utf8proc.h>

enum { CHUNK_SIZE = 64 << 10, ALIGN = alignof(max_align_t) };

struct JinjaChunk {
    JinjaChunk *older;
    alignas(max_align_t) char bytes[];
};

void jinja_init(Jinja *j) {
    *j = (Jinja){.memory_left = JINJA_MAX_MEMORY, .steps_left = JINJA_MAX_STEPS, .line = 1};
}

void jinja_release(Jinja *j) {
    for (JinjaChunk *c = j->chunks, *older; c; c = older) {
        older = c->older;
        free(c);
    }
    jinja_init(j);
}

bool jinja_guard(Jinja *j, void (*body)(Jinja *j, void *ctx), void *ctx, Err *err) {
    j->err = err;
    if (setjmp(j->landing)) return false;
    body(j, ctx);
    return true;
}

int jinja_cut(Str s, int limit) {
    size_t n = num_min(s.len, (size_t)limit);
    while (n < s.len && n && ((unsigned char)s.ptr[n] & 0xC0) == 0x80) n--;
    return (int)n;
}

void jinja_fail(Jinja *j, const char *fmt, ...) {
    char what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    err_set(j->err, ERR_INVALID, "chat template, line %d: %s", j->line, what);
    longjmp(j->landing, 1);
}

void jinja_refuse(Jinja *j, Str words) {
    err_set(j->err, ERR_INVALID, "the chat template refuses: %.*s", jinja_cut(words, 400), words.ptr);
    longjmp(j->landing, 1);
}

void jinja_step(Jinja *j, size_t n) {
    if (n > j->steps_left) jinja_fail(j, "too much work: more than %d steps", JINJA_MAX_STEPS);
    j->steps_left -= n;
}

void jinja_step_text(Jinja *j, size_t n) {
    jinja_step(j, n / 64);
}

void jinja_enter(Jinja *j, int limit) {
    if (++j->depth > limit) jinja_fail(j, "nested deeper than %d levels", limit);
}

void jinja_leave(Jinja *j) {
    j->depth--;
}

// A chunk is twice what is asked for, so that a text that grows in place does so again for a while.
static void new_chunk(Jinja *j, size_t size) {
    size_t want = size > CHUNK_SIZE / 2 ? size * 2 : CHUNK_SIZE;
    if (want > j->memory_left) want = size;
    if (size > JINJA_MAX_MEMORY || want > j->memory_left)
        jinja_fail(j, "too much memory: more than %d MiB", JINJA_MAX_MEMORY >> 20);
    JinjaChunk *c = malloc(sizeof *c + want);
    if (!c) {
        err_set(j->err, ERR_NOMEM, "out of memory in the chat template");
        longjmp(j->landing, 1);
    }
    c->older = j->chunks;
    j->chunks = c;
    j->top = c->bytes;
    j->end = c->bytes + want;
    j->memory_left -= want;
}

static size_t room(const Jinja *j) {
    return (size_t)(j->end - j->top);
}

void *jinja_alloc(Jinja *j, size_t size) {
    if (!size) size = 1; // nothing has a place of its own too
    size_t pad = j->top ? (size_t)(-(uintptr_t)j->top) % ALIGN : 0;
    if (room(j) < pad || room(j) - pad < size) {
        new_chunk(j, size);
        pad = 0;
    }
    char *p = j->top + pad;
    j->top = p + size;
    memset(p, 0, size);
    return p;
}

void *jinja_alloc_array(Jinja *j, size_t n, size_t size) {
    size_t total;
    if (!num_mul(n, size, &total)) jinja_fail(j, "too much memory");
    return jinja_alloc(j, total);
}

void *jinja_grow_array(Jinja *j, void *at, size_t n, size_t *cap, size_t size) {
    if (n < *cap) return at;
    size_t grown = *cap ? *cap * 2 : 4;
    void *to = jinja_alloc_array(j, grown, size);
    if (n) memcpy(to, at, n * size);
    *cap = grown;
    return to;
}

// Text needs no alignment; taking it byte by byte is what lets a string grow where it is.
static char *take_bytes(Jinja *j, size_t n) {
    if (room(j) < n) new_chunk(j, n);
    char *p = j->top;
    j->top += n;
    return p;
}

static void text_reserve(Jinja *j, JText *t, size_t extra) {
    if (extra > JINJA_MAX_STRING || t->len + extra > JINJA_MAX_STRING)
        jinja_fail(j, "a text grows beyond %d MiB", JINJA_MAX_STRING >> 20);
    size_t need = t->len + extra;
    if (need <= t->cap) return;
    size_t cap = num_max(need, t->cap ? t->cap * 2 : 64);
    if (t->ptr && t->ptr + t->cap == j->top && need - t->cap <= room(j)) {
        cap = num_min(cap, t->cap + room(j));
        j->top += cap - t->cap;
    } else {
        char *to = take_bytes(j, cap);
        if (t->len) memcpy(to, t->ptr, t->len);
        t->ptr = to;
    }
    t->cap = cap;
}

void jtext_put(Jinja *j, JText *t, Str s) {
    if (!s.len) return;
    text_reserve(j, t, s.len);
    jinja_step_text(j, s.len);
    memcpy(t->ptr + t->len, s.ptr, s.len);
    t->len += s.len;
}

void jtext_putc(Jinja *j, JText *t, char c) {
    jtext_put(j, t, (Str){&c, 1});
}

void jtext_puts(Jinja *j, JText *t, const char *cstr) {
    jtext_put(j, t, str_from(cstr));
}

void jtext_fill(Jinja *j, JText *t, char c, size_t n) {
    if (!n) return;
    text_reserve(j, t, n);
    jinja_step_text(j, n);
    memset(t->ptr + t->len, c, n);
    t->len += n;
}

void jtext_put_code_point(Jinja *j, JText *t, int32_t cp) {
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(cp, bytes);
    jtext_put(j, t, (Str){(const char *)bytes, (size_t)n});
}

void jtext_printf(Jinja *j, JText *t, const char *fmt, ...) {
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    jtext_put(j, t, (Str){small, num_min((size_t)(n < 0 ? 0 : n), sizeof small - 1)});
}

Str jtext_finish(Jinja *j, JText *t) {
    if (!t->ptr) return STR("");
    if (t->ptr + t->cap == j->top) {
        j->top = t->ptr + t->len;
        t->cap = t->len;
    }
    return (Str){t->ptr, t->len};
}

Str jinja_concat(Jinja *j, Str a, Str b) {
    if (!b.len) return a;
    if (!a.len) return b;
    JText t = {(char *)a.ptr, a.len, a.len};
    // Text that is not at the top is copied by the first append, never written to.
    jtext_put(j, &t, b);
    return jtext_finish(j, &t);
}
