// The engine with its real thread, seen from the front thread.
#include "alloc_hook.h"
#include "base/clock.h"
#include "fake_model.h"
#include "harness.h"
#include "request_kit.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 40, PATIENCE_MS = 20000 };

typedef struct Rig {
    FakeModel *model;
    Workers *workers;
    Engine *engine;
} Rig;

static const EngineConfig CONFIG = {
    .max_running = 4, .max_queue = 4, .row_budget = 32, .prefill_chunk = 16, .prefix_cache = true};

static void set_up(Rig *rig, EngineConfig config, int n_workers) {
    Err err = {0};
    rig->model = fake_model_new(VOCAB, 512, 40, 64);
    rig->workers = workers_new(n_workers, &err);
    rig->engine = engine_new(&config, &rig->model->step, rig->workers, &err);
    if (!rig->engine) fail_msg("%s", err.msg);
}

static void tear_down(Rig *rig) {
    engine_free(rig->engine);
    workers_free(rig->workers);
    fake_model_free(rig->model);
}

// Waits for the descriptor as an event loop does, then takes all there is.
static void collect(Rig *rig) {
    EngineEvent event;
    struct pollfd p = {.fd = engine_event_fd(rig->engine), .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    while (engine_poll(rig->engine, &event)) kit_take_event(&event);
}

static void collect_all(Rig *rig) {
    while (!engine_idle(rig->engine)) collect(rig);
}

static void submit(Rig *rig, Case *c) {
    Err err = {0};
    if (engine_submit(rig->engine, &c->request, &c->id, &err) != SUBMIT_OK) fail_msg("%s", err.msg);
}

static void test_submit_and_poll(void **state) {
    (void)state;
    Rig rig;
    Case cases[6];
    set_up(&rig, CONFIG, 2);
    for (int i = 0; i < 6; i++) {
        kit_fill(&cases[i], 3 + 20 * i, 10 + i, (uint64_t)i);
        submit(&rig, &cases[i]);
    }
    assert_int_equal(engine_n_live(rig.engine), 6);
    collect_all(&rig);
    for (int i = 0; i < 6; i++) kit_verify(&cases[i], VOCAB);
    assert_int_equal(engine_n_live(rig.engine), 0);
    EngineStats stats;
    engine_stats(rig.engine, &stats);
    assert_int_equal(stats.finished[FINISH_LENGTH], 6);
    assert_int_equal(stats.generated_tokens, 10 * 6 + 15);
    assert_int_equal(stats.blocks_used, 0);
    assert_int_equal(stats.blocks_total, 40);
    tear_down(&rig);
}

static void test_submit_refuses(void **state) {
    (void)state;
    Rig rig;
    Case c;
    Err err = {0};
    uint64_t id;
    set_up(&rig, CONFIG, 1);
    assert_int_equal(engine_max_sequence(rig.engine), 512);
    kit_fill(&c, 10, 503, 1);
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_TOO_LONG);
    c.request.max_tokens = INT32_MAX;
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_TOO_LONG);
    c.request.max_tokens = -1;
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_BAD);
    c.request.max_tokens = 5;
    c.request.n_top = LOGPROBS_MAX_TOP + 1;
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_BAD);
    c.request.n_top = 0;
    c.prompt[3] = VOCAB;
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_BAD);
    c.prompt[3] = 0;
    c.request.sampling.top_p = 2;
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_BAD);
    c.request.sampling.top_p = 1;
    c.request.cache_salt = (Str){(const char *)c.prompt, ENGINE_MAX_SALT + 1};
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_BAD);
    c.request.cache_salt.len = 0;
    c.request.n_prompt = 0;
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_BAD);
    assert_true(engine_idle(rig.engine));
    engine_stop(rig.engine, false);
    c.request.n_prompt = 10;
    assert_int_equal(engine_submit(rig.engine, &c.request, &id, &err), SUBMIT_CLOSED);
    tear_down(&rig);
}

static void test_pool_limits_a_sequence(void **state) {
    (void)state;
    Rig rig = {.model = fake_model_new(VOCAB, 512, 4, 64), .workers = workers_new(1, NULL)};
    rig.engine = engine_new(&CONFIG, &rig.model->step, rig.workers, NULL);
    assert_int_equal(engine_max_sequence(rig.engine), 4 * KV_BLOCK_TOKENS);
    tear_down(&rig);
}

