// Log-probabilities: of a row against plain arithmetic, of requests against their prefixes' rows, whatever
// else is computed and found; and requests that generate nothing.
#include "core_rig.h"
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 40 };

static const CoreShape CACHING = {
    .config = {.max_running = 4,
               .max_queue = 64,
               .row_budget = 24,
               .prefill_chunk = 24,
               .spec_rows = 4,
               .prefix_cache = true,
               .prefix_blocks = 64},
    .n_vocab = VOCAB,
    .n_blocks = 64,
    .max_context = 512,
};

static double plain_logprob(const float *logits, int32_t n, int32_t token) {
    double sum = 0, max = -INFINITY;
    for (int32_t i = 0; i < n; i++) max = logits[i] > max ? logits[i] : max;
    for (int32_t i = 0; i < n; i++) sum += exp(logits[i] - max);
    return logits[token] - max - log(sum);
}

static void test_a_row(void **state) {
    (void)state;
    static const int32_t sizes[] = {1, 15, 16, 17, 300, 5003};
    float *logits = malloc(5003 * sizeof *logits);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        int32_t n = sizes[k];
        Rng r = {(uint64_t)n};
        TokenLogprob got[1 + LOGPROBS_MAX_TOP];
        LogprobScratch *s = logprob_scratch_new(n, NULL);
        assert_non_null(s);
        for (int32_t i = 0; i < n; i++) logits[i] = (float)kit_below(&r, 60) / 4 - 7; // many are equal
        logits[n / 2] = 20;
        if (n > 2) logits[1] = -INFINITY;
        logprobs_load(s, logits);
        logprobs_take(s, n - 1, LOGPROBS_MAX_TOP, got);
        assert_int_equal(got[0].token, n - 1);
        for (int32_t i = 0; i <= LOGPROBS_MAX_TOP && i <= n; i++) {
            if (got[i].token < 0) continue;
            assert_true(fabs(got[i].logprob - plain_logprob(logits, n, got[i].token)) < 2e-6);
            if (i < 2) continue;
            float before = logits[got[i - 1].token], own = logits[got[i].token];
            assert_true(before > own || (before == own && got[i - 1].token < got[i].token));
        }
        assert_int_equal(got[1].token, n / 2);
        if (n == 15) assert_int_equal(got[15].token, -1); // one is impossible
        logprob_scratch_free(s);
    }
    free(logits);
}

static void test_a_row_of_no_numbers(void **state) {
    (void)state;
    TokenLogprob got[3];
    float logits[20];
    for (int i = 0; i < 20; i++) logits[i] = i % 2 ? NAN : -INFINITY;
    LogprobScratch *s = logprob_scratch_new(20, NULL);
    logprobs_load(s, logits);
    logprobs_take(s, 3, 2, got);
    assert_true(got[0].token == 3 && got[0].logprob == -INFINITY && got[1].token == -1);
    logprob_scratch_free(s);
}

static void verify_logprob(const int32_t *tokens, int32_t position, TokenLogprob got) {
    float logits[VOCAB];
    fake_logits(tokens, position, VOCAB, logits);
    assert_int_equal(got.token, tokens[position]);
    assert_true(fabs(got.logprob - plain_logprob(logits, VOCAB, tokens[position])) < 2e-6);
}

static void verify(const Case *c) {
    int32_t tokens[2 * KIT_MAX_TOKENS], n = c->request.n_prompt;
    kit_verify(c, VOCAB);
    memcpy(tokens, c->prompt, (size_t)n * sizeof tokens[0]);
    memcpy(tokens + n, c->got, (size_t)c->n_got * sizeof tokens[0]);
    if (c->request.prompt_logprobs) assert_int_equal(c->n_scored, n);
    for (int32_t i = 1; i < c->n_scored; i++) verify_logprob(tokens, i, c->prompt_logprobs[i]);
    for (int32_t i = 0; c->request.logprobs && i < c->n_got; i++)
        verify_logprob(tokens, n + i, c->got_logprobs[i]);
}

static void want(Case *c, bool prompt, int32_t n_top) {
    c->request.logprobs = true;
    c->request.prompt_logprobs = prompt;
    c->request.n_top = n_top;
}

