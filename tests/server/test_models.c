// Which of several models is loaded, who gives way to whom, and what those hear who wait. The host is the
// test's: it notes what it is asked and does it at once, or, `by_hand`, when the test says so.
#include "harness.h"

#include "rig.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { N_MODELS = 3, BYTES = 100, LARGE = 5000 };

typedef struct Fake {
    TinyVocab vocab;
    FakeModel *model;
    Workers *workers;
    GrammarStore *grammars;
    Engine *engine;   // NULL: it is not loaded
    atomic_bool held; // its steps take until this is false
} Fake;

typedef struct Cast {
    Rig rig;
    ModelSpec specs[N_MODELS]; // "a", "b", "c"
    Fake fakes[N_MODELS];
    atomic_bool by_hand;
    pthread_mutex_t lock;
    char orders[256]; // "+b -a": load b, then unload a
} Cast;

static int quiet(void **state) {
    (void)state;
    log_set_level(LOG_ERROR);
    return 0;
}

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

// ---- the host

static void step_while_held(void *ctx) {
    while (atomic_load(&((Fake *)ctx)->held)) nap();
}

static void attach(Cast *c, int32_t i) {
    Rig *r = &c->rig;
    Fake *f = &c->fakes[i];
    tiny_english(&f->vocab);
    if (!tiny_open_bpe(&f->vocab, "gpt-2", &r->err)) fail_msg("%s", r->err.msg);
    int32_t n_vocab = tokenizer_n_vocab(f->vocab.tokenizer);
    f->model = fake_model_new(n_vocab, r->context, 4 * r->context / KV_BLOCK_TOKENS, r->limits.row_budget);
    f->model->called = step_while_held;
    f->model->ctx = f;
    f->workers = workers_new(1, &r->err);
    f->engine = engine_new(&r->limits, &f->model->step, f->workers, &r->err);
    if (!f->engine) fail_msg("%s", r->err.msg);
    f->grammars = grammar_store_new(f->vocab.tokenizer, &r->err);
    Service service = {
        .engine = f->engine, .grammars = f->grammars, .tokenizer = f->vocab.tokenizer, .bytes = BYTES};
    server_attach(r->server, i, &service);
}

static void dismantle(Fake *f) {
    if (!f->engine) return;
    assert_true(engine_idle(f->engine));
    engine_free(f->engine);
    grammar_store_free(f->grammars);
    workers_free(f->workers);
    fake_model_free(f->model);
    tiny_close(&f->vocab);
    f->engine = NULL;
}

static void detach(Cast *c, int32_t i) {
    dismantle(&c->fakes[i]);
    server_detach(c->rig.server, i);
}

static void note_order(Cast *c, char what, int32_t i) {
    pthread_mutex_lock(&c->lock);
    size_t n = strlen(c->orders);
    snprintf(c->orders + n, sizeof c->orders - n, "%s%c%c", n ? " " : "", what, 'a' + (char)i);
    pthread_mutex_unlock(&c->lock);
}

static void order_load(void *ctx, int32_t i) {
    Cast *c = ctx;
    bool at_once = !atomic_load(&c->by_hand);
    note_order(c, '+', i);
    if (at_once) attach(c, i);
}

static void order_unload(void *ctx, int32_t i) {
    Cast *c = ctx;
    bool at_once = !atomic_load(&c->by_hand);
    note_order(c, '-', i);
    if (at_once) detach(c, i);
}

// ---- what the test sees

typedef bool Condition(Cast *c, const char *wanted);

static void wait_for(Cast *c, Condition *holds, const char *wanted) {
    int64_t end = clock_now_ns() + 60 * (int64_t)1000000000;
    while (!holds(c, wanted)) {
        if (clock_now_ns() > end) fail_msg("waited for \"%s\"; orders: %s", wanted, c->orders);
        nap();
    }
}

static bool have_orders(Cast *c, const char *wanted) {
    pthread_mutex_lock(&c->lock);
    bool same = strcmp(c->orders, wanted) == 0;
    pthread_mutex_unlock(&c->lock);
    return same;
}

static void wait_orders(Cast *c, const char *wanted) {
    wait_for(c, have_orders, wanted);
}

static bool was_ordered(Cast *c, const char *wanted) {
    pthread_mutex_lock(&c->lock);
    bool found = strstr(c->orders, wanted) != NULL;
    pthread_mutex_unlock(&c->lock);
    return found;
}

static bool is_healthy(Cast *c, const char *unused) {
    Buf answer = {0};
    (void)unused;
    int status = rig_ask(&c->rig, "GET", "/health", "", &answer);
    buf_free(&answer);
    return status == 200;
}

