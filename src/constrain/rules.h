// Rules of a language of texts, as expressions: what every notation (GBNF, regular expressions, JSON
// schemas) is translated into, and what grammar.h compiles.
//
// Expressions are numbered in the order in which they are made, so the parts of one have smaller numbers;
// only rules can refer to each other in circles. Literals and classes are made of code points and mean
// their UTF-8 bytes.
//
// Failure is sticky: when a limit is passed or memory runs out, `err` says so, makers return
// RX_NOTHING_LEFT (the empty text) and the caller looks once at the end.
// Thread: belongs to one at a time.
#ifndef CLLM_CONSTRAIN_RULES_H
#define CLLM_CONSTRAIN_RULES_H

#include "base/buf.h"
#include "base/err.h"

typedef int32_t RxId;

enum {
    RX_NOTHING_LEFT = 0, // the empty text
    RULES_MAX_RX = 1 << 18,
    RULES_MAX_RULES = 1 << 14,
    RULES_MAX_BYTES = 1 << 20, // of all literals together
    RULES_MAX_HEIGHT = 300,    // of an expression, rules not followed
    RULES_MAX_COUNT = 1 << 20, // of a repetition with an upper end
    RX_ENDLESS = -1
};

typedef struct CodeRange {
    uint32_t lo, hi; // both included
} CodeRange;

typedef enum RxKind { RX_EMPTY, RX_BYTES, RX_CLASS, RX_SEQ, RX_ALT, RX_REPEAT, RX_RULE } RxKind;

typedef struct Rx {
    uint8_t kind;
    int16_t height;
    int32_t first, n; // BYTES: of `bytes`; CLASS: of `ranges`; SEQ, ALT: of `kids`; REPEAT: first is the
                      // repeated expression; RULE: first is the rule
    int32_t min, max; // REPEAT; max may be RX_ENDLESS
} Rx;

typedef struct Rule {
    char *name; // for messages
    RxId body;  // -1: not yet known
} Rule;

typedef struct Rules {
    Rx *rx;
    int32_t n_rx, cap_rx;
    int32_t *kids;
    int32_t n_kids, cap_kids;
    CodeRange *ranges;
    int32_t n_ranges, cap_ranges;
    Rule *rules;
    int32_t n_rules, cap_rules;
    Buf bytes;
    bool failed;
    Err err;
} Rules;

Rules *rules_new(Err *err);
void rules_free(Rules *r); // NULL is allowed
// Records a failure (the first stays). Always returns RX_NOTHING_LEFT.
RxId rules_fail(Rules *r, ErrCode code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

RxId rx_bytes(Rules *r, Str text);                           // a literal text, UTF-8
RxId rx_text(Rules *r, const char *text);                    // the same
RxId rx_class(Rules *r, const CodeRange *ranges, int32_t n); // one code point; any order, may overlap
RxId rx_not_class(Rules *r, const CodeRange *ranges, int32_t n);
RxId rx_seq(Rules *r, const RxId *parts, int32_t n);
RxId rx_alt(Rules *r, const RxId *parts, int32_t n); // n >= 1
RxId rx_repeat(Rules *r, RxId what, int32_t min, int32_t max);
RxId rx_optional(Rules *r, RxId what);
RxId rx_rule(Rules *r, int32_t rule);

#define RX_SEQ_OF(r, ...)                                                                                    \
    rx_seq(r, (const RxId[]){__VA_ARGS__}, (int32_t)(sizeof((RxId[]){__VA_ARGS__}) / sizeof(RxId)))
#define RX_ALT_OF(r, ...)                                                                                    \
    rx_alt(r, (const RxId[]){__VA_ARGS__}, (int32_t)(sizeof((RxId[]){__VA_ARGS__}) / sizeof(RxId)))

// Rule 0 is the root: the whole text.
int32_t rules_add(Rules *r, Str name);                // its body follows; the name is copied
void rules_define(Rules *r, int32_t rule, RxId body); // once

// A growing list of expressions. Zeroed is empty; free with free(ids).
typedef struct RxList {
    RxId *ids;
    int32_t n, cap;
} RxList;
void rx_push(Rules *r, RxList *list, RxId id);

// Sorts ranges and joins those that touch. Returns how many are left.
int32_t code_ranges_tidy(CodeRange *ranges, int32_t n);

#endif
