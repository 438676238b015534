#include "harness.h"

#include "constrain/late.h"
#include "text/tiny_vocab.h"

#include <stdlib.h>

// Allows token 5 twice, then the end.
typedef struct Inner {
    Constraint base;
    bool is_ready;
    int n_accepted;
    int32_t end;
    uint64_t words[8];
    int *n_freed;
} Inner;

static const uint64_t *inner_mask(Constraint *c) {
    Inner *i = (Inner *)c;
    int32_t token = i->n_accepted < 2 ? 5 : i->end;
    memset(i->words, 0, sizeof i->words);
    i->words[token / 64] = (uint64_t)1 << token % 64;
    return i->words;
}

static void inner_accept(Constraint *c, int32_t token) {
    Inner *i = (Inner *)c;
    assert_int_equal(token, i->n_accepted < 2 ? 5 : i->end);
    i->n_accepted++;
}

static bool inner_done(const Constraint *c) {
    return ((const Inner *)c)->n_accepted == 2;
}

static int32_t inner_guess(Constraint *c, int32_t *out, int32_t most) {
    (void)c;
    if (most > 0) out[0] = 5;
    return most > 0;
}

static void inner_free(Constraint *c) {
    (*((Inner *)c)->n_freed)++;
    free(c);
}

static bool inner_ready(Constraint *c) {
    return ((Inner *)c)->is_ready;
}

static const ConstraintOps inner_ops = {inner_ready, inner_mask,  inner_accept,
                                        inner_done,  inner_guess, inner_free};

typedef struct Rig {
    TinyVocab vocab;
    Constraint *c;
    Inner *inner; // of c
    LateMarks marks;
    int32_t end;
    int n_freed;
} Rig;

static void open_rig(Rig *r, bool is_open) {
    *r = (Rig){0};
    tiny_english(&r->vocab);
    tiny_token(&r->vocab, "</think>", TINY_USER);
    Tokenizer *t = tiny_open_bpe(&r->vocab, "gpt-2", NULL);
    assert_non_null(t);
    Inner *inner = calloc(1, sizeof *inner);
    assert_non_null(inner);
    r->end = tokenizer_find(t, STR("<|im_end|>"));
    *inner = (Inner){.base = {&inner_ops, tokenizer_n_vocab(t)}, .end = r->end, .n_freed = &r->n_freed};
    assert_true(tokenizer_n_vocab(t) <= 8 * 64);
    assert_false(late_marks_find(t, STR("<think>"), STR("</thought>"), is_open, &r->marks));
    assert_true(late_marks_find(t, STR("<think>"), STR("</think>"), is_open, &r->marks));
    r->inner = inner;
    r->c = late_constraint_new(&inner->base, t, &r->marks, NULL);
    assert_non_null(r->c);
}

static void close_rig(Rig *r) {
    constraint_free(r->c);
    assert_int_equal(r->n_freed, 1);
    tiny_close(&r->vocab);
}

// Thinking waits for nothing; what is held to does.
static void test_waits_for_the_inner_mask(void **state) {
    (void)state;
    Rig r;
    open_rig(&r, false);
    Inner *inner = r.inner;
    assert_false(r.c->ops->ready(r.c));
    inner->is_ready = true;
    assert_true(r.c->ops->ready(r.c));
    inner->is_ready = false;
    r.c->ops->accept(r.c, r.marks.open);
    assert_true(r.c->ops->ready(r.c));
    r.c->ops->accept(r.c, r.marks.close);
    assert_false(r.c->ops->ready(r.c));
    close_rig(&r);
}

static bool allows(Rig *r, int32_t token) {
    return r->c->ops->mask(r->c)[token / 64] >> token % 64 & 1;
}

static void held(Rig *r) {
    int32_t guess;
    assert_true(allows(r, 5) && !allows(r, 6) && !allows(r, r->end));
    r->c->ops->accept(r->c, 5);
    assert_int_equal(r->c->ops->guess(r->c, &guess, 1), 1);
    assert_false(r->c->ops->is_done(r->c));
    r->c->ops->accept(r->c, 5);
    assert_true(r->c->ops->is_done(r->c) && allows(r, r->end) && !allows(r, 5));
}

static void test_thinking_is_free(void **state) {
    (void)state;
    int32_t guess;
    for (int is_open = 0; is_open <= 1; is_open++) {
        for (int with_break = 0; with_break <= 1; with_break++) {
            Rig r;
            open_rig(&r, is_open);
            int32_t line_end = tokenizer_find(r.vocab.tokenizer, STR("\u010A")); // "\n" in the byte alphabet
            assert_true(line_end >= 0);
            if (!is_open) {
                assert_true(allows(&r, r.marks.open) && allows(&r, 5) && !allows(&r, 6) &&
                            !allows(&r, r.marks.close));
                r.c->ops->accept(r.c, r.marks.open);
            }
            assert_true(allows(&r, 5) && allows(&r, 6) && allows(&r, r.marks.close) && !allows(&r, r.end));
            assert_int_equal(r.c->ops->guess(r.c, &guess, 1), 0);
            r.c->ops->accept(r.c, 6);
            r.c->ops->accept(r.c, 5);
            assert_false(r.c->ops->is_done(r.c));
            r.c->ops->accept(r.c, r.marks.close);
            assert_true(allows(&r, line_end) && allows(&r, 5) && !allows(&r, 6) && !allows(&r, r.end));
            if (with_break) {
                r.c->ops->accept(r.c, line_end);
                assert_false(allows(&r, line_end));
            }
            held(&r);
            close_rig(&r);
        }
    }
}

static void test_without_thinking(void **state) {
    (void)state;
    Rig r;
    open_rig(&r, false);
    assert_true(allows(&r, r.marks.open));
    r.c->ops->accept(r.c, 5);
    assert_false(allows(&r, r.marks.open));
    r.c->ops->accept(r.c, 5);
    assert_true(r.c->ops->is_done(r.c));
    close_rig(&r);
}

SUITE(constrain_late, cmocka_unit_test(test_waits_for_the_inner_mask),
      cmocka_unit_test(test_thinking_is_free), cmocka_unit_test(test_without_thinking))
