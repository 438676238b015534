// The pace of those that decode, kept while prompts are computed beside them.
#include "core_rig.h"
#include "engine/pace.h"
#include "harness.h"

enum { VOCAB = 40, SHARE = 25 };

static void learn(Pace *p, int32_t n_decoding, int32_t prompt_rows, int64_t ns) {
    BatchSeq seqs[40];
    Batch b = {.seqs = seqs, .n_seqs = n_decoding, .n_rows = n_decoding + prompt_rows};
    for (int32_t i = 0; i < n_decoding; i++) seqs[i] = (BatchSeq){.n_rows = 1, .n_logits = 1};
    if (prompt_rows) seqs[b.n_seqs++] = (BatchSeq){.n_rows = prompt_rows};
    pace_learn(p, &b, ns);
}

static void test_it_is_learnt(void **state) {
    (void)state;
    Pace p = {0};
    assert_int_equal(pace_prompt_rows(&p, 8, SHARE), INT32_MAX);
    learn(&p, 0, 100, 10000);
    assert_int_equal(pace_prompt_rows(&p, 8, SHARE), INT32_MAX);
    learn(&p, 8, 0, 2000);
    assert_int_equal(pace_prompt_rows(&p, 8, SHARE), 60); // 3 * 2000 ns at 100 ns each
    assert_int_equal(pace_prompt_rows(&p, 16, SHARE), 120);
    assert_int_equal(pace_prompt_rows(&p, 1, SHARE), PACE_LEAST_ROWS);
    assert_int_equal(pace_prompt_rows(&p, 8, 100), PACE_LEAST_ROWS);
    for (int i = 0; i < 50; i++) learn(&p, 8, 60, 2000 + 60 * 50); // rows have become cheaper
    int32_t rows = pace_prompt_rows(&p, 8, SHARE);
    assert_in_range(rows, 119, 121);
    learn(&p, 8, 2, 1000000); // too few to tell
    assert_int_equal(pace_prompt_rows(&p, 8, SHARE), rows);
    learn(&p, 4, 0, 1600);
    assert_int_equal(pace_prompt_rows(&p, 4, SHARE), rows * 4 / 5);
}

static void test_rows_that_cost_nothing(void **state) {
    (void)state;
    Pace p = {0};
    learn(&p, 2, 0, 1000);
    for (int i = 0; i < 10; i++) learn(&p, 2, 100, 900);
    assert_int_equal(pace_prompt_rows(&p, 2, SHARE), INT32_MAX);
}

static const CoreShape LARGE = {
    .config =
        {.max_running = 8, .max_queue = 64, .row_budget = 256, .prefill_chunk = 128, .decode_share = SHARE},
    .n_vocab = VOCAB,
    .n_blocks = 128,
    .max_context = 512,
};

// Four that decode, then two prompts: the longest step, in steps that only decode.
static double longest_step(CoreShape shape, int64_t row_ns) {
    CoreRig rig;
    Case decoding[4], prompts[2];
    rig_init(&rig, &shape);
    rig.step_ns = 1000;
    rig.row_ns = row_ns;
    for (int i = 0; i < 4; i++) {
        kit_fill(&decoding[i], 20, 60, (uint64_t)i);
        rig_submit(&rig, &decoding[i]);
    }
    for (int i = 0; i < 5; i++) rig_step(&rig);
    for (int i = 0; i < 2; i++) {
        kit_fill(&prompts[i], 250, 3, (uint64_t)i + 9);
        rig_submit(&rig, &prompts[i]);
    }
    double longest = 0, usual = (double)(rig.step_ns + 4 * row_ns);
    while (prompts[0].n_got + prompts[1].n_got == 0) {
        int64_t before = rig.clock;
        rig_step(&rig);
        if ((double)(rig.clock - before) > longest) longest = (double)(rig.clock - before);
    }
    rig_run(&rig);
    for (int i = 0; i < 4; i++) kit_verify(&decoding[i], VOCAB);
    for (int i = 0; i < 2; i++) kit_verify(&prompts[i], VOCAB);
    rig_destroy(&rig);
    return longest / usual;
}

static void test_prompts_leave_the_others_their_share(void **state) {
    (void)state;
    static const int64_t ROW_NS[] = {20, 50, 90};
    CoreShape free = LARGE;
    free.config.decode_share = 0;
    for (int i = 0; i < 3; i++) {
        assert_true(longest_step(LARGE, ROW_NS[i]) <= 1.01 * 100.0 / SHARE);
        assert_true(longest_step(free, ROW_NS[i]) > 100.0 / SHARE);
    }
    assert_true(longest_step(LARGE, 1) > 0.9 * longest_step(free, 1)); // rows are cheap: hardly a bound
    double dear = longest_step(LARGE, 1000); // a step of 4 rows takes 5000, one of 20 rows 21000
    assert_true(dear > 4 && dear < 5);
}

SUITE(pace, cmocka_unit_test(test_it_is_learnt), cmocka_unit_test(test_rows_that_cost_nothing),
      cmocka_unit_test(test_prompts_leave_the_others_their_share))