static void test_queue_full_until_an_end_is_collected(void **state) {
    (void)state;
    Rig rig;
    Case cases[9];
    uint64_t id;
    set_up(&rig, CONFIG, 1);
    for (int i = 0; i < 9; i++) kit_fill(&cases[i], 5, 240, (uint64_t)i);
    for (int i = 0; i < 8; i++) submit(&rig, &cases[i]);
    assert_int_equal(engine_submit(rig.engine, &cases[8].request, &id, NULL), SUBMIT_QUEUE_FULL);
    engine_cancel(rig.engine, cases[7].id);
    while (engine_n_live(rig.engine) == 8) collect(&rig);
    submit(&rig, &cases[8]);
    collect_all(&rig);
    assert_int_equal(cases[7].end.reason, FINISH_CANCELLED);
    for (int i = 0; i < 9; i++) kit_verify(&cases[i], VOCAB);
    tear_down(&rig);
}

static void test_ids_are_never_reused(void **state) {
    (void)state;
    Rig rig;
    uint64_t last = 0;
    set_up(&rig, CONFIG, 1);
    for (int round = 0; round < 300; round++) {
        Case cases[3];
        for (int i = 0; i < 3; i++) {
            kit_fill(&cases[i], 1 + i, 1 + round % 5, (uint64_t)round);
            submit(&rig, &cases[i]);
            assert_true(cases[i].id > last);
            last = cases[i].id;
            if ((round + i) % 4 == 0) engine_cancel(rig.engine, cases[i].id);
        }
        collect_all(&rig);
        engine_cancel(rig.engine, cases[0].id); // after its end: nothing
        engine_cancel(rig.engine, last + 1);    // not yet given: nothing
    }
    tear_down(&rig);
}

static void test_draining_finishes_what_runs(void **state) {
    (void)state;
    Rig rig;
    Case cases[8];
    uint64_t id;
    set_up(&rig, CONFIG, 1);
    for (int i = 0; i < 8; i++) {
        kit_fill(&cases[i], 5, 30, (uint64_t)i);
        submit(&rig, &cases[i]);
    }
    engine_stop(rig.engine, false);
    assert_int_equal(engine_submit(rig.engine, &cases[0].request, &id, NULL), SUBMIT_CLOSED);
    collect_all(&rig);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(cases[i].end.reason, FINISH_LENGTH);
        kit_verify(&cases[i], VOCAB);
    }
    tear_down(&rig);
}

static void test_stop_now_ends_everybody(void **state) {
    (void)state;
    Rig rig;
    Case cases[8];
    set_up(&rig, CONFIG, 1);
    for (int i = 0; i < 8; i++) {
        kit_fill(&cases[i], 5, 250, (uint64_t)i);
        submit(&rig, &cases[i]);
    }
    engine_stop(rig.engine, false);
    engine_stop(rig.engine, true);
    engine_stop(rig.engine, true);
    collect_all(&rig);
    int shut_down = 0;
    for (int i = 0; i < 8; i++) {
        shut_down += cases[i].end.reason == FINISH_SHUTDOWN;
        kit_verify(&cases[i], VOCAB);
    }
    assert_true(shut_down >= 4); // those that waited behind the first four at the least
    tear_down(&rig);
}

static void test_free_with_everything_under_way(void **state) {
    (void)state;
    for (int round = 0; round < 50; round++) {
        Rig rig;
        Case cases[8];
        set_up(&rig, CONFIG, 1);
        for (int i = 0; i < round % 9; i++) {
            kit_fill(&cases[i], 5, 250, (uint64_t)i);
            submit(&rig, &cases[i]);
            if (i % 3 == 0) engine_cancel(rig.engine, cases[i].id);
        }
        if (round % 5 == 4 && round % 9 > 0) collect(&rig);
        tear_down(&rig);
    }
    engine_free(NULL);
}

static void test_deadline_passes_while_waiting(void **state) {
    (void)state;
    Rig rig;
    Case c;
    set_up(&rig, CONFIG, 1);
    kit_fill(&c, 5, 10, 1);
    c.request.deadline_ns = clock_now_ns() - 1;
    submit(&rig, &c);
    collect_all(&rig);
    assert_int_equal(c.end.reason, FINISH_TIMEOUT);
    assert_int_equal(c.n_got, 0);
    tear_down(&rig);
}

// Prompt tokens wait until the first token has been collected; a prompt before which nobody waits is taken.
static void test_queue_of_tokens(void **state) {
    (void)state;
    EngineConfig config = CONFIG;
    config.max_queue_tokens = 100;
    Rig rig;
    Case cases[4];
    Err err = {0};
    set_up(&rig, config, 1);
    static const int32_t PROMPTS[] = {150, 1, 60, 41};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) kit_fill(&cases[i], PROMPTS[i], 3, (uint64_t)i);
        submit(&rig, &cases[0]);
        assert_int_equal(engine_submit(rig.engine, &cases[1].request, &cases[1].id, &err), SUBMIT_QUEUE_FULL);
        assert_non_null(strstr(err.msg, "max_queue_tokens"));
        if (round == 0) {
            engine_cancel(rig.engine, cases[0].id);
        } else {
            cases[1].request.companion = true;
            submit(&rig, &cases[1]);
        }
        collect_all(&rig);
        submit(&rig, &cases[2]);
        assert_int_equal(engine_submit(rig.engine, &cases[3].request, &cases[3].id, &err), SUBMIT_QUEUE_FULL);
        cases[3].request.n_prompt = 40;
        submit(&rig, &cases[3]);
        collect_all(&rig);
        for (int i = round == 0 ? 2 : 0; i < 4; i++) kit_verify(&cases[i], VOCAB);
    }
    tear_down(&rig);
}

