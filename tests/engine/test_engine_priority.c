// Who is served first, who makes room, and that nobody waits forever.
#include "core_rig.h"
#include "harness.h"

enum { VOCAB = 40, STEP = 1000 };

static const CoreShape ONE_AT_A_TIME = {
    .config =
        {.max_running = 1, .max_queue = 64, .row_budget = 64, .prefill_chunk = 64, .priority_step_ns = STEP},
    .n_vocab = VOCAB,
    .n_blocks = 64,
    .max_context = 512,
};

static void submit(CoreRig *rig, Case *c, int32_t priority, int32_t n_prompt, int32_t max_tokens) {
    kit_fill(c, n_prompt, max_tokens, rig->last_id + 1);
    c->request.priority = priority;
    rig_submit(rig, c);
}

static bool runs(const CoreRig *rig, const Case *c) {
    return rig_seq(rig, c) && atomic_load(&rig_seq(rig, c)->runs);
}

// A level is worth STEP of waiting: the line is in the order of arrival less that.
static void test_order_of_admission(void **state) {
    (void)state;
    static const struct {
        int32_t priority;
        int64_t after; // the first one
        int place;
    } WHO[] = {{10, 0, 0},        {0, 10, 4},         {0, 20, 6},       {1, STEP + 9, 3},
               {1, STEP + 10, 5}, {-10, 2 * STEP, 7}, {9, 2 * STEP, 1}, {8, 2 * STEP, 2}};
    enum { N = sizeof WHO / sizeof WHO[0] };
    CoreRig rig;
    Case cases[N];
    rig_init(&rig, &ONE_AT_A_TIME);
    int64_t began = rig.clock;
    for (int i = 0; i < N; i++) {
        rig.clock = began + WHO[i].after;
        submit(&rig, &cases[i], WHO[i].priority, 5, 3);
    }
    for (int place = 0; place < N; place++) {
        int who = 0;
        while (WHO[who].place != place) who++;
        for (int step = 0; step < 3; step++) rig_step(&rig);
        assert_int_equal(cases[who].n_ends, 1);
        assert_int_equal(rig.n_live, N - 1 - place);
    }
    for (int i = 0; i < N; i++) kit_verify(&cases[i], VOCAB);
    rig_destroy(&rig);
}

// One that is let in at once takes the place of the last that runs, which goes on later.
static void test_a_higher_one_takes_a_place(void **state) {
    (void)state;
    CoreShape shape = ONE_AT_A_TIME;
    shape.config.max_running = 2;
    CoreRig rig;
    Case low, lower, high, same;
    rig_init(&rig, &shape);
    submit(&rig, &low, 0, 20, 30);
    submit(&rig, &lower, -1, 20, 30);
    for (int i = 0; i < 5; i++) rig_step(&rig);
    submit(&rig, &same, -1, 5, 3);
    assert_true(runs(&rig, &lower) && !runs(&rig, &same)); // it came later
    submit(&rig, &high, 2, 20, 5);
    assert_true(runs(&rig, &high) && runs(&rig, &low) && !runs(&rig, &lower));
    assert_int_equal(rig_seq(&rig, &lower)->n_blocks, 0);
    assert_int_equal(engine_core_stats(rig.core)->preemptions, 1);
    for (int i = 0; i < 5; i++) rig_step(&rig);
    assert_int_equal(high.end.reason, FINISH_LENGTH);
    assert_int_equal(low.n_got, 10);
    assert_int_equal(lower.n_got, 5);
    rig_run(&rig);
    kit_verify(&low, VOCAB);
    kit_verify(&lower, VOCAB);
    kit_verify(&high, VOCAB);
    kit_verify(&same, VOCAB);
    rig_destroy(&rig);
}