// The cache may hold the whole prompt: a request for its log-probabilities computes it all the same.
static void test_prompts_of_all_lengths(void **state) {
    (void)state;
    for (int32_t n = 1; n < 70; n += n < 40 ? 1 : 7) {
        CoreRig rig;
        Case plain, scored, after;
        rig_init(&rig, &CACHING);
        kit_fill(&plain, n, 2, 7);
        kit_fill(&scored, n, 2, 7);
        kit_fill(&after, n, 2, 7);
        want(&scored, true, n % 5);
        rig_submit(&rig, &plain);
        rig_run(&rig);
        rig_submit(&rig, &scored);
        rig_run(&rig);
        rig_submit(&rig, &after);
        rig_run(&rig);
        verify(&scored);
        assert_int_equal(scored.end.n_cached, 0);
        assert_int_equal(after.end.n_cached, (n - 1) / KV_BLOCK_TOKENS * KV_BLOCK_TOKENS);
        rig_destroy(&rig);
    }
}

// Few rows of logits, a pool that runs dry, guesses, neighbours with the same beginning.
static void test_in_a_crowd(void **state) {
    (void)state;
    CoreShape shape = CACHING;
    shape.n_blocks = 10;
    Case *cases = calloc(24, sizeof *cases);
    Rng r = {kit_seed("logprobs_in_a_crowd", 5)};
    CoreRig rig;
    rig_init(&rig, &shape);
    for (int i = 0; i < 24; i++) {
        kit_random(&cases[i], &r, VOCAB, 40, 100);
        if (i % 3) memcpy(cases[i].prompt, cases[i - 1].prompt, sizeof cases[i].prompt);
        if (i % 4) want(&cases[i], i % 4 > 1, kit_below(&r, 4));
        rig_submit(&rig, &cases[i]);
        for (int k = kit_below(&r, 6); k > 0; k--) rig_step(&rig);
    }
    rig_run(&rig);
    assert_true(engine_core_stats(rig.core)->preemptions > 0);
    for (int i = 0; i < 24; i++) verify(&cases[i]);
    rig_destroy(&rig);
    free(cases);
}

// A step never has more rows of logits than the model gives; the fake one checks it.
static void test_few_rows_of_logits(void **state) {
    (void)state;
    CoreShape shape = CACHING;
    shape.config.max_running = 3;
    shape.max_logits = 4;
    CoreRig rig;
    Case cases[3];
    rig_init(&rig, &shape);
    for (int i = 0; i < 3; i++) {
        kit_fill(&cases[i], 20 + 9 * i, 5, (uint64_t)i);
        want(&cases[i], i != 1, 2);
        rig_submit(&rig, &cases[i]);
    }
    rig_run(&rig);
    for (int i = 0; i < 3; i++) verify(&cases[i]);
    rig_destroy(&rig);
}

static void test_nothing_to_generate(void **state) {
    (void)state;
    for (int32_t n = 1; n < 40; n += 3) {
        CoreRig rig;
        Case plain, scored;
        rig_init(&rig, &CACHING);
        kit_fill(&plain, n, 0, 3);
        kit_fill(&scored, n, 0, 3);
        want(&scored, true, 1);
        rig_submit(&rig, &plain);
        rig_submit(&rig, &scored);
        rig_run(&rig);
        assert_true(plain.n_got == 0 && plain.end.reason == FINISH_LENGTH && scored.n_got == 0);
        verify(&scored);
        assert_int_equal(engine_core_stats(rig.core)->generated_tokens, 0);
        rig_destroy(&rig);
    }
}

static void test_end_tokens_come_late(void **state) {
    (void)state;
    Rng r = {kit_seed("end_tokens_come_late", 9)};
    for (int i = 0; i < 60; i++) {
        CoreRig rig;
        Case c;
        rig_init(&rig, &CACHING);
        kit_random(&c, &r, VOCAB, 10, 40);
        c.request.n_end_tokens = KIT_END_TOKENS;
        c.request.sampling.min_tokens = kit_below(&r, 30);
        c.request.sampling.late_tokens = c.end_tokens;
        c.request.sampling.n_late_tokens = KIT_END_TOKENS;
        rig_submit(&rig, &c);
        rig_run(&rig);
        kit_verify(&c, VOCAB);
        assert_true(c.n_got >= c.request.sampling.min_tokens || c.end.reason == FINISH_LENGTH);
        rig_destroy(&rig);
    }
}

SUITE(engine_logprobs, cmocka_unit_test(test_a_row), cmocka_unit_test(test_a_row_of_no_numbers),
      cmocka_unit_test(test_prompts_of_all_lengths), cmocka_unit_test(test_in_a_crowd),
      cmocka_unit_test(test_few_rows_of_logits), cmocka_unit_test(test_nothing_to_generate),
      cmocka_unit_test(test_end_tokens_come_late))