static void test_priority_is_checked(void **state) {
    (void)state;
    static const int32_t GOOD[] = {-10, 10}, BAD[] = {-11, 11, INT32_MIN, INT32_MAX};
    Rig rig;
    Case c;
    Err err = {0};
    set_up(&rig, CONFIG, 1);
    kit_fill(&c, 3, 3, 1);
    for (int i = 0; i < 4; i++) {
        c.request.priority = BAD[i];
        assert_int_equal(engine_submit(rig.engine, &c.request, &c.id, &err), SUBMIT_BAD);
        assert_non_null(strstr(err.msg, "priority"));
    }
    for (int i = 0; i < 2; i++) {
        kit_fill(&c, 3, 3, 1);
        c.request.priority = GOOD[i];
        submit(&rig, &c);
        collect_all(&rig);
        kit_verify(&c, VOCAB);
    }
    tear_down(&rig);
}

// A front thread that does not collect: the engine stops computing when the outbox is full, yet
// deadlines and cancels end requests, and afterwards all goes on where it stood.
static void test_front_that_does_not_collect(void **state) {
    (void)state;
    EngineConfig config = CONFIG;
    config.max_queue = 100;
    enum { LIVE = 104 };
    static Case cases[LIVE];
    Rig rig;
    EngineStats stats, later;
    set_up(&rig, config, 1);
    for (int i = 0; i < LIVE; i++) {
        kit_fill(&cases[i], 5, 250, (uint64_t)i);
        if (i == LIVE - 2) cases[i].request.deadline_ns = clock_now_ns() + 300000000;
        submit(&rig, &cases[i]);
    }
    do { // until it stands still
        engine_stats(rig.engine, &stats);
        poll(NULL, 0, 50);
        engine_stats(rig.engine, &later);
    } while (later.steps != stats.steps);
    assert_true(later.generated_tokens < LIVE * 250);
    engine_cancel(rig.engine, cases[LIVE - 1].id);
    do {
        poll(NULL, 0, 5);
        engine_stats(rig.engine, &later);
    } while (!later.finished[FINISH_CANCELLED] || !later.finished[FINISH_TIMEOUT]);
    collect_all(&rig);
    for (int i = 0; i < LIVE; i++) kit_verify(&cases[i], VOCAB);
    assert_int_equal(cases[0].end.reason, FINISH_LENGTH);
    tear_down(&rig);
}

static void test_free_while_the_outbox_is_full(void **state) {
    (void)state;
    EngineConfig config = CONFIG;
    config.max_queue = 100;
    static Case cases[104];
    Rig rig;
    EngineStats stats, later;
    set_up(&rig, config, 1);
    for (int i = 0; i < 104; i++) {
        kit_fill(&cases[i], 5, 250, (uint64_t)i);
        submit(&rig, &cases[i]);
    }
    do {
        engine_stats(rig.engine, &stats);
        poll(NULL, 0, 50);
        engine_stats(rig.engine, &later);
    } while (later.steps != stats.steps);
    tear_down(&rig);
}

// 64 clients of all priorities that come, are refused, wait, cancel and come again, on two workers.
enum { CLIENTS = 64, ROUNDS = 12, QUEUE_TOKENS = 1500 };

typedef struct Clients {
    Rig rig;
    Case at[CLIENTS];
    int rounds[CLIENTS];
    bool waits[CLIENTS]; // to be accepted
    int n_refused;
} Clients;

// The engine's count of what waits, from what has been collected.
static int64_t queue_tokens(const Clients *c) {
    int64_t n = 0;
    for (int i = 0; i < CLIENTS; i++)
        if (c->rounds[i] < ROUNDS && !c->waits[i] && c->at[i].n_ends == 0 && c->at[i].n_got == 0)
            n += c->at[i].request.n_prompt;
    return n;
}

static void come(Clients *c, int i) {
    Err err = {0};
    const EngineRequest *r = &c->at[i].request;
    c->waits[i] = true;
    int64_t waiting = queue_tokens(c);
    SubmitResult result = engine_submit(c->rig.engine, r, &c->at[i].id, &err);
    bool fits = waiting == 0 || waiting + r->n_prompt <= QUEUE_TOKENS;
    assert_int_equal(result, fits ? SUBMIT_OK : SUBMIT_QUEUE_FULL);
    c->waits[i] = !fits;
    c->n_refused += !fits;
}

