// The prefix cache: the same tokens from fewer rows.
#include "core_rig.h"
#include "harness.h"

#include <string.h>

enum { VOCAB = 40 };

static const CoreShape CACHING = {
    .config = {.max_running = 4,
               .max_queue = 64,
               .row_budget = 64,
               .prefill_chunk = 32,
               .prefix_cache = true,
               .prefix_blocks = 64},
    .n_vocab = VOCAB,
    .n_blocks = 64,
    .max_context = 512,
};

static const EngineStats *stats_of(CoreRig *rig) {
    return engine_core_stats(rig->core);
}

static void run_one(CoreRig *rig, Case *c) {
    rig_submit(rig, c);
    rig_run(rig);
    kit_verify(c, VOCAB);
}

static void test_the_second_time_one_block_is_computed(void **state) {
    (void)state;
    for (int32_t n = 1; n < 70; n++) {
        CoreRig rig;
        Case first, second;
        rig_init(&rig, &CACHING);
        kit_fill(&first, n, 1, 7);
        kit_fill(&second, n, 1, 7);
        run_one(&rig, &first);
        run_one(&rig, &second);
        int32_t found = (n - 1) / KV_BLOCK_TOKENS * KV_BLOCK_TOKENS; // one row at least gives the logits
        assert_int_equal(first.end.n_cached, 0);
        assert_int_equal(second.end.n_cached, found);
        assert_int_equal(stats_of(&rig)->step_rows.sum, 2 * n - found);
        assert_int_equal(stats_of(&rig)->prefix_hit_tokens, found);
        assert_int_equal(stats_of(&rig)->prefix_query_tokens, 2 * n);
        rig_destroy(&rig);
    }
}

static void test_off_means_off(void **state) {
    (void)state;
    CoreShape shape = CACHING;
    shape.config.prefix_cache = false;
    CoreRig rig;
    Case c[2];
    rig_init(&rig, &shape);
    for (int i = 0; i < 2; i++) {
        kit_fill(&c[i], 50, 3, 7);
        run_one(&rig, &c[i]);
    }
    assert_int_equal(stats_of(&rig)->step_rows.sum, 2 * 52);
    assert_int_equal(stats_of(&rig)->prefix_query_tokens + stats_of(&rig)->prefix_hit_tokens, 0);
    rig_destroy(&rig);
}

static void test_the_next_turn_finds_prompt_and_answer(void **state) {
    (void)state;
    CoreRig rig;
    Case first, second;
    rig_init(&rig, &CACHING);
    kit_fill(&first, 40, 30, 1);
    run_one(&rig, &first);
    kit_fill(&second, 90, 5, 2);
    memcpy(second.prompt, first.prompt, 40 * sizeof first.prompt[0]);
    memcpy(second.prompt + 40, first.got, 30 * sizeof first.got[0]);
    run_one(&rig, &second);
    assert_int_equal(second.end.n_cached, 64); // 69 of the 70 tokens were computed
    rig_destroy(&rig);
}

static void test_a_salt_keeps_apart(void **state) {
    (void)state;
    static const char *const SALTS[] = {"", "a", "b", "a", ""};
    static const int32_t CACHED[] = {0, 0, 0, 32, 32};
    CoreRig rig;
    Case c[5];
    rig_init(&rig, &CACHING);
    for (int i = 0; i < 5; i++) {
        kit_fill(&c[i], 40, 3, 1);
        c[i].request.cache_salt = str_from(SALTS[i]);
        run_one(&rig, &c[i]);
        assert_int_equal(c[i].end.n_cached, CACHED[i]);
    }
    rig_destroy(&rig);
}

// Together they compute what they have in common once, and hold it once.
static void test_arriving_together(void **state) {
    (void)state;
    CoreRig rig;
    Case c[4];
    rig_init(&rig, &CACHING);
    for (int i = 0; i < 4; i++) {
        kit_fill(&c[i], 200, 20, 1);
        for (int32_t k = 170; k < 200; k++) c[i].prompt[k] = i; // 160 in common, in whole blocks
        rig_submit(&rig, &c[i]);
    }
    for (int i = 0; i < 9; i++) rig_step(&rig);
    assert_int_equal(stats_of(&rig)->prefix_hit_tokens, 3 * 160);
    assert_true(stats_of(&rig)->blocks_used <= 10 + 4 * 4);
    rig_run(&rig);
    for (int i = 0; i < 4; i++) kit_verify(&c[i], VOCAB);
    assert_int_equal(stats_of(&rig)->step_rows.sum, 160 + 4 * (40 + 19));
    rig_destroy(&rig);
}

