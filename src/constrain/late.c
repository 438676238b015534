#include "constrain/late.h"

#include <stdlib.h>

typedef struct LateConstraint {
    Constraint base;
    Constraint *inner;
    LateMarks marks;
    int32_t breaks[2]; // tokens of one and of two line ends, -1: none
    enum { LATE_BEFORE, LATE_THINKING, LATE_BEHIND, LATE_WITHIN } state;
    int32_t n_words;
    uint64_t *mixed;  // what the inner one allows, and some tokens more
    uint64_t words[]; // everything but end tokens; then `mixed`
} LateConstraint;

static LateConstraint *own(Constraint *c) {
    return (LateConstraint *)c;
}

static void set_bit(const LateConstraint *c, uint64_t *words, int32_t token, bool on) {
    if (token < 0 || token >= c->base.n_tokens) return;
    uint64_t bit = (uint64_t)1 << (token % 64);
    words[token / 64] = on ? words[token / 64] | bit : words[token / 64] & ~bit;
}

static const uint64_t *mixed_mask(LateConstraint *c, const int32_t *more, int n) {
    const uint64_t *inner = c->inner->ops->mask(c->inner);
    if (!inner) return NULL;
    memcpy(c->mixed, inner, (size_t)c->n_words * sizeof *inner);
    for (int i = 0; i < n; i++) set_bit(c, c->mixed, more[i], true);
    return c->mixed;
}

static bool ready(Constraint *base) {
    LateConstraint *c = own(base);
    return c->state == LATE_THINKING || c->inner->ops->ready(c->inner);
}

static const uint64_t *mask(Constraint *base) {
    LateConstraint *c = own(base);
    switch (c->state) {
    case LATE_BEFORE: return mixed_mask(c, &c->marks.open, 1);
    case LATE_THINKING: return c->words;
    case LATE_BEHIND: return mixed_mask(c, c->breaks, 2);
    default: return c->inner->ops->mask(c->inner);
    }
}

static bool is_break(const LateConstraint *c, int32_t token) {
    return token == c->breaks[0] || token == c->breaks[1];
}

static void accept(Constraint *base, int32_t token) {
    LateConstraint *c = own(base);
    if (c->state == LATE_THINKING) {
        if (token == c->marks.close) c->state = LATE_BEHIND;
        return;
    }
    bool begins = c->state == LATE_BEFORE && token == c->marks.open;
    bool breaks = c->state == LATE_BEHIND && is_break(c, token);
    c->state = begins ? LATE_THINKING : LATE_WITHIN;
    if (!begins && !breaks) c->inner->ops->accept(c->inner, token);
}

static bool is_done(const Constraint *base) {
    const LateConstraint *c = (const LateConstraint *)base;
    return c->state == LATE_WITHIN && c->inner->ops->is_done(c->inner);
}

static int32_t guess(Constraint *base, int32_t *out, int32_t most) {
    LateConstraint *c = own(base);
    return c->state == LATE_WITHIN ? c->inner->ops->guess(c->inner, out, most) : 0;
}

static void release(Constraint *base) {
    constraint_free(own(base)->inner);
    free(base);
}

static const ConstraintOps late_ops = {ready, mask, accept, is_done, guess, release};

bool late_marks_find(const Tokenizer *t, Str open, Str close, bool is_open, LateMarks *out) {
    *out = (LateMarks){is_open ? -1 : tokenizer_find(t, open), tokenizer_find(t, close), is_open};
    return out->close >= 0 && (is_open || out->open >= 0);
}

// The token that a text is, if it is one.
static int32_t token_of(const Tokenizer *t, Str text) {
    TokenList list = {0};
    bool ok = tokenizer_encode(t, text, (EncodeOptions){0}, &list, NULL);
    int32_t token = ok && list.n == 1 ? list.ids[0] : -1;
    token_list_free(&list);
    return token;
}

Constraint *late_constraint_new(Constraint *inner, const Tokenizer *t, const LateMarks *marks, Err *err) {
    int32_t n_words = (inner->n_tokens + 63) / 64;
    LateConstraint *c = malloc(sizeof *c + 2 * (size_t)n_words * sizeof c->words[0]);
    if (!c) {
        constraint_free(inner);
        err_set(err, ERR_NOMEM, "out of memory for a grammar");
        return NULL;
    }
    *c = (LateConstraint){.base = {&late_ops, inner->n_tokens},
                          .inner = inner,
                          .marks = *marks,
                          .breaks = {token_of(t, STR("\n")), token_of(t, STR("\n\n"))},
                          .state = marks->is_open ? LATE_THINKING : LATE_BEFORE,
                          .n_words = n_words,
                          .mixed = c->words + n_words};
    size_t n_ends;
    const int32_t *ends = tokenizer_end_tokens(t, &n_ends);
    memset(c->words, 0xFF, (size_t)n_words * sizeof c->words[0]);
    for (size_t i = 0; i < n_ends; i++) set_bit(c, c->words, ends[i], false);
    return &c->base;
}