static void new_request(Clients *c, int i, Rng *r) {
    kit_random(&c->at[i], r, VOCAB, 100, 60);
    c->at[i].request.priority = kit_below(r, 2 * ENGINE_MAX_PRIORITY + 1) - ENGINE_MAX_PRIORITY;
    if (kit_below(r, 10) == 0) c->at[i].request.deadline_ns = clock_now_ns() + kit_below(r, 5000000);
    come(c, i);
}

static void test_many_clients(void **state) {
    (void)state;
    Rng r = {kit_seed("engine_clients", 17)};
    EngineConfig config = {.max_running = 24,
                           .max_queue = 40,
                           .max_queue_tokens = QUEUE_TOKENS,
                           .row_budget = 64,
                           .prefill_chunk = 24,
                           .priority_step_ns = 1000000};
    Clients *c = calloc(1, sizeof *c);
    int active = CLIENTS;
    assert_non_null(c);
    set_up(&c->rig, config, 2);
    for (int i = 0; i < CLIENTS; i++) c->waits[i] = true;
    for (int i = 0; i < CLIENTS; i++) new_request(c, i, &r);
    while (active > 0) {
        collect(&c->rig);
        for (int i = 0; i < CLIENTS; i++) {
            Case *one = &c->at[i];
            if (c->rounds[i] == ROUNDS) continue;
            if (c->waits[i]) come(c, i);
            if (c->waits[i]) continue;
            if (one->n_ends == 0 && kit_below(&r, 200) == 0) engine_cancel(c->rig.engine, one->id);
            if (one->n_ends == 0) continue;
            kit_verify(one, VOCAB);
            if (++c->rounds[i] < ROUNDS)
                new_request(c, i, &r);
            else
                active--;
        }
    }
    assert_true(engine_idle(c->rig.engine) && c->n_refused > 10);
    tear_down(&c->rig);
    free(c);
}

// ---- The n-th allocation fails, for every n

static void test_engine_new_survives_every_failing_allocation(void **state) {
    (void)state;
    if (!alloc_hook_works()) skip();
    FakeModel *m = fake_model_new(VOCAB, 512, 40, 64);
    Workers *w = workers_new(2, NULL);
    for (uint64_t n = 1;; n++) {
        Err err = {0};
        alloc_hook_fail_at(n);
        Engine *e = engine_new(&CONFIG, &m->step, w, &err);
        bool failed = alloc_hook_fail_at(0);
        if (failed) assert_true(err.code == ERR_NOMEM || err.code == ERR_IO || e);
        engine_free(e);
        if (!failed) break;
        assert_true(n < 200);
    }
    workers_free(w);
    fake_model_free(m);
}

static void test_submit_survives_every_failing_allocation(void **state) {
    (void)state;
    if (!alloc_hook_works()) skip();
    Rig rig;
    Case c;
    set_up(&rig, CONFIG, 1);
    uint64_t n = 0;
    bool failed = true;
    while (failed) {
        Err err = {0};
        kit_fill(&c, 5, 10, 1);
        c.request.sampling.repetition_penalty = 1.1f;
        c.bias[0] = (LogitBias){3, 1};
        c.request.sampling.logit_bias = c.bias;
        c.request.sampling.n_logit_bias = 1;
        alloc_hook_fail_at(++n);
        SubmitResult result = engine_submit(rig.engine, &c.request, &c.id, &err);
        failed = alloc_hook_fail_at(0);
        assert_int_equal(result, failed ? SUBMIT_BAD : SUBMIT_OK);
        if (failed) assert_int_equal(err.code, ERR_NOMEM);
    }
    assert_true(n > 4);
    collect_all(&rig);
    kit_verify(&c, VOCAB);
    tear_down(&rig);
}

SUITE(engine, cmocka_unit_test(test_submit_and_poll), cmocka_unit_test(test_submit_refuses),
      cmocka_unit_test(test_pool_limits_a_sequence),
      cmocka_unit_test(test_queue_full_until_an_end_is_collected),
      cmocka_unit_test(test_ids_are_never_reused), cmocka_unit_test(test_draining_finishes_what_runs),
      cmocka_unit_test(test_stop_now_ends_everybody), cmocka_unit_test(test_free_with_everything_under_way),
      cmocka_unit_test(test_deadline_passes_while_waiting), cmocka_unit_test(test_queue_of_tokens),
      cmocka_unit_test(test_priority_is_checked), cmocka_unit_test(test_front_that_does_not_collect),
      cmocka_unit_test(test_free_while_the_outbox_is_full), cmocka_unit_test(test_many_clients),
      cmocka_unit_test(test_engine_new_survives_every_failing_allocation),
      cmocka_unit_test(test_submit_survives_every_failing_allocation))