// wanted: the model's id, then a part of its figures.
static bool have_stats(Cast *c, const char *wanted) {
    Buf answer = {0};
    char path[] = "/stats?model=?";
    path[sizeof path - 2] = wanted[0];
    assert_int_equal(rig_ask(&c->rig, "GET", path, "", &answer), 200);
    bool found = strstr(answer.ptr, wanted + 2) != NULL;
    buf_free(&answer);
    return found;
}

static void wait_stats(Cast *c, const char *wanted) {
    wait_for(c, have_stats, wanted);
}

// For the model of this id.
static bool somebody_waits(Cast *c, const char *id) {
    char none[32];
    snprintf(none, sizeof none, "%s \"waiting\":0,", id);
    return !have_stats(c, none);
}

static void hold(Cast *c, int32_t i, bool held) {
    atomic_store(&c->fakes[i].held, held);
}

// ---- life

static void begin(Cast *c, size_t budget) {
    static const char *const ids[N_MODELS] = {"a", "b", "c"};
    static const char *const paths[N_MODELS] = {"/m/one.gguf", "/m/two.gguf", "/m/b.gguf"};
    *c = (Cast){.lock = PTHREAD_MUTEX_INITIALIZER};
    rig_defaults(&c->rig);
    for (int i = 0; i < N_MODELS; i++)
        c->specs[i] = (ModelSpec){.id = ids[i], .name = "same", .path = paths[i], .bytes = BYTES};
    c->rig.config.models = c->specs;
    c->rig.config.n_models = N_MODELS;
    c->rig.config.models_bytes = budget;
    c->rig.config.model_host = (ModelHost){c, order_load, order_unload};
}

static void start(Cast *c) {
    rig_listen(&c->rig);
    attach(c, 0);
    wait_for(c, is_healthy, "health");
}

static void begin_by_hand(Cast *c, size_t budget) {
    begin(c, budget);
    c->by_hand = true;
    start(c);
}

static void finish(Cast *c) {
    rig_join(&c->rig);
    assert_true(c->rig.ok);
    for (int i = 0; i < N_MODELS; i++) dismantle(&c->fakes[i]);
    server_free(c->rig.server);
}

// ---- clients

static int ask_large(const Cast *c, const char *model, size_t size) {
    char fields[128];
    snprintf(fields, sizeof fields,
             "\"model\":\"%s\",\"prompt\":\"hello\",\"max_tokens\":3,\"ignore_eos\":true", model);
    char *body = rig_padded(fields, size);
    int fd = rig_send(&c->rig, "POST", "/generate", body);
    free(body);
    return fd;
}

static int ask(const Cast *c, const char *model) {
    return ask_large(c, model, 128);
}

// A request of the first model that ends only when it is no longer held.
static int keep_busy(Cast *c) {
    hold(c, 0, true);
    int fd = ask(c, "a");
    wait_stats(c, "a \"live\":1");
    return fd;
}

static void expect(int fd, int status, const char *words) {
    Buf answer = {0};
    rig_read(fd, &answer);
    if (answer.len < 12 || atoi(answer.ptr + 9) != status || !strstr(answer.ptr, words))
        fail_msg("wanted %d %s: %s", status, words, answer.len ? answer.ptr : "nothing came");
    buf_free(&answer);
}

static void expect_text(int fd) {
    expect(fd, 200, "\"generated_tokens\":3");
}

// ---- loading

static void test_many_want_one(void **state) {
    (void)state;
    Cast c;
    begin_by_hand(&c, 3 * BYTES);
    int fds[] = {ask(&c, "b"), ask_large(&c, "b", LARGE), ask(&c, "two"), ask_large(&c, "b:latest", LARGE)};
    wait_stats(&c, "b \"waiting\":4");
    wait_stats(&c, "b \"state\":\"loading\",\"loads\":0");
    expect_text(ask(&c, "a")); // others go on
    expect_text(ask(&c, ""));
    attach(&c, 1);
    for (int i = 0; i < 4; i++) expect_text(fds[i]);
    wait_stats(&c, "b \"state\":\"ready\",\"loads\":1");
    wait_orders(&c, "+b");
    finish(&c);
}

// "b" is the id of one and the file's name of another.
static void test_ids_come_before_other_names(void **state) {
    (void)state;
    Cast c;
    begin(&c, 3 * BYTES);
    c.specs[0].path = "/m/b.gguf";
    c.specs[2].path = "/m/three.gguf";
    start(&c);
    expect_text(ask(&c, "b:latest"));
    expect_text(ask(&c, "three.gguf"));
    expect_text(ask(&c, "b.gguf")); // no id: the file's name
    wait_orders(&c, "+b +c");
    finish(&c);
}

