#include "rig.h"

#include "harness.h"

#include "base/clock.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

void rig_defaults(Rig *r) {
    static const ModelSpec fake = {.id = "fake", .path = "fake.gguf"};
    *r = (Rig){.config = {.host = "127.0.0.1",
                          .limits = {.max_connections = 64,
                                     .max_body_bytes = 1 << 20,
                                     .max_header_bytes = 16384,
                                     .idle_timeout_s = 30},
                          .max_pending_bytes = 1 << 20,
                          .models = &fake,
                          .n_models = 1,
                          .drain_timeout_s = 10},
               .limits = {.max_running = 4, .max_queue = 8, .row_budget = 64, .prefill_chunk = 32},
               .context = 4096};
}

static void *run(void *arg) {
    Rig *r = arg;
    r->ok = server_run(r->server, &r->err);
    return NULL;
}

void rig_listen(Rig *r) {
    signal(SIGPIPE, SIG_IGN);
    r->server = server_new(&r->config, &r->err);
    if (!r->server) fail_msg("%s", r->err.msg);
    assert_int_equal(pthread_create(&r->thread, NULL, run, r), 0);
}

void rig_attach(Rig *r) {
    tiny_english(&r->vocab);
    static const char *const fim[] = {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"};
    for (int i = 0; i < 3 && r->fills_in; i++) tiny_token(&r->vocab, fim[i], TINY_CONTROL);
    if (r->control_token) tiny_token(&r->vocab, r->control_token, TINY_CONTROL);
    if (!tiny_open_bpe(&r->vocab, "gpt-2", &r->err)) fail_msg("%s", r->err.msg);
    int32_t n_vocab = tokenizer_n_vocab(r->vocab.tokenizer);
    r->model = fake_model_new(n_vocab, r->context, 4 * r->context / KV_BLOCK_TOKENS, r->limits.row_budget);
    r->workers = workers_new(1, &r->err);
    r->engine = engine_new(&r->limits, &r->model->step, r->workers, &r->err);
    if (!r->engine) fail_msg("%s", r->err.msg);
    if (r->template_source) {
        r->chat_template = chat_template_parse(str_from(r->template_source), &r->err);
        if (!r->chat_template) fail_msg("%s", r->err.msg);
    }
    r->grammars = grammar_store_new(r->vocab.tokenizer, &r->err);
    Service service = {.engine = r->engine,
                       .grammars = r->grammars,
                       .tokenizer = r->vocab.tokenizer,
                       .chat_template = r->chat_template};
    server_attach(r->server, 0, &service);
    Buf answer = {0};
    while (rig_ask(r, "GET", "/health", "", &answer) != 200) buf_clear(&answer);
    buf_free(&answer);
}

void rig_say(Rig *r, const char *text) {
    const Tokenizer *t = r->vocab.tokenizer;
    assert_true(r->n_scripts < RIG_SCRIPTS);
    TokenList *list = &r->tokens[r->n_scripts];
    FakeScript *script = &r->scripts[r->n_scripts++];
    assert_true(tokenizer_encode(t, str_from(text), (EncodeOptions){.special = true}, list, NULL));
    assert_true(token_list_push(list, tokenizer_find(t, STR("<|im_end|>"))));
    *script = (FakeScript){list->ids, (int32_t)list->n, tokenizer_find(t, STR("<|im_start|>"))};
    atomic_store(&r->model->script, script); // an answer that was cut short may still be computed
}

void rig_join(Rig *r) {
    server_stop(r->server);
    server_stop(r->server);
    pthread_join(r->thread, NULL);
}

void rig_close(Rig *r) {
    rig_join(r);
    if (r->engine) {
        EngineStats stats;
        engine_stats(r->engine, &stats);
        assert_true(stats.running == 0 && stats.waiting == 0 && stats.blocks_used == 0);
        assert_true(engine_idle(r->engine));
    }
    engine_free(r->engine);
    server_free(r->server);
    grammar_store_free(r->grammars);
    chat_template_free(r->chat_template);
    workers_free(r->workers);
    for (int i = 0; i < r->n_scripts; i++) token_list_free(&r->tokens[i]);
    if (r->model) fake_model_free(r->model);
    if (r->vocab.tokenizer) tiny_close(&r->vocab);
}

int rig_connect(const Rig *r, int receive_buffer) {
    struct timeval patience = {20, 0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server_port(r->server))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (receive_buffer) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void send_on(int fd, const char *method, const char *path, const char *body) {
    Buf out = {0};
    buf_printf(&out, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
               method, path, strlen(body), body);
    assert_int_equal(send(fd, out.ptr, out.len, MSG_NOSIGNAL), (ssize_t)out.len);
    buf_free(&out);
}

int rig_send(const Rig *r, const char *method, const char *path, const char *body) {
    int fd = rig_connect(r, 0);
    send_on(fd, method, path, body);
    return fd;
}

void rig_read(int fd, Buf *out) {
    char piece[4096];
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0) buf_put(out, (Str){piece, (size_t)n});
    close(fd);
}

void rig_leave(int fd) {
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

char *rig_padded(const char *fields, size_t n) {
    char *body = malloc(n + 1);
    assert_non_null(body);
    memset(body, ' ', n);
    body[0] = '{';
    memcpy(body + 1, fields, strlen(fields));
    body[n - 1] = '}';
    body[n] = 0;
    return body;
}

int rig_ask(const Rig *r, const char *method, const char *path, const char *body, Buf *answer) {
    rig_read(rig_send(r, method, path, body), answer);
    assert_true(answer->len > 12);
    return atoi(answer->ptr + 9);
}

void rig_wait(const Rig *r, int32_t running, int32_t waiting) {
    EngineStats stats;
    int64_t end = clock_now_ns() + 20 * (int64_t)1000000000;
    for (;;) {
        engine_stats(r->engine, &stats);
        if (stats.running == running && stats.waiting == waiting) return;
        if (clock_now_ns() > end) fail_msg("running %d, waiting %d", (int)stats.running, (int)stats.waiting);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
}
