#include "harness.h"

#include "rig.h"

#include "base/log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ENDLESS "\"prompt\":\"hello\",\"max_tokens\":4000,\"temperature\":0,\"ignore_eos\":true"

static int quiet(void **state) {
    (void)state;
    log_set_level(LOG_WARN);
    return 0;
}

static void slow_step(void *ctx) {
    (void)ctx;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void expect(const Rig *r, const char *method, const char *path, const char *body, int status,
                   const char *words) {
    Buf answer = {0};
    int got = rig_ask(r, method, path, body, &answer);
    if (got != status || !strstr(answer.ptr, words)) fail_msg("%s %s: %s", method, path, answer.ptr);
    buf_free(&answer);
}

static void test_loading_then_ready(void **state) {
    (void)state;
    Rig r;
    rig_defaults(&r);
    rig_listen(&r);
    expect(&r, "GET", "/health", "", 503, "\"loading\"");
    expect(&r, "GET", "/model/info", "", 503, "loading");
    expect(&r, "POST", "/v1/completions", "{}", 503, "unavailable_error");
    expect(&r, "GET", "/", "", 200, "endpoints");
    rig_attach(&r);
    expect(&r, "GET", "/health", "", 200, "healthy");
    expect(&r, "GET", "/v1/models", "", 200, "\"id\":\"fake\"");
    rig_close(&r);
    assert_true(r.ok);
}

static void test_a_failed_load_ends_the_loop(void **state) {
    (void)state;
    Rig r;
    rig_defaults(&r);
    rig_listen(&r);
    server_fail(r.server, 0, "no such file");
    rig_close(&r);
    assert_false(r.ok);
    assert_string_equal(r.err.msg, "no such file");
}

static void test_the_port_is_taken(void **state) {
    (void)state;
    Rig r;
    Err err;
    rig_defaults(&r);
    rig_listen(&r);
    ServerConfig same = r.config;
    same.port = server_port(r.server);
    assert_null(server_new(&same, &err));
    assert_non_null(strstr(err.msg, "another server"));
    rig_close(&r);
}

static void test_no_template_is_said(void **state) {
    (void)state;
    Rig r;
    rig_defaults(&r);
    rig_listen(&r);
    rig_attach(&r);
    expect(&r, "POST", "/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", 400,
           "chat template");
    rig_close(&r);
}

static void wait_for_end(const Rig *r) {
    EngineStats stats;
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        engine_stats(r->engine, &stats);
    } while (stats.requests == 0 || stats.running + stats.waiting > 0);
}

static void test_slow_reader(void **state) {
    (void)state;
    Rig r;
    EngineStats stats;
    rig_defaults(&r);
    r.config.max_pending_bytes = 32768;
    rig_listen(&r);
    rig_attach(&r);
    int fd = rig_connect(&r, 2048);
    const char *body = "{\"stream\":true," ENDLESS "}";
    Buf request = {0};
    buf_printf(&request, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s",
               strlen(body), body);
    assert_int_equal(send(fd, request.ptr, request.len, 0), (ssize_t)request.len);
    wait_for_end(&r); // nothing is read
    engine_stats(r.engine, &stats);
    assert_int_equal(stats.finished[FINISH_CANCELLED], 1);
    assert_int_equal(stats.finished[FINISH_LENGTH], 0);
    expect(&r, "GET", "/metrics", "", 200, "cllm_requests_total{model=\"fake\",reason=\"slow_reader\"} 1");
    buf_free(&request);
    close(fd);
    rig_close(&r);
}