// The last in line gives its blocks back, which here is the one that came first.
static void test_the_lowest_makes_room_in_the_pool(void **state) {
    (void)state;
    CoreShape shape = ONE_AT_A_TIME;
    shape.config.max_running = 4;
    shape.n_blocks = 10;
    CoreRig rig;
    Case low, high;
    rig_init(&rig, &shape);
    submit(&rig, &low, -1, 60, 60);
    for (int i = 0; i < 20; i++) rig_step(&rig);
    assert_int_equal(low.n_got, 20);
    submit(&rig, &high, 0, 90, 10); // needs 7 blocks, 5 are free
    for (int i = 0; i < 2; i++) rig_step(&rig);
    assert_true(runs(&rig, &high) && !runs(&rig, &low));
    while (!high.n_ends) rig_step(&rig);
    assert_true(low.n_got <= 21);
    rig_run(&rig);
    kit_verify(&low, VOCAB);
    kit_verify(&high, VOCAB);
    rig_destroy(&rig);
}

// However many of the highest priority come, the lowest gets its turn when it has waited for as long as
// their head start.
static void test_nobody_starves(void **state) {
    (void)state;
    enum { LEAD = 2 * ENGINE_MAX_PRIORITY * STEP, EACH = 200, MOST = LEAD / EACH + 10 };
    CoreRig rig;
    Case low, high[MOST];
    int n = 0;
    rig_init(&rig, &ONE_AT_A_TIME);
    rig.step_ns = EACH / 2;
    submit(&rig, &low, -ENGINE_MAX_PRIORITY, 5, 2);
    submit(&rig, &high[n++], ENGINE_MAX_PRIORITY, 5, 2);
    while (!low.n_ends && n < MOST) { // always one more than there is time for
        submit(&rig, &high[n++], ENGINE_MAX_PRIORITY, 5, 2);
        for (int i = 0; i < 2; i++) rig_step(&rig);
    }
    assert_true(low.end.queued_ns >= LEAD - EACH && low.end.queued_ns <= LEAD + 2 * EACH);
    rig_run(&rig);
    while (n-- > 0) kit_verify(&high[n], VOCAB);
    rig_destroy(&rig);
}

static const CoreShape SHARING = {
    .config = {.max_running = 4,
               .max_queue = 64,
               .row_budget = 64,
               .prefill_chunk = 16,
               .prefix_cache = true,
               .priority_step_ns = STEP},
    .n_vocab = VOCAB,
    .n_blocks = 16,
    .max_context = 512,
};

// Who holds only what others before it hold as well has nothing to give, and keeps it.
static void test_no_useless_preemption(void **state) {
    (void)state;
    CoreRig rig;
    Case higher, first, behind, last;
    rig_init(&rig, &SHARING);
    kit_fill(&first, 165, 3, 1);
    kit_fill(&behind, 165, 3, 1);
    kit_fill(&higher, 200, 3, 2);
    higher.request.priority = 1;
    rig_submit(&rig, &first);
    submit(&rig, &last, -1, 5, 50);
    for (int i = 0; i < 3; i++) rig_step(&rig);
    rig_submit(&rig, &behind);
    rig_submit(&rig, &higher);
    for (int i = 0; i < 7; i++) rig_step(&rig); // two of them take a block a step, until one lacks
    assert_int_equal(rig_seq(&rig, &higher)->n_blocks, 7);
    assert_int_equal(rig_seq(&rig, &first)->n_blocks, 9);
    assert_int_equal(rig_seq(&rig, &behind)->n_blocks, 9);
    assert_false(runs(&rig, &last));
    assert_int_equal(engine_core_stats(rig.core)->preemptions, 1);
    rig_step(&rig);
    assert_int_equal(rig_seq(&rig, &higher)->n_blocks, 8);
    assert_int_equal(engine_core_stats(rig.core)->preemptions, 3); // only both of them free a block
    rig_run(&rig);
    kit_verify(&first, VOCAB);
    kit_verify(&behind, VOCAB);
    kit_verify(&higher, VOCAB);
    kit_verify(&last, VOCAB);
    rig_destroy(&rig);
}

SUITE(engine_priority, cmocka_unit_test(test_order_of_admission),
      cmocka_unit_test(test_a_higher_one_takes_a_place),
      cmocka_unit_test(test_the_lowest_makes_room_in_the_pool), cmocka_unit_test(test_nobody_starves),
      cmocka_unit_test(test_no_useless_preemption))
