// Guessing ahead: the same tokens in fewer steps, whatever ends or hinders it.
#include "core_rig.h"
#include "harness.h"

enum { VOCAB = 40 };

static const CoreShape GUESSING = {
    .config = {.max_running = 4, .max_queue = 64, .row_budget = 16, .prefill_chunk = 8, .spec_rows = 4},
    .n_vocab = VOCAB,
    .n_blocks = 64,
    .max_context = 512,
};

// A request whose text goes in circles; see fake_model.h.
static void fill_stammering(Case *c, int32_t n_prompt, int32_t max_tokens, uint64_t seed) {
    kit_fill(c, n_prompt, max_tokens, seed);
    c->prompt[0] = 1;
    for (int32_t i = 1; i < n_prompt - 1; i++) c->prompt[i] = (1 + i) % 7;
}

static void test_a_repetitive_text_takes_fewer_steps(void **state) {
    (void)state;
    CoreRig rig;
    Case c;
    rig_init(&rig, &GUESSING);
    fill_stammering(&c, 5, 200, 1);
    rig_submit(&rig, &c);
    rig_run(&rig);
    kit_verify(&c, VOCAB);
    assert_int_equal(c.n_got, 200);
    const EngineStats *s = engine_core_stats(rig.core);
    assert_true(s->steps < 130 && rig.model->most_rows <= 5); // the prompt has five rows
    assert_true(s->accepted_tokens > 70 && s->accepted_tokens < s->drafted_tokens);
    assert_int_equal(s->steps + s->accepted_tokens, 200);
    assert_int_equal(s->step_rows.sum, 5 + 199 + s->drafted_tokens - s->accepted_tokens);
    assert_int_equal(s->generated_tokens, 200);
    assert_int_equal(c.end.n_drafted, s->drafted_tokens);
    assert_int_equal(c.end.n_accepted, s->accepted_tokens);
    rig_destroy(&rig);
}

static void test_off_means_off(void **state) {
    (void)state;
    for (int32_t rows = 0; rows < 2; rows++) {
        CoreShape shape = GUESSING;
        shape.config.spec_rows = rows;
        CoreRig rig;
        Case c;
        rig_init(&rig, &shape);
        fill_stammering(&c, 5, 200, 1);
        rig_submit(&rig, &c);
        rig_run(&rig);
        kit_verify(&c, VOCAB);
        assert_int_equal(engine_core_stats(rig.core)->steps, 200);
        assert_int_equal(engine_core_stats(rig.core)->drafted_tokens, 0);
        rig_destroy(&rig);
    }
}

// Where each row takes its time, a guess saves nothing, and hardly any are made.
static void test_rows_that_cost_as_much_as_steps(void **state) {
    (void)state;
    uint64_t drafted[2];
    for (int dear = 0; dear < 2; dear++) {
        CoreRig rig;
        Case cases[4];
        rig_init(&rig, &GUESSING);
        rig.step_ns = dear ? 0 : 1000;
        rig.row_ns = dear ? 1000 : 10;
        for (int i = 0; i < 4; i++) {
            fill_stammering(&cases[i], 5, 200, (uint64_t)i);
            rig_submit(&rig, &cases[i]);
            rig_run(&rig);
            kit_verify(&cases[i], VOCAB);
        }
        drafted[dear] = engine_core_stats(rig.core)->drafted_tokens;
        rig_destroy(&rig);
    }
    assert_true(drafted[1] > 0 && drafted[1] * 5 < drafted[0]);
}

// The row budget and the model's rows of logits bound a step, whatever spec_rows says.
static void test_limits_of_a_step_are_kept(void **state) {
    (void)state;
    for (int32_t budget = 1; budget < 7; budget++) {
        CoreShape shape = GUESSING;
        shape.config.max_running = 1;
        shape.config.row_budget = budget; // the fake model's limits, too
        shape.config.spec_rows = 64;
        CoreRig rig;
        Case c;
        rig_init(&rig, &shape);
        fill_stammering(&c, 5, 200, 1);
        rig_submit(&rig, &c);
        rig_run(&rig);
        kit_verify(&c, VOCAB);
        assert_int_equal(rig.model->most_rows, budget);
        assert_int_equal(engine_core_stats(rig.core)->accepted_tokens > 0, budget > 1);
        rig_destroy(&rig);
    }
}