// A client may leave while its request waits, runs, or streams; a pipelined next request must not
// hide that.
static void test_clients_leave(void **state) {
    (void)state;
    static const char *const paths[] = {"/generate", "/generate_stream", "/v1/completions", "/benchmark"};
    Rig r;
    rig_defaults(&r);
    r.limits.max_running = 1;
    rig_listen(&r);
    rig_attach(&r);
    r.model->called = slow_step;
    for (int i = 0; i < 8; i++) {
        const char *body = "{\"requests\":2,\"concurrency\":1," ENDLESS "}";
        int running = rig_send(&r, "POST", paths[i % 4], body);
        rig_wait(&r, 1, 0);
        int waiting = rig_send(&r, "POST", paths[(i + 1) % 4], body);
        rig_wait(&r, 1, 1);
        if (i >= 4) send(running, "GET / HTTP/1.1\r\n", 16, 0);
        shutdown(i % 2 ? running : waiting, SHUT_WR);
        rig_wait(&r, 1, 0);
        struct linger reset = {1, 0};
        int last = i % 2 ? waiting : running;
        setsockopt(last, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(last);
        rig_wait(&r, 0, 0);
        close(i % 2 ? running : waiting);
    }
    rig_close(&r);
}

static void test_drain(void **state) {
    (void)state;
    Rig r;
    Buf answer = {0};
    rig_defaults(&r);
    rig_listen(&r);
    rig_attach(&r);
    r.model->called = slow_step;
    int fd =
        rig_send(&r, "POST", "/generate", "{\"prompt\":\"hello\",\"max_tokens\":100,\"ignore_eos\":true}");
    rig_wait(&r, 1, 0);
    server_stop(r.server);
    expect(&r, "POST", "/generate", "{\"prompt\":\"x\"}", 503, "shutting down");
    rig_read(fd, &answer);
    assert_non_null(strstr(answer.ptr, "\"generated_tokens\":100"));
    buf_free(&answer);
    rig_close(&r);
    assert_true(r.ok);
}

// Three tokens around prompt and suffix, in which nothing is special.
static void test_suffix(void **state) {
    (void)state;
    for (int fills_in = 0; fills_in < 2; fills_in++) {
        Rig r;
        rig_defaults(&r);
        r.fills_in = fills_in;
        rig_listen(&r);
        rig_attach(&r);
        const char *body = "{\"prompt\":[\"hello\",\"\"],\"suffix\":\"<|im_end|>\",\"max_tokens\":0}";
        expect(&r, "POST", "/v1/completions", body, fills_in ? 200 : 400,
               fills_in ? "\"prompt_tokens\":27" : "\"param\":\"suffix\"");
        expect(&r, "POST", "/v1/completions", "{\"prompt\":\"x\",\"suffix\":\"y\",\"echo\":true}", 400,
               "\"echo\"");
        expect(&r, "POST", "/v1/completions", "{\"prompt\":\"hello\",\"suffix\":\"\",\"max_tokens\":0}", 200,
               "\"prompt_tokens\":1");
        rig_close(&r);
    }
}

static void test_queue_full(void **state) {
    (void)state;
    Rig r;
    rig_defaults(&r);
    r.limits.max_running = 1;
    r.limits.max_queue = 1;
    rig_listen(&r);
    rig_attach(&r);
    r.model->called = slow_step;
    int first = rig_send(&r, "POST", "/generate", "{" ENDLESS "}");
    rig_wait(&r, 1, 0);
    int second = rig_send(&r, "POST", "/generate", "{" ENDLESS "}");
    rig_wait(&r, 1, 1);
    expect(&r, "POST", "/generate", "{" ENDLESS "}", 429, "Retry-After: 1\r\n");
    expect(&r, "POST", "/v1/completions", "{" ENDLESS "}", 429, "queue_full");
    close(first);
    close(second);
    rig_wait(&r, 0, 0);
    rig_close(&r);
}

static atomic_bool held;

static void held_step(void *ctx) {
    (void)ctx;
    while (atomic_load(&held)) nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

// The engine is inside its first step and has told nobody of anything yet.
static void test_queue_full_tells_what_is_true(void **state) {
    (void)state;
    Rig r;
    Buf answer = {0};
    rig_defaults(&r);
    r.limits.max_running = 1;
    r.limits.max_queue = 1;
    rig_listen(&r);
    rig_attach(&r);
    atomic_store(&held, true);
    r.model->called = held_step;
    int first = rig_send(&r, "POST", "/generate", "{" ENDLESS "}");
    int second = rig_send(&r, "POST", "/generate", "{" ENDLESS "}");
    do {
        buf_clear(&answer);
        rig_ask(&r, "GET", "/stats", "", &answer);
    } while (!strstr(answer.ptr, "\"live\":2"));
    expect(&r, "POST", "/generate", "{" ENDLESS "}", 429,
           "2 requests are live, 2 of them wait for their first token");
    atomic_store(&held, false);
    close(first);
    close(second);
    rig_wait(&r, 0, 0);
    buf_free(&answer);
    rig_close(&r);
}

// More at a time than the queue takes: the run waits for its own ends instead of using itself up.
static void test_benchmark_waits_for_room(void **state) {
    (void)state;
    Rig r;
    rig_defaults(&r);
    r.limits.max_running = 1;
    r.limits.max_queue = 1;
    rig_listen(&r);
    rig_attach(&r);
    expect(&r, "POST", "/benchmark",
           "{\"requests\":9,\"concurrency\":4,\"prompt\":\"hello\",\"max_tokens\":3,\"ignore_eos\":true}",
           200, "\"successful_requests\":9,\"failed_requests\":0");
    rig_close(&r);
}

// Refused from what is known before any rendering or encoding: the longest token has 12 bytes, so
// 4096 tokens and the reserve of 4 make 196608.
static void test_texts_that_cannot_fit(void **state) {
    (void)state;
    Rig r;
    rig_defaults(&r);
    r.template_source = "{% for m in messages %}{{ m.content }}{% endfor %}";
    rig_listen(&r);
    rig_attach(&r);
    static const struct {
        const char *path, *before, *after;
    } routes[] = {
        {"/generate", "{\"prompt\":\"", "\"}"},
        {"/encode", "{\"text\":\"", "\"}"},
        {"/benchmark", "{\"prompt\":\"", "\"}"},
        {"/v1/completions", "{\"prompt\":\"", "\"}"},
        {"/v1/completions", "{\"prompt\":[\"", "\"]}"},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]}"},
        {"/v1/chat/completions",
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"", "\"}]}]}"},
    };
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        Buf body = {0};
        buf_puts(&body, routes[i].before);
        for (int n = 0; n < 196600; n++) buf_putc(&body, 'a');
        size_t edge = body.len;
        buf_puts(&body, routes[i].after);
        bool only_encodes = strcmp(routes[i].path, "/encode") == 0;
        expect(&r, "POST", routes[i].path, body.ptr, only_encodes ? 200 : 400,
               only_encodes ? "\"length\":" : "in the prompt");
        body.len = edge;
        buf_puts(&body, "aaaaaaaaaaaaaaaaaaaa");
        buf_puts(&body, routes[i].after);
        expect(&r, "POST", routes[i].path, body.ptr, 400,
               "bytes of text are more than the context of 4096 tokens can hold (limit 196608)");
        buf_free(&body);
    }
    Buf many = {0};
    buf_puts(&many, "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}");
    for (int n = 0; n < 5000; n++) buf_puts(&many, ",{\"role\":\"user\",\"content\":\"\"}");
    buf_puts(&many, "]}");
    expect(&r, "POST", "/v1/chat/completions", many.ptr, 400,
           "5001 messages are more than the context of 4096 tokens can hold");
    buf_free(&many);
    rig_close(&r);
}