static void test_unknown(void **state) {
    (void)state;
    Cast c;
    begin(&c, 3 * BYTES);
    start(&c);
    expect(ask(&c, "d"), 404, "there is \\\"a\\\", \\\"b\\\", \\\"c\\\"");
    expect(ask(&c, ":latest"), 404, "is not served here");
    char name[121]; // is cut inside a letter
    name[0] = 'x';
    for (int i = 1; i < 119; i += 2) memcpy(name + i, "\u00E9", 2);
    name[119] = 0;
    char body[200];
    snprintf(body, sizeof body, "{\"model\":\"%s\",\"prompt\":\"x\"}", name);
    expect(rig_send(&c.rig, "POST", "/v1/completions", body), 404, "is not served here; there is");
    wait_orders(&c, "");
    finish(&c);
}

static void test_failure(void **state) {
    (void)state;
    Cast c;
    begin_by_hand(&c, 3 * BYTES);
    int fds[] = {ask(&c, "b"), ask_large(&c, "b", LARGE), ask(&c, "b")};
    wait_stats(&c, "b \"waiting\":3");
    server_fail(c.rig.server, 1, "the file has gone");
    for (int i = 0; i < 3; i++) expect(fds[i], 500, "\\\"b\\\" cannot be loaded: the file has gone");
    wait_stats(&c, "b \"state\":\"unloaded\"");
    int again = ask(&c, "b");
    wait_orders(&c, "+b +b");
    attach(&c, 1);
    expect_text(again);
    finish(&c);
}

static void test_line_full(void **state) {
    (void)state;
    Cast c;
    enum { N = 5 };
    begin(&c, 3 * BYTES);
    c.by_hand = true;
    c.rig.limits.max_running = 2;
    c.rig.limits.max_queue = N - 2;
    start(&c);
    int fds[N];
    for (int i = 0; i < N; i++) fds[i] = ask(&c, "b");
    wait_stats(&c, "b \"waiting\":5");
    expect(ask(&c, "b"), 429, "5 requests wait already until");
    expect(ask(&c, "b"), 429, "Retry-After: ");
    expect_text(ask(&c, "a"));
    attach(&c, 1);
    for (int i = 0; i < N; i++) expect_text(fds[i]);
    finish(&c);
}

// ---- giving way

// One finishes what it has begun, also of a client that leaves, and newcomers wait for their turn.
static void test_take_turns(void **state) {
    (void)state;
    Cast c;
    begin(&c, 2 * BYTES - 1);
    start(&c);
    hold(&c, 0, true);
    int first = ask(&c, "a"), second = ask_large(&c, "a", LARGE);
    wait_stats(&c, "a \"live\":2");
    int other = ask(&c, "b");
    wait_stats(&c, "a \"state\":\"leaving\"");
    wait_stats(&c, "b \"state\":\"waiting\"");
    int newcomer = ask_large(&c, "a", LARGE), last = ask(&c, "a");
    wait_stats(&c, "a \"waiting\":2");
    rig_leave(first);
    wait_stats(&c, "a \"state\":\"ending\""); // until the step is over
    wait_orders(&c, "");
    hold(&c, 0, false);
    expect_text(second);
    expect_text(other);
    expect_text(newcomer);
    expect_text(last);
    wait_orders(&c, "-a +b -b +a");
    finish(&c);
}

static void test_idle_ones_leave_first(void **state) {
    (void)state;
    Cast c;
    begin(&c, 2 * BYTES);
    start(&c);
    expect_text(ask(&c, "b"));
    int busy = keep_busy(&c);
    expect_text(ask(&c, "c"));
    wait_orders(&c, "+b -b +c");
    expect_text(ask(&c, "c"));
    hold(&c, 0, false);
    expect_text(busy);
    expect_text(ask(&c, "c"));
    expect_text(ask(&c, "b")); // a was used before c
    wait_orders(&c, "+b -b +c -a +b");
    finish(&c);
}

static void test_larger_than_the_budget(void **state) {
    (void)state;
    Cast c;
    begin(&c, 1);
    start(&c);
    for (int i = 0; i < 2; i++) {
        expect_text(ask(&c, "b"));
        expect_text(ask(&c, "a"));
    }
    wait_orders(&c, "-a +b -b +a -a +b -b +a");
    finish(&c);
}

