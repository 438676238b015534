// The engine without threads, one named case after the other.
#include "core_rig.h"
#include "harness.h"

#include <stdlib.h>
#include <string.h>

enum { VOCAB = 40 };

static const CoreShape SMALL = {
    .config = {.max_running = 4, .max_queue = 64, .row_budget = 16, .prefill_chunk = 8},
    .n_vocab = VOCAB,
    .n_blocks = 64,
    .max_context = 512,
};

static void test_one_request_gives_its_lone_run(void **state) {
    (void)state;
    CoreRig rig;
    Case c;
    rig_init(&rig, &SMALL);
    kit_fill(&c, 5, 20, 1);
    rig_submit(&rig, &c);
    rig_run(&rig);
    kit_verify(&c, VOCAB);
    assert_int_equal(c.end.reason, FINISH_LENGTH);
    assert_int_equal(c.n_got, 20);
    rig_destroy(&rig);
}

static void test_prompt_longer_than_row_budget(void **state) {
    (void)state;
    CoreRig rig;
    Case c;
    rig_init(&rig, &SMALL);
    kit_fill(&c, 200, 3, 2);
    rig_submit(&rig, &c);
    rig_run(&rig);
    kit_verify(&c, VOCAB);
    assert_int_equal(c.n_got, 3);
    assert_true(rig.model->most_rows <= SMALL.config.prefill_chunk);
    assert_int_equal(engine_core_stats(rig.core)->steps, 200 / 8 + 2);
    rig_destroy(&rig);
}

static void test_max_tokens_is_never_exceeded(void **state) {
    (void)state;
    CoreRig rig;
    Case cases[40];
    rig_init(&rig, &SMALL);
    for (int i = 0; i < 40; i++) {
        kit_fill(&cases[i], 1 + i, 1 + i % 7, (uint64_t)i);
        rig_submit(&rig, &cases[i]);
    }
    rig_run(&rig);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(cases[i].n_got, 1 + i % 7);
        kit_verify(&cases[i], VOCAB);
    }
    rig_destroy(&rig);
}

static void test_every_end_token_stops_and_is_not_delivered(void **state) {
    (void)state;
    for (int which = 0; which < KIT_END_TOKENS; which++) {
        CoreRig rig;
        Case c;
        FinishReason reason;
        int32_t alone[KIT_MAX_TOKENS];
        rig_init(&rig, &SMALL);
        kit_fill(&c, 5, 30, 3);
        kit_lone_run(&c, VOCAB, alone, &reason);
        int32_t stop = alone[9];
        int32_t first = 0;
        while (alone[first] != stop) first++;
        c.end_tokens[which] = stop;
        c.end_tokens[!which] = -1;
        c.request.n_end_tokens = 2;
        rig_submit(&rig, &c);
        rig_run(&rig);
        assert_int_equal(c.end.reason, FINISH_STOP);
        assert_int_equal(c.end.n_generated, first);
        kit_verify(&c, VOCAB);
        rig_destroy(&rig);
    }
}

// Eight requests that need 8 blocks each at their end, in a pool of 10.
static void test_pool_smaller_than_demand_preempts_and_fails_nobody(void **state) {
    (void)state;
    CoreShape shape = SMALL;
    shape.config.max_running = 8;
    shape.n_blocks = 10;
    CoreRig rig;
    Case cases[8];
    rig_init(&rig, &shape);
    for (int i = 0; i < 8; i++) {
        kit_fill(&cases[i], 10, 118, (uint64_t)i + 70);
        rig_submit(&rig, &cases[i]);
    }
    rig_run(&rig);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(cases[i].end.reason, FINISH_LENGTH);
        kit_verify(&cases[i], VOCAB);
    }
    assert_true(engine_core_stats(rig.core)->preemptions > 0);
    rig_destroy(&rig);
}

static void test_a_request_may_fill_the_whole_pool(void **state) {
    (void)state;
    CoreShape shape = SMALL;
    shape.n_blocks = 4;
    CoreRig rig;
    Case big, small;
    rig_init(&rig, &shape);
    kit_fill(&small, 3, 30, 1);
    kit_fill(&big, 40, 24, 2);
    rig_submit(&rig, &small);
    rig_submit(&rig, &big);
    rig_run(&rig);
    kit_verify(&small, VOCAB);
    kit_verify(&big, VOCAB);
    assert_int_equal(big.n_got, 24);
    rig_destroy(&rig);
}

// Nobody waits: a newcomer's prompt is computed beside the decoding ones, and each of those gets
// its token at every step meanwhile.
static void test_newcomer_joins_while_others_keep_their_pace(void **state) {
    (void)state;
    CoreRig rig;
    Case a, b;
    rig_init(&rig, &SMALL);
    kit_fill(&a, 4, 60, 1);
    kit_fill(&b, 100, 5, 2);
    rig_submit(&rig, &a);
    rig_step(&rig);
    rig_submit(&rig, &b);
    for (int i = 0; i < 13; i++) {
        rig_step(&rig);
        assert_int_equal(a.n_got, 2 + i);
    }
    assert_int_equal(b.n_got, 1);
    rig_run(&rig);
    kit_verify(&a, VOCAB);
    kit_verify(&b, VOCAB);
    rig_destroy(&rig);
}