// Everything still open when the server ends at once: each client hears it, nothing leaks.
static void test_stop_now_with_open_requests(void **state) {
    (void)state;
    Rig r;
    Buf answer = {0};
    rig_defaults(&r);
    rig_listen(&r);
    rig_attach(&r);
    r.model->called = slow_step;
    int whole = rig_send(&r, "POST", "/generate", "{" ENDLESS "}");
    int stream = rig_send(&r, "POST", "/v1/completions", "{\"stream\":true," ENDLESS "}");
    int bench = rig_send(&r, "POST", "/benchmark", "{" ENDLESS "}");
    rig_wait(&r, 4, 6);
    Rig *closing = &r;
    server_stop(closing->server);
    server_stop(closing->server);
    rig_read(whole, &answer);
    assert_non_null(strstr(answer.ptr, "HTTP/1.1 503"));
    buf_clear(&answer);
    rig_read(stream, &answer);
    assert_non_null(strstr(answer.ptr, "unavailable_error"));
    assert_null(strstr(answer.ptr, "[DONE]"));
    buf_clear(&answer);
    rig_read(bench, &answer);
    assert_non_null(strstr(answer.ptr, "HTTP/1.1 503"));
    buf_free(&answer);
    rig_close(&r);
}

SUITE(server_whole, cmocka_unit_test_setup(test_loading_then_ready, quiet),
      cmocka_unit_test_setup(test_a_failed_load_ends_the_loop, quiet),
      cmocka_unit_test_setup(test_the_port_is_taken, quiet),
      cmocka_unit_test_setup(test_no_template_is_said, quiet),
      cmocka_unit_test_setup(test_slow_reader, quiet), cmocka_unit_test_setup(test_clients_leave, quiet),
      cmocka_unit_test_setup(test_drain, quiet), cmocka_unit_test_setup(test_suffix, quiet),
      cmocka_unit_test_setup(test_queue_full, quiet),
      cmocka_unit_test_setup(test_queue_full_tells_what_is_true, quiet),
      cmocka_unit_test_setup(test_benchmark_waits_for_room, quiet),
      cmocka_unit_test_setup(test_texts_that_cannot_fit, quiet),
      cmocka_unit_test_setup(test_stop_now_with_open_requests, quiet))
