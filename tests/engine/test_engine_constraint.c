// Constrained requests: nothing outside the mask, the same tokens alone and beside others, and every way in
// which a constraint ends a request.
#include "alloc_hook.h"
#include "core_rig.h"
#include "harness.h"

#include <stdlib.h>

enum { VOCAB = 70, N_KNOWN = 64, N_CASES = 24 }; // the last tokens are beyond the mask

static const CoreShape SHAPE = {
    .config = {.max_running = 4, .max_queue = 64, .row_budget = 16, .prefill_chunk = 8, .spec_rows = 4},
    .n_vocab = VOCAB,
    .n_blocks = 24, // few enough for preemptions
    .max_context = 256,
};

// Allows the tokens that leave some remainder, which depends on the tokens before.
typedef struct Rule {
    Constraint base;
    uint64_t bits;
    int32_t n, done_at, dead_at; // tokens accepted; so many end it
    int32_t sum;
    int32_t guess;            // -1: none
    int32_t pieces, n_pieces; // a mask takes so many; done so far
    int64_t n_worked;         // of all masks
    bool *freed;
} Rule;

static uint64_t rule_bits(int32_t sum, int32_t n) {
    uint64_t bits = 0;
    for (int32_t t = 0; t < N_KNOWN; t++)
        if ((t + sum) % 5 == n % 3) bits |= UINT64_C(1) << t;
    return bits;
}

static bool rule_ready(Constraint *c) {
    Rule *r = (Rule *)c;
    if (r->n_pieces < r->pieces) r->n_pieces++, r->n_worked++;
    return r->n_pieces == r->pieces;
}

// The engine asks for what is ready only.
static const uint64_t *rule_mask(Constraint *c) {
    Rule *r = (Rule *)c;
    CHECK(r->n_pieces == r->pieces);
    r->bits = rule_bits(r->sum, r->n);
    return r->n == r->dead_at ? NULL : &r->bits;
}

static void rule_accept(Constraint *c, int32_t token) {
    Rule *r = (Rule *)c;
    CHECK(r->bits >> token & 1);
    r->sum += token;
    r->n++;
    r->n_pieces = 0;
}

static bool rule_is_done(const Constraint *c) {
    const Rule *r = (const Rule *)c;
    return r->n == r->done_at;
}

static int32_t rule_guess(Constraint *c, int32_t *out, int32_t most) {
    Rule *r = (Rule *)c;
    for (int32_t i = 0; i < most && r->guess >= 0; i++) out[i] = r->guess;
    return r->guess >= 0 ? most : 0;
}

static void rule_free(Constraint *c) {
    *((Rule *)c)->freed = true;
    free(c);
}

static const ConstraintOps rule_ops = {rule_ready,   rule_mask,  rule_accept,
                                       rule_is_done, rule_guess, rule_free};

static Constraint *rule_new(int32_t done_at, int32_t dead_at, int32_t guess, bool *freed) {
    Rule *r = calloc(1, sizeof *r);
    assert_non_null(r);
    *r = (Rule){
        .base = {&rule_ops, N_KNOWN}, .done_at = done_at, .dead_at = dead_at, .guess = guess, .freed = freed};
    *freed = false;
    return &r->base;
}

static void check_tokens(const Case *c) {
    int32_t sum = 0;
    for (int32_t i = 0; i < c->n_got; i++) {
        assert_true(c->got[i] < N_KNOWN);
        assert_true(rule_bits(sum, i) >> c->got[i] & 1);
        sum += c->got[i];
    }
}

static void run_one(const CoreShape *shape, Case *c, Constraint *constraint) {
    CoreRig rig;
    rig_init(&rig, shape);
    c->request.constraint = constraint;
    rig_submit(&rig, c);
    rig_run(&rig);
    rig_destroy(&rig);
    check_tokens(c);
}

static void test_ends(void **state) {
    (void)state;
    Case c;
    bool freed;
    kit_fill(&c, 5, 30, 1);
    run_one(&SHAPE, &c, rule_new(12, -1, -1, &freed));
    assert_true(freed);
    assert_int_equal(c.n_got, 12);
    assert_int_equal(c.end.reason, FINISH_STOP);
    kit_fill(&c, 5, 30, 1);
    run_one(&SHAPE, &c, rule_new(-1, 7, -1, &freed));
    assert_int_equal(c.n_got, 7);
    assert_int_equal(c.end.reason, FINISH_NO_TOKEN);
    kit_fill(&c, 5, 30, 1);
    run_one(&SHAPE, &c, rule_new(-1, -1, -1, &freed));
    assert_int_equal(c.n_got, 30);
    assert_int_equal(c.end.reason, FINISH_LENGTH);
    kit_fill(&c, 5, 30, 1);
    run_one(&SHAPE, &c, rule_new(30, -1, -1, &freed));
    assert_int_equal(c.n_got, 30);
    assert_int_equal(c.end.reason, FINISH_STOP);
}

static void test_biases_cannot_break_it(void **state) {
    (void)state;
    enum { N = N_KNOWN };
    static LogitBias bans[N + 1];
    for (int32_t t = 0; t < N; t++) bans[t] = (LogitBias){t, -100};
    bans[N] = (LogitBias){VOCAB - 1, 100};
    Case c;
    bool freed;
    kit_fill(&c, 5, 30, 1);
    c.request.sampling.logit_bias = bans;
    c.request.sampling.n_logit_bias = N + 1;
    run_one(&SHAPE, &c, rule_new(20, -1, -1, &freed));
    assert_int_equal(c.n_got, 20);
}