static void test_max_tokens_ends_within_a_true_run(void **state) {
    (void)state;
    uint64_t accepted = 0;
    for (int32_t n = 1; n < 60; n++) {
        CoreRig rig;
        Case c;
        rig_init(&rig, &GUESSING);
        fill_stammering(&c, 9, n, 3);
        rig_submit(&rig, &c);
        rig_run(&rig);
        kit_verify(&c, VOCAB);
        assert_int_equal(c.end.reason, FINISH_LENGTH);
        assert_int_equal(c.n_got, n);
        accepted += engine_core_stats(rig.core)->accepted_tokens;
        rig_destroy(&rig);
    }
    assert_true(accepted > 500);
}

// Each token that the text ever has, as the end token: also one in the middle of a true run.
static void test_an_end_token_within_a_true_run(void **state) {
    (void)state;
    int within = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        for (int32_t stop = 0; stop < VOCAB; stop++) {
            CoreRig rig;
            Case c;
            rig_init(&rig, &GUESSING);
            fill_stammering(&c, 40, 60, seed);
            c.end_tokens[0] = stop;
            c.request.n_end_tokens = 1;
            rig_submit(&rig, &c);
            while (rig.n_live > 0) {
                int32_t before = c.n_got;
                rig_step(&rig);
                within += c.n_ends && c.end.reason == FINISH_STOP && c.n_got > before;
            }
            kit_verify(&c, VOCAB);
            // Four steps of prompt; each other token, an end token too, had a step or was guessed.
            const EngineStats *s = engine_core_stats(rig.core);
            int32_t n_chosen = c.n_got + (c.end.reason == FINISH_STOP);
            assert_int_equal(s->steps + s->accepted_tokens, 4 + n_chosen);
            rig_destroy(&rig);
        }
    }
    assert_true(within > 5);
}

static void test_nobody_guesses_while_a_prompt_is_computed(void **state) {
    (void)state;
    CoreRig rig;
    Case a, b;
    rig_init(&rig, &GUESSING);
    fill_stammering(&a, 4, 100, 1);
    kit_fill(&b, 100, 5, 2);
    rig_submit(&rig, &a);
    for (int i = 0; i < 30; i++) rig_step(&rig);
    uint64_t drafted = engine_core_stats(rig.core)->drafted_tokens;
    int32_t got = a.n_got;
    assert_true(drafted > 0);
    rig_submit(&rig, &b);
    for (int i = 0; i < 12; i++) rig_step(&rig);
    assert_int_equal(engine_core_stats(rig.core)->drafted_tokens, drafted);
    assert_int_equal(a.n_got, got + 12);
    rig_run(&rig);
    kit_verify(&a, VOCAB);
    kit_verify(&b, VOCAB);
    rig_destroy(&rig);
}

// Two share the rows, four leave none.
static void test_guesses_are_shared(void **state) {
    (void)state;
    for (int n = 1; n <= 4; n++) {
        CoreRig rig;
        Case cases[4];
        rig_init(&rig, &GUESSING);
        for (int i = 0; i < n; i++) {
            fill_stammering(&cases[i], 2, 120, (uint64_t)i);
            rig_submit(&rig, &cases[i]);
        }
        for (int i = 0; i < 50; i++) rig_step(&rig);
        for (int i = 0; i < n; i++) assert_int_equal(rig_seq(&rig, &cases[i])->n_drafted > 0, n < 4);
        assert_int_equal(rig.model->most_rows, n < 3 ? 4 : 2 * n); // the prompts, of two tokens each
        rig_run(&rig);
        for (int i = 0; i < n; i++) kit_verify(&cases[i], VOCAB);
        rig_destroy(&rig);
    }
}