static void test_deadline_in_queue_prefill_and_decode(void **state) {
    (void)state;
    CoreShape shape = SMALL;
    shape.config.max_running = 1;
    CoreRig rig;
    Case runs, waits, prefills, forever;
    rig_init(&rig, &shape);
    kit_fill(&runs, 4, 100, 1);
    runs.request.deadline_ns = rig.clock + 205;
    kit_fill(&waits, 4, 100, 2);
    waits.request.deadline_ns = rig.clock + 55;
    kit_fill(&prefills, 200, 5, 3);
    prefills.request.deadline_ns = rig.clock + 300;
    kit_fill(&forever, 4, 10, 4);
    rig_submit(&rig, &runs);
    rig_submit(&rig, &waits);
    rig_submit(&rig, &prefills);
    rig_submit(&rig, &forever);
    assert_true(engine_core_next_deadline(rig.core) == waits.request.deadline_ns);
    rig_run(&rig);
    assert_int_equal(runs.end.reason, FINISH_TIMEOUT);
    assert_int_equal(runs.n_got, 21);
    assert_int_equal(runs.end.queued_ns, 0);
    assert_int_equal(runs.end.prefill_ns, 10);
    assert_int_equal(runs.end.decode_ns, 200);
    assert_int_equal(waits.end.reason, FINISH_TIMEOUT);
    assert_int_equal(waits.end.queued_ns, 60);
    assert_int_equal(waits.n_got, 0);
    assert_int_equal(prefills.end.reason, FINISH_TIMEOUT);
    assert_int_equal(prefills.end.queued_ns, 210);
    assert_int_equal(prefills.end.prefill_ns, 90);
    assert_int_equal(prefills.n_got, 0);
    assert_int_equal(forever.end.reason, FINISH_LENGTH);
    rig_destroy(&rig);
}

static void test_cancel_in_every_state(void **state) {
    (void)state;
    CoreShape shape = SMALL;
    shape.config.max_running = 2;
    CoreRig rig;
    Case decodes, prefills, waits;
    rig_init(&rig, &shape);
    kit_fill(&decodes, 4, 100, 1);
    kit_fill(&prefills, 200, 5, 2);
    kit_fill(&waits, 4, 100, 3);
    rig_submit(&rig, &decodes);
    rig_submit(&rig, &prefills);
    rig_submit(&rig, &waits);
    for (int i = 0; i < 4; i++) rig_step(&rig);
    assert_int_equal(decodes.n_got, 4);
    assert_true(rig_seq(&rig, &prefills)->computed > 0 && prefills.n_got == 0);
    assert_int_equal(rig_seq(&rig, &waits)->n_blocks, 0);
    rig_cancel(&rig, &waits);
    rig_cancel(&rig, &prefills);
    rig_cancel(&rig, &decodes);
    rig_cancel(&rig, &decodes); // again: nothing happens
    kit_verify(&decodes, VOCAB);
    rig_destroy(&rig);
}

static void test_end_all_ends_everybody_once(void **state) {
    (void)state;
    CoreRig rig;
    Case cases[9];
    rig_init(&rig, &SMALL);
    for (int i = 0; i < 9; i++) {
        kit_fill(&cases[i], 3 + 5 * i, 50, (uint64_t)i);
        rig_submit(&rig, &cases[i]);
    }
    for (int i = 0; i < 5; i++) rig_step(&rig);
    engine_core_end_all(rig.core, FINISH_SHUTDOWN);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(cases[i].end.reason, FINISH_SHUTDOWN);
        kit_verify(&cases[i], VOCAB);
    }
    rig_destroy(&rig);
}

// The failure this project grew from: ends of different kinds crossing each other, an id or a
// block given back twice. N requests end in every order, each in every way.
enum { N = 4, WAYS = 3 };
typedef enum Way { BY_LENGTH, BY_CANCEL, BY_DEADLINE } Way;