static void make(Case *c, Rng *rng, int i, int32_t guess, bool *freed) {
    kit_random(c, rng, VOCAB, 40, 40);
    if (i % 3 == 0) c->prompt[0] |= 1; // stammers, so that guesses come true
    c->request.constraint = i % 4 == 3 ? NULL : rule_new(5 + i, i % 5 == 0 ? 9 : -1, guess, freed);
    if (c->request.constraint) ((Rule *)c->request.constraint)->pieces = i % 3 * 9;
}

// Beside others, with guesses of either kind, preempted: the same as alone without guesses.
static void test_same_beside_others(void **state) {
    (void)state;
    static Case alone[N_CASES], crowd[N_CASES];
    bool freed[N_CASES], all_freed[N_CASES];
    CoreShape plain = SHAPE;
    plain.config.spec_rows = 0;
    plain.n_blocks = 200;
    uint64_t seed = kit_seed("constraints", 11);
    for (int32_t guess = -1; guess < 3; guess++) {
        Rng one = {seed}, other = {seed};
        CoreRig rig;
        rig_init(&rig, &SHAPE);
        for (int i = 0; i < N_CASES; i++) {
            make(&alone[i], &one, i, -1, &freed[i]);
            make(&crowd[i], &other, i, guess, &all_freed[i]);
            Constraint *c = alone[i].request.constraint;
            if (c) run_one(&plain, &alone[i], c);
            rig_submit(&rig, &crowd[i]);
        }
        rig_run(&rig);
        rig_destroy(&rig);
        for (int i = 0; i < N_CASES; i++) {
            if (!alone[i].request.constraint) continue;
            assert_true(freed[i] && all_freed[i]);
            assert_int_equal(crowd[i].end.reason, alone[i].end.reason);
            assert_int_equal(crowd[i].n_got, alone[i].n_got);
            assert_memory_equal(crowd[i].got, alone[i].got, (size_t)alone[i].n_got * sizeof alone[i].got[0]);
        }
    }
}

static void test_right_guesses_save_steps(void **state) {
    (void)state;
    CoreRig rig;
    Case c;
    bool freed;
    kit_fill(&c, 5, 30, 2);
    for (int32_t i = 0; i < 5; i++) c.prompt[i] = 0; // (0 + 0) % 5 == n % 3 only every third time
    c.request.constraint = rule_new(30, -1, 5, &freed);
    rig_init(&rig, &SHAPE);
    rig_submit(&rig, &c);
    int steps = 0;
    while (rig.n_live > 0 && rig_step(&rig)) steps++;
    check_tokens(&c);
    assert_int_equal(c.n_got, 30);
    assert_int_equal(steps, 1 + 29 - c.end.n_accepted); // one for the prompt and the first token
    assert_true(c.end.n_drafted > 0);
    rig_destroy(&rig);
}

// A mask that takes thousands of pieces holds up its own sequence only, and a step does a few of them.
static void test_slow_masks_hold_nobody_up(void **state) {
    (void)state;
    CoreRig rig;
    Case slow, quick;
    bool freed, quick_freed;
    kit_fill(&slow, 20, 3, 1);
    kit_fill(&quick, 5, 30, 2);
    slow.request.constraint = rule_new(3, -1, -1, &freed);
    quick.request.constraint = rule_new(30, -1, -1, &quick_freed);
    Rule *rule = (Rule *)slow.request.constraint;
    rule->pieces = 5000;
    rig_init(&rig, &SHAPE);
    rig_submit(&rig, &slow);
    rig_submit(&rig, &quick);
    int64_t before = 0;
    for (int i = 0; i < 40 && rig_seq(&rig, &quick); i++, before = rule->n_worked) {
        assert_true(rig_step(&rig));
        assert_in_range(rule->n_worked - before, 1, 16);
    }
    assert_int_equal(quick.n_got, 30);
    assert_int_equal(slow.n_got, 0);
    rig_run(&rig); // alone, step by step without rows
    assert_int_equal(slow.n_got, 3);
    check_tokens(&slow);
    check_tokens(&quick);
    rig_destroy(&rig);
}

static void test_no_allocation(void **state) {
    (void)state;
    if (!alloc_hook_works()) skip();
    CoreRig rig;
    Case c;
    bool freed;
    kit_fill(&c, 5, 30, 2);
    c.request.constraint = rule_new(20, -1, 1, &freed);
    rig_init(&rig, &SHAPE);
    rig_submit(&rig, &c);
    uint64_t before = alloc_hook_count();
    while (rig.n_ended == 0) assert_true(engine_core_step(rig.core));
    assert_int_equal(alloc_hook_count(), before);
    assert_false(freed);
    rig_bury(&rig);
    assert_true(freed);
    rig_destroy(&rig);
}

SUITE(engine_constraint, cmocka_unit_test(test_ends), cmocka_unit_test(test_biases_cannot_break_it),
      cmocka_unit_test(test_same_beside_others), cmocka_unit_test(test_right_guesses_save_steps),
      cmocka_unit_test(test_slow_masks_hold_nobody_up), cmocka_unit_test(test_no_allocation))