// Those that come for one that leaves stand behind those that it leaves for, and before whoever comes later.
static void test_order_of_wants(void **state) {
    (void)state;
    Cast c;
    begin(&c, BYTES);
    start(&c);
    int first = keep_busy(&c);
    int fds[3] = {ask(&c, "b")};
    wait_stats(&c, "a \"state\":\"leaving\"");
    fds[1] = ask(&c, "a");
    wait_stats(&c, "a \"waiting\":1");
    fds[2] = ask(&c, "c");
    wait_stats(&c, "c \"waiting\":1");
    hold(&c, 0, false);
    expect_text(first);
    for (int i = 0; i < 3; i++) expect_text(fds[i]);
    wait_orders(&c, "-a +b -b +a -a +c");
    finish(&c);
}

static void test_waiters_leave(void **state) {
    (void)state;
    Cast c;
    begin_by_hand(&c, BYTES);
    int busy = keep_busy(&c);
    for (int round = 0; round < 3; round++) {
        int small = ask(&c, "b"), large = ask_large(&c, "b", LARGE);
        wait_stats(&c, "b \"waiting\":2");
        int newcomer = ask(&c, "a");
        wait_stats(&c, "a \"waiting\":1");
        rig_leave(round % 2 ? small : large);
        wait_stats(&c, "b \"waiting\":1");
        rig_leave(round % 2 ? large : small);
        wait_stats(&c, "a \"state\":\"ready\""); // it stays, and lets the newcomer in
        wait_stats(&c, "b \"state\":\"unloaded\"");
        wait_stats(&c, "a \"live\":2");
        rig_leave(newcomer);
        hold(&c, 0, false);
        wait_stats(&c, "a \"live\":0");
        if (round == 0) expect_text(busy);
        hold(&c, 0, true);
        busy = round < 2 ? ask(&c, "a") : -1;
        if (busy >= 0) wait_stats(&c, "a \"live\":1");
    }
    wait_orders(&c, "");
    hold(&c, 0, false);
    finish(&c);
}

// Before, while and after their large bodies are parsed.
static void test_large_ones_leave_at_once(void **state) {
    (void)state;
    Cast c;
    begin_by_hand(&c, BYTES);
    int busy = keep_busy(&c);
    for (int round = 0; round < 4; round++) {
        int fds[8];
        for (int i = 0; i < 8; i++) fds[i] = ask_large(&c, "b", 900000);
        for (int i = 0; i < 8; i++) rig_leave(fds[i]);
    }
    int last = ask_large(&c, "c", 900000); // behind all of them
    wait_stats(&c, "c \"waiting\":1");
    wait_stats(&c, "b \"state\":\"unloaded\"");
    rig_leave(last);
    wait_stats(&c, "c \"state\":\"unloaded\"");
    hold(&c, 0, false);
    expect_text(busy);
    wait_orders(&c, "");
    finish(&c);
}

// They have left while it was loaded: it is there all the same, and the next one needs not wait.
static void test_all_leave_while_it_is_loaded(void **state) {
    (void)state;
    Cast c;
    begin_by_hand(&c, 3 * BYTES);
    int fd = ask(&c, "b");
    wait_orders(&c, "+b");
    rig_leave(fd);
    wait_stats(&c, "b \"waiting\":0");
    attach(&c, 1);
    wait_stats(&c, "b \"state\":\"ready\"");
    expect_text(ask(&c, "b"));
    wait_orders(&c, "+b");
    finish(&c);
}

static void test_unloaded_after_a_time(void **state) {
    (void)state;
    Cast c;
    begin(&c, 3 * BYTES);
    c.rig.config.model_idle_ns = 20000000;
    start(&c);
    expect_text(ask(&c, "b"));
    wait_for(&c, was_ordered, "-b");
    wait_for(&c, was_ordered, "-a");
    wait_stats(&c, "a \"state\":\"unloaded\",\"loads\":1");
    hold(&c, 0, true); // what works is not idle
    int fd = ask(&c, "a");
    wait_stats(&c, "a \"state\":\"ready\",\"loads\":2");
    nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    wait_stats(&c, "a \"state\":\"ready\",\"loads\":2");
    hold(&c, 0, false);
    expect_text(fd);
    wait_stats(&c, "a \"state\":\"unloaded\",\"loads\":2");
    finish(&c);
}