static void run_order(const int *order, const Way *ways, const CoreShape *shape) {
    CoreRig rig;
    Case cases[N + 1];
    rig_init(&rig, shape);
    for (int i = 0; i < N; i++) {
        int at = 6 + 3 * order[i]; // steps until it is to end
        kit_fill(&cases[i], 3 + i, ways[i] == BY_LENGTH ? at : 200, (uint64_t)i);
        if (ways[i] == BY_DEADLINE) cases[i].request.deadline_ns = rig.clock + at * rig.step_ns;
        rig_submit(&rig, &cases[i]);
    }
    for (int step = 1; rig.n_live > 0; step++) {
        rig_step(&rig);
        for (int i = 0; i < N; i++)
            if (ways[i] == BY_CANCEL && step == 6 + 3 * order[i]) rig_cancel(&rig, &cases[i]);
    }
    static const FinishReason REASONS[] = {FINISH_LENGTH, FINISH_CANCELLED, FINISH_TIMEOUT};
    for (int i = 0; i < N; i++) {
        assert_int_equal(cases[i].n_ends, 1);
        if (shape->n_blocks >= 64 || ways[i] == BY_LENGTH)
            assert_int_equal(cases[i].end.reason, REASONS[ways[i]]);
    }
    // Every block is there for the next one, which runs on all of them.
    kit_fill(&cases[N], 16 * shape->n_blocks < 200 ? 16 * shape->n_blocks - 2 : 200, 2, 99);
    rig_submit(&rig, &cases[N]);
    assert_true(cases[N].id > N);
    rig_run(&rig);
    kit_verify(&cases[N], VOCAB);
    rig_destroy(&rig);
}

static void for_all_orders(int *order, int n, const CoreShape *shape) {
    if (n > 1) {
        for (int i = 0; i < n; i++) {
            int t = order[i];
            order[i] = order[n - 1];
            order[n - 1] = t;
            for_all_orders(order, n - 1, shape);
            order[n - 1] = order[i];
            order[i] = t;
        }
        return;
    }
    for (int code = 0; code < WAYS * WAYS * WAYS * WAYS; code++) {
        Way ways[N] = {(Way)(code % WAYS), (Way)(code / WAYS % WAYS), (Way)(code / WAYS / WAYS % WAYS),
                       (Way)(code / WAYS / WAYS / WAYS)};
        run_order(order, ways, shape);
    }
}

static void test_end_cancel_and_time_out_in_every_order(void **state) {
    (void)state;
    int order[N] = {0, 1, 2, 3};
    for_all_orders(order, N, &SMALL);
}

static void test_the_same_with_a_pool_too_small(void **state) {
    (void)state;
    CoreShape shape = SMALL;
    shape.n_blocks = 13; // one sequence's 200 + 6 tokens, hardly more
    shape.config.max_running = 3;
    int order[N] = {0, 1, 2, 3};
    for_all_orders(order, N, &shape);
}

static void test_config_is_checked(void **state) {
    (void)state;
    static const EngineConfig BAD[] = {
        {.max_running = 0, .max_queue = 1, .row_budget = 8, .prefill_chunk = 1},
        {.max_running = 1, .max_queue = -1, .row_budget = 8, .prefill_chunk = 1},
        {.max_running = 9, .max_queue = 1, .row_budget = 8, .prefill_chunk = 1},
        {.max_running = 1, .max_queue = 1, .row_budget = 17, .prefill_chunk = 1},
        {.max_running = 1, .max_queue = 1, .row_budget = 8, .prefill_chunk = 0},
        {.max_running = 1, .row_budget = 8, .prefill_chunk = 1, .decode_share = 101},
        {.max_running = 1, .row_budget = 8, .prefill_chunk = 1, .prefix_blocks = -1},
        {.max_running = 1, .row_budget = 8, .prefill_chunk = 1, .max_queue_tokens = -1},
        {.max_running = 1, .row_budget = 8, .prefill_chunk = 1, .priority_step_ns = -1},
        {.max_running = 1, .row_budget = 8, .prefill_chunk = 1, .priority_step_ns = ENGINE_MAX_STEP_NS + 1},
    };
    FakeModel *m = fake_model_new(VOCAB, 100, 4, 16);
    Workers *w = workers_new(1, NULL);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        Err err = {0};
        assert_null(engine_core_new(&BAD[i], &m->step, w, &(EngineSink){0}, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    workers_free(w);
    fake_model_free(m);
}

SUITE(engine_core, cmocka_unit_test(test_one_request_gives_its_lone_run),
      cmocka_unit_test(test_prompt_longer_than_row_budget),
      cmocka_unit_test(test_max_tokens_is_never_exceeded),
      cmocka_unit_test(test_every_end_token_stops_and_is_not_delivered),
      cmocka_unit_test(test_pool_smaller_than_demand_preempts_and_fails_nobody),
      cmocka_unit_test(test_a_request_may_fill_the_whole_pool),
      cmocka_unit_test(test_newcomer_joins_while_others_keep_their_pace),
      cmocka_unit_test(test_deadline_in_queue_prefill_and_decode),
      cmocka_unit_test(test_cancel_in_every_state), cmocka_unit_test(test_end_all_ends_everybody_once),
      cmocka_unit_test(test_end_cancel_and_time_out_in_every_order),
      cmocka_unit_test(test_the_same_with_a_pool_too_small), cmocka_unit_test(test_config_is_checked))
