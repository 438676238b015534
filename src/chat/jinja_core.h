// What every part of the template engine stands on: memory, limits and failure.
//
// A template is hostile input, so everything it can spend is counted here: bytes, steps, nesting,
// the size of one string. All memory of a parse or a render comes from one arena and is freed as
// one; values are never freed singly. That makes the second decision possible: a failure anywhere
// (bad syntax, a limit, an undefined name, memory) leaves through longjmp to the one landing place
// in jinja_guard, since there is nothing to clean up on the way. So no function of the engine
// returns an error, and none of its callers tests for one; a value that was returned is good.
// Nothing in this engine may own anything outside the arena.
//
// Thread: a Jinja belongs to one thread; there is no other mutable state.
#ifndef CLLM_CHAT_JINJA_CORE_H
#define CLLM_CHAT_JINJA_CORE_H

#include "base/err.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdint.h>

enum {
    JINJA_MAX_SOURCE = 1 << 20,  // bytes of a template
    JINJA_MAX_STRING = 16 << 20, // bytes of any string, the output among them
    JINJA_MAX_MEMORY = 64 << 20, // bytes of one parse or one render
    JINJA_MAX_STEPS = 5000000,   // nodes evaluated, items walked, 64-byte pieces of text scanned
    JINJA_MAX_NESTING = 100,     // blocks and expressions inside each other, in a template or in its data
    JINJA_MAX_PARSE_DEPTH = 250, // calls of the parser that nest; a pair of parentheses costs two
    JINJA_MAX_DEPTH = 500,       // nodes under evaluation at once, through macros too
    JINJA_MAX_RANGE = 100000,    // items of range(), as in Jinja's own sandbox
};

typedef struct JinjaChunk JinjaChunk;
struct JText;
struct JScope;

typedef struct Jinja {
    JinjaChunk *chunks; // newest first
    char *top, *end;    // free part of the newest chunk
    size_t memory_left;
    size_t steps_left;
    int depth; // evaluation or parsing depth now
    int line;  // line of the template being worked on, for messages
    Err *err;
    jmp_buf landing;
    struct JText *out;    // where output goes now
    struct JScope *scope; // the innermost variables
} Jinja;

void jinja_init(Jinja *j);
void jinja_release(Jinja *j); // frees everything that was allocated

// Runs body(j, ctx); false if it failed, with *err filled. `j` may be released after that.
bool jinja_guard(Jinja *j, void (*body)(Jinja *j, void *ctx), void *ctx, Err *err);

// "template line N: …"
_Noreturn void jinja_fail(Jinja *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// The words of the template itself, without a line.
_Noreturn void jinja_refuse(Jinja *j, Str words);

// The length of s, cut to at most `limit` between two characters: for %.*s in messages.
int jinja_cut(Str s, int limit);

void jinja_step(Jinja *j, size_t n);      // spends n steps
void jinja_step_text(Jinja *j, size_t n); // spends what scanning n bytes costs
void jinja_enter(Jinja *j, int limit);    // one level deeper; fails beyond `limit`
void jinja_leave(Jinja *j);

void *jinja_alloc(Jinja *j, size_t size); // zeroed, aligned for any type
void *jinja_alloc_array(Jinja *j, size_t n, size_t size);

// Doubles *at when it holds `n` items and is full; the old place stays readable.
void *jinja_grow_array(Jinja *j, void *at, size_t n, size_t *cap, size_t size);

// A string under construction. Zeroed: empty.
typedef struct JText {
    char *ptr;
    size_t len, cap;
} JText;

void jtext_put(Jinja *j, JText *t, Str s);
void jtext_putc(Jinja *j, JText *t, char c);
void jtext_puts(Jinja *j, JText *t, const char *cstr);
void jtext_fill(Jinja *j, JText *t, char c, size_t n);
void jtext_put_code_point(Jinja *j, JText *t, int32_t cp);
void jtext_printf(Jinja *j, JText *t, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
Str jtext_finish(Jinja *j, JText *t); // gives unused room back; the text may still be appended to

Str jinja_concat(Jinja *j, Str a, Str b); // in place when `a` is the newest string

#endif