// From a pool that holds one of them to one that holds all: guesses stand wherever they can.
static void test_an_exhausted_pool(void **state) {
    (void)state;
    for (int32_t n_blocks = 2; n_blocks < 14; n_blocks++) {
        CoreShape shape = GUESSING;
        shape.n_blocks = n_blocks;
        CoreRig rig;
        Case cases[3];
        rig_init(&rig, &shape);
        for (int i = 0; i < 3; i++) {
            int32_t n = n_blocks * KV_BLOCK_TOKENS < 100 ? n_blocks * KV_BLOCK_TOKENS : 100;
            fill_stammering(&cases[i], 9, n - 9, (uint64_t)i);
            rig_submit(&rig, &cases[i]);
        }
        rig_run(&rig);
        for (int i = 0; i < 3; i++) kit_verify(&cases[i], VOCAB);
        rig_destroy(&rig);
    }
}

static void test_cancel_and_deadline_between_guesses(void **state) {
    (void)state;
    CoreRig rig;
    Case cancelled, late;
    rig_init(&rig, &GUESSING);
    fill_stammering(&cancelled, 4, 200, 1);
    fill_stammering(&late, 4, 200, 2);
    late.request.deadline_ns = rig.clock + 305;
    rig_submit(&rig, &cancelled);
    rig_submit(&rig, &late);
    for (int i = 0; i < 25; i++) rig_step(&rig);
    assert_true(rig_seq(&rig, &cancelled)->n_accepted > 0 && rig_seq(&rig, &late)->n_accepted > 0);
    rig_cancel(&rig, &cancelled);
    while (rig.n_live > 0) rig_step(&rig);
    assert_int_equal(late.end.reason, FINISH_TIMEOUT);
    kit_verify(&cancelled, VOCAB);
    kit_verify(&late, VOCAB);
    rig_destroy(&rig);
}

// A block taken for guesses comes back plain and is taken next, by whoever needs one.
static void test_guesses_evict_nothing_that_would_have_stayed(void **state) {
    (void)state;
    uint64_t evicted[2], drafted = 0;
    for (int guesses = 0; guesses < 2; guesses++) {
        CoreShape shape = GUESSING;
        shape.config.prefix_cache = true;
        shape.config.spec_rows = guesses ? 12 : 0;
        shape.n_blocks = 20;
        CoreRig rig;
        Case c;
        rig_init(&rig, &shape);
        for (int i = 0; i < 30; i++) {
            fill_stammering(&c, 30 + i, 150, (uint64_t)i);
            rig_submit(&rig, &c);
            rig_run(&rig);
            kit_verify(&c, VOCAB);
        }
        evicted[guesses] = engine_core_stats(rig.core)->prefix_evictions;
        drafted = engine_core_stats(rig.core)->drafted_tokens;
        rig_destroy(&rig);
    }
    assert_true(drafted > 1000 && evicted[0] > 200);
    assert_true(evicted[1] <= evicted[0] + 1);
}

SUITE(engine_draft, cmocka_unit_test(test_a_repetitive_text_takes_fewer_steps),
      cmocka_unit_test(test_off_means_off), cmocka_unit_test(test_rows_that_cost_as_much_as_steps),
      cmocka_unit_test(test_limits_of_a_step_are_kept),
      cmocka_unit_test(test_max_tokens_ends_within_a_true_run),
      cmocka_unit_test(test_an_end_token_within_a_true_run),
      cmocka_unit_test(test_nobody_guesses_while_a_prompt_is_computed),
      cmocka_unit_test(test_guesses_are_shared), cmocka_unit_test(test_an_exhausted_pool),
      cmocka_unit_test(test_cancel_and_deadline_between_guesses),
      cmocka_unit_test(test_guesses_evict_nothing_that_would_have_stayed))
