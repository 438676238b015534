// Embeddings: prompts of which nothing is generated, whose hidden states are pooled.
#include "core_rig.h"
#include "harness.h"

enum { VOCAB = 40 };

static const CoreShape SHAPE = {
    .config =
        {.max_running = 4, .max_queue = 64, .row_budget = 24, .prefill_chunk = 16, .prefix_cache = true},
    .n_vocab = VOCAB,
    .n_blocks = 12,
    .max_context = 192,
};

static void pooling(Case *c, double *pooled, int32_t n_prompt, uint64_t seed) {
    kit_fill(c, n_prompt, 0, seed);
    c->request.pooling = POOLING_MEAN;
    c->request.pooled = pooled;
}

static void assert_pooled(const Case *c) {
    double tokens = 0, positions = 0;
    for (int32_t i = 0; i < c->request.n_prompt; i++) {
        tokens += c->prompt[i];
        positions += i;
    }
    assert_int_equal(c->n_ends, 1);
    assert_int_equal(c->n_got, 0);
    assert_int_equal(c->end.reason, FINISH_LENGTH);
    assert_int_equal(c->end.n_cached, 0);
    assert_float_equal(c->request.pooled[0], tokens, 0);
    assert_float_equal(c->request.pooled[1], positions, 0);
}

static void test_every_length(void **state) {
    (void)state;
    CoreRig rig;
    rig_init(&rig, &SHAPE);
    for (int32_t n = 1; n <= 192; n++) {
        Case c;
        double pooled[FAKE_EMBD] = {-1, -1};
        pooling(&c, pooled, n, (uint64_t)n);
        rig_submit(&rig, &c);
        rig_run(&rig);
        assert_pooled(&c);
    }
    rig_destroy(&rig);
}

static void test_the_prefix_cache_hides_no_row(void **state) {
    (void)state;
    CoreRig rig;
    Case before, c, after;
    double pooled[FAKE_EMBD];
    rig_init(&rig, &SHAPE);
    kit_fill(&before, 60, 2, 7);
    rig_submit(&rig, &before);
    rig_run(&rig);
    pooling(&c, pooled, 60, 7);
    rig_submit(&rig, &c);
    rig_run(&rig);
    assert_pooled(&c);
    kit_fill(&after, 60, 2, 7); // what it has computed others may use
    rig_submit(&rig, &after);
    rig_run(&rig);
    assert_int_equal(after.end.n_cached, 48);
    kit_verify(&after, VOCAB);
    rig_destroy(&rig);
}

// Decoding sequences and embeddings compete for the pool: whoever loses blocks begins anew.
static void test_preempted(void **state) {
    (void)state;
    CoreRig rig;
    Case c[8];
    double pooled[8][FAKE_EMBD];
    rig_init(&rig, &SHAPE);
    for (int i = 0; i < 8; i++) {
        if (i % 2)
            pooling(&c[i], pooled[i], 90 + i, (uint64_t)i);
        else
            kit_fill(&c[i], 20, 60, (uint64_t)i);
        rig_submit(&rig, &c[i]);
    }
    rig_run(&rig);
    assert_true(engine_core_stats(rig.core)->preemptions > 0);
    for (int i = 0; i < 8; i++) {
        if (i % 2)
            assert_pooled(&c[i]);
        else
            kit_verify(&c[i], VOCAB);
    }
    rig_destroy(&rig);
}

SUITE(engine_pooling, cmocka_unit_test(test_every_length),
      cmocka_unit_test(test_the_prefix_cache_hides_no_row), cmocka_unit_test(test_preempted))