// One that waits for blocks goes on by itself when nobody computes them any more.
static void test_who_computes_for_others_leaves(void **state) {
    (void)state;
    CoreRig rig;
    Case a, b;
    rig_init(&rig, &CACHING);
    kit_fill(&a, 200, 5, 1);
    kit_fill(&b, 200, 5, 1);
    rig_submit(&rig, &a);
    rig_submit(&rig, &b);
    for (int i = 0; i < 3; i++) rig_step(&rig);
    assert_int_equal(rig_seq(&rig, &b)->computed, 64);
    rig_cancel(&rig, &a);
    rig_run(&rig);
    kit_verify(&b, VOCAB);
    assert_int_equal(b.end.n_cached, 96);
    rig_destroy(&rig);
}

static void test_a_running_one_is_shared(void **state) {
    (void)state;
    CoreRig rig;
    Case a, b;
    rig_init(&rig, &CACHING);
    kit_fill(&a, 40, 200, 1);
    kit_fill(&b, 40, 5, 1);
    rig_submit(&rig, &a);
    for (int i = 0; i < 5; i++) rig_step(&rig);
    rig_submit(&rig, &b);
    rig_step(&rig);
    assert_int_equal(rig_seq(&rig, &b)->blocks[1], rig_seq(&rig, &a)->blocks[1]);
    rig_cancel(&rig, &a);
    rig_run(&rig);
    kit_verify(&b, VOCAB);
    assert_int_equal(b.end.n_cached, 32);
    rig_destroy(&rig);
}

// The one that lost its blocks finds what nobody took; it does not count as found in the cache.
static void test_resumption(void **state) {
    (void)state;
    CoreShape shape = CACHING;
    shape.n_blocks = 14;
    CoreRig rig;
    Case a, b;
    rig_init(&rig, &shape);
    kit_fill(&a, 60, 60, 1);
    kit_fill(&b, 60, 60, 2);
    rig_submit(&rig, &a);
    rig_submit(&rig, &b);
    rig_run(&rig);
    kit_verify(&a, VOCAB);
    kit_verify(&b, VOCAB);
    assert_int_equal(stats_of(&rig)->preemptions, 1);
    assert_int_equal(stats_of(&rig)->prefix_hit_tokens, 0);
    assert_true(stats_of(&rig)->step_rows.sum < 2 * (60 + 59) + 60);
    rig_destroy(&rig);
}

// A long answer to one prompt pushes out what was used least recently, its end before its beginning.
static void test_eviction(void **state) {
    (void)state;
    CoreShape shape = CACHING;
    shape.n_blocks = 16;
    CoreRig rig;
    Case old, young, other, again;
    rig_init(&rig, &shape);
    kit_fill(&old, 97, 1, 1);
    kit_fill(&young, 97, 1, 2);
    kit_fill(&other, 50, 78, 3);
    run_one(&rig, &old);
    run_one(&rig, &young);
    assert_int_equal(stats_of(&rig)->prefix_evictions, 0);
    run_one(&rig, &other); // 8 blocks; 4 are plain
    assert_int_equal(stats_of(&rig)->prefix_evictions, 4);
    kit_fill(&again, 97, 1, 2);
    run_one(&rig, &again);
    assert_int_equal(again.end.n_cached, 96);
    kit_fill(&again, 97, 1, 1);
    run_one(&rig, &again);
    assert_int_equal(again.end.n_cached, 32);
    rig_destroy(&rig);
}

// Prompts that have nothing in common use the memory of a few, not one after the other all of the pool.
static void test_the_cache_is_bounded(void **state) {
    (void)state;
    static const int32_t KEEP[] = {0, 10, 64};
    for (int k = 0; k < 3; k++) {
        CoreShape shape = CACHING;
        shape.config.prefix_blocks = KEEP[k];
        CoreRig rig;
        Case c;
        rig_init(&rig, &shape);
        for (int i = 0; i < 30; i++) {
            kit_fill(&c, 97, 20, (uint64_t)i); // 8 blocks
            run_one(&rig, &c);
            assert_true(stats_of(&rig)->blocks_cached <= KEEP[k] + 8);
        }
        assert_true(stats_of(&rig)->blocks_touched <= KEEP[k] + 8);
        assert_true(stats_of(&rig)->blocks_touched >= (KEEP[k] < 64 ? KEEP[k] : 64));
        rig_destroy(&rig);
    }
}

SUITE(engine_prefix, cmocka_unit_test(test_the_second_time_one_block_is_computed),
      cmocka_unit_test(test_off_means_off), cmocka_unit_test(test_the_next_turn_finds_prompt_and_answer),
      cmocka_unit_test(test_a_salt_keeps_apart), cmocka_unit_test(test_arriving_together),
      cmocka_unit_test(test_who_computes_for_others_leaves), cmocka_unit_test(test_a_running_one_is_shared),
      cmocka_unit_test(test_resumption), cmocka_unit_test(test_eviction),
      cmocka_unit_test(test_the_cache_is_bounded))