// What is more than one request of the engine holds its model to its end.
static void test_long_work_holds(void **state) {
    (void)state;
    static const char *const paths[] = {"/benchmark", "/v1/embeddings"};
    static const char *const bodies[] = {
        "{\"requests\":9,\"concurrency\":2,\"prompt\":\"hello\",\"max_tokens\":3,\"ignore_eos\":true}",
        "{\"input\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\",\"m\",\"n\",\"o\",\"p\"]}"};
    static const char *const words[] = {"\"successful_requests\":9", "\"index\":15"};
    for (int i = 0; i < 2; i++) {
        Cast c;
        begin(&c, BYTES);
        start(&c);
        hold(&c, 0, true);
        int fd = rig_send(&c.rig, "POST", paths[i], bodies[i]);
        wait_stats(&c, i ? "a \"live\":12" : "a \"live\":2");
        int other = ask(&c, "b");
        wait_stats(&c, "a \"state\":\"leaving\"");
        wait_orders(&c, "");
        hold(&c, 0, false);
        expect(fd, 200, words[i]);
        expect_text(other);
        wait_orders(&c, "-a +b");
        finish(&c);
    }
}

// ---- the end

static void test_drain_while_loading(void **state) {
    (void)state;
    for (int attached = 0; attached < 2; attached++) {
        Cast c;
        begin_by_hand(&c, 3 * BYTES);
        int small = ask(&c, "b"), large = ask_large(&c, "b", LARGE);
        wait_stats(&c, "b \"waiting\":2");
        int busy = keep_busy(&c);
        server_stop(c.rig.server);
        expect(small, 503, "shutting down");
        expect(large, 503, "shutting down");
        if (attached) attach(&c, 1);
        if (attached) wait_stats(&c, "b \"state\":\"ready\"");
        hold(&c, 0, false);
        expect_text(busy);
        finish(&c);
    }
}

static void test_drain_while_waiting(void **state) {
    (void)state;
    Cast c;
    begin_by_hand(&c, BYTES);
    int busy = keep_busy(&c);
    int other = ask(&c, "b");
    wait_stats(&c, "a \"state\":\"leaving\"");
    int newcomer = ask(&c, "a");
    wait_stats(&c, "a \"waiting\":1");
    server_stop(c.rig.server);
    expect(other, 503, "shutting down");
    expect(newcomer, 503, "shutting down");
    hold(&c, 0, false);
    expect_text(busy);
    finish(&c);
    assert_string_equal(c.orders, "");
}

static void test_drain_while_unloading(void **state) {
    (void)state;
    for (int detached = 0; detached < 2; detached++) {
        Cast c;
        begin_by_hand(&c, BYTES);
        int other = ask(&c, "b");
        wait_orders(&c, "-a");
        server_stop(c.rig.server);
        expect(other, 503, "shutting down");
        if (detached) detach(&c, 0);
        finish(&c);
        assert_string_equal(c.orders, "-a");
    }
}

// Bodies that are still parsed when the server stops find a model that nobody loads any more.
static void test_stop_while_bodies_are_parsed(void **state) {
    (void)state;
    Buf body = {0};
    buf_puts(&body, "{\"model\":\"b\",\"prompt\":\"hello\",\"x\":[0");
    for (int i = 0; i < 250000; i++) buf_puts(&body, ",1");
    buf_puts(&body, "]}");
    for (int twice = 0; twice < 2; twice++) {
        Cast c;
        int fds[6];
        begin_by_hand(&c, 3 * BYTES);
        for (int i = 0; i < 6; i++) fds[i] = rig_send(&c.rig, "POST", "/generate", body.ptr);
        wait_for(&c, somebody_waits, "b");
        int64_t stopped_ns = clock_now_ns();
        server_stop(c.rig.server);
        if (twice) server_stop(c.rig.server);
        for (int i = 0; i < 6; i++) expect(fds[i], 503, "shutting down");
        assert_true(clock_now_ns() - stopped_ns < c.rig.config.drain_timeout_s * INT64_C(1000000000));
        finish(&c);
    }
    buf_free(&body);
}

#define TEST(name) cmocka_unit_test_setup(name, quiet)

SUITE(server_models, TEST(test_many_want_one), TEST(test_ids_come_before_other_names), TEST(test_unknown),
      TEST(test_failure), TEST(test_line_full), TEST(test_take_turns), TEST(test_idle_ones_leave_first),
      TEST(test_larger_than_the_budget), TEST(test_order_of_wants), TEST(test_waiters_leave),
      TEST(test_large_ones_leave_at_once), TEST(test_all_leave_while_it_is_loaded),
      TEST(test_unloaded_after_a_time), TEST(test_long_work_holds), TEST(test_drain_while_loading),
      TEST(test_drain_while_waiting), TEST(test_drain_while_unloading),
      TEST(test_stop_while_bodies_are_parsed))
