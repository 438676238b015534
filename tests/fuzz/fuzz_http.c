// Fuzz target: what a client sends on a connection, through HTTP, the router and every handler, over real
// engines with fake models, "fake" and "other", of which one at a time is loaded. The first byte chooses how
// it is sent:
//   bits 0–3: in pieces of 2^n bytes, with a turn of the loop after each
//   bit 4:    the client closes its sending side behind the last byte, as if it had left
//   bit 5:    the client leaves at once
// Whatever comes, the first answer is HTTP, a complete JSON body is JSON that says success or error as the
// status does, and when the client has gone nothing is left: no request, no block, no busy connection.
#include "base/clock.h"
#include "base/log.h"
#include "engine/fake_model.h"
#include "server/app.h"
#include "server/http.h"
#include "server/request.h"
#include "server/router.h"
#include "text/tiny_vocab.h"

#include <event2/event.h>
#include <jansson.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum {
    CONTEXT = 256,
    ANSWER_MS = 5,    // then a client gives up: what it asked for may be long
    LEAVE_MS = 20000, // by then the server must have noticed
};

enum { N_MODELS = 2 };

static void order_load(void *ctx, int32_t index);
static void order_unload(void *ctx, int32_t index);

static const ModelSpec fuzz_models[N_MODELS] = {{.id = "fake", .path = "fake.gguf", .bytes = 1},
                                                {.id = "other", .path = "other.gguf", .bytes = 1}};
static const ServerConfig fuzz_config = {.host = "127.0.0.1",
                                         .limits = {.max_connections = 64,
                                                    .max_body_bytes = 8192,
                                                    .max_header_bytes = 2048,
                                                    .max_bodies_bytes = 16384},
                                         .max_pending_bytes = 1 << 20,
                                         .models = fuzz_models,
                                         .n_models = N_MODELS,
                                         .models_bytes = 1,
                                         .model_host = {.load = order_load, .unload = order_unload},
                                         .cors_origin = "*",
                                         .metrics_aliases = true};

typedef enum Order { ORDER_NONE, ORDER_LOAD, ORDER_UNLOAD } Order;

// Opened once and kept, but for the engines: a fuzz run is millions of calls.
static struct {
    struct event_base *base;
    Http *http;
    App app;
    TinyVocab vocab;
    ChatTemplate *chat_template;
    GrammarStore *grammars;
    FakeModel *models[N_MODELS];
    Workers *workers[N_MODELS];
    Engine *engines[N_MODELS]; // NULL: it is not loaded
    Order order;
    int32_t ordered;
    bool open;
} fuzzed;

static const char chat_template[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// ---- the host

static void order_load(void *ctx, int32_t index) {
    (void)ctx;
    fuzzed.order = ORDER_LOAD;
    fuzzed.ordered = index;
}

static void order_unload(void *ctx, int32_t index) {
    (void)ctx;
    fuzzed.order = ORDER_UNLOAD;
    fuzzed.ordered = index;
}

static void load(int32_t i) {
    EngineConfig limits = {
        .max_running = 4, .max_queue = 8, .row_budget = 64, .prefill_chunk = 32, .spec_rows = 4};
    fuzzed.engines[i] = engine_new(&limits, &fuzzed.models[i]->step, fuzzed.workers[i], NULL);
    CHECK(fuzzed.engines[i]);
    Service service = {.engine = fuzzed.engines[i],
                       .tokenizer = fuzzed.vocab.tokenizer,
                       .grammars = fuzzed.grammars,
                       .chat_template = fuzzed.chat_template,
                       .bytes = 1};
    CHECK(models_loaded(&fuzzed.app.models, i, &service, NULL));
}

static void unload(int32_t i) {
    engine_free(fuzzed.engines[i]);
    fuzzed.engines[i] = NULL;
    models_unloaded(&fuzzed.app.models, i);
}

static void carry_out_order(void) {
    Order order = fuzzed.order;
    fuzzed.order = ORDER_NONE;
    if (order == ORDER_LOAD) load(fuzzed.ordered);
    if (order == ORDER_UNLOAD) unload(fuzzed.ordered);
}

// ---- the server

static void open_models(void) {
    tiny_english(&fuzzed.vocab);
    CHECK(tiny_open_bpe(&fuzzed.vocab, "gpt-2", NULL));
    fuzzed.chat_template = chat_template_parse(str_from(chat_template), NULL);
    fuzzed.grammars = grammar_store_new(fuzzed.vocab.tokenizer, NULL);
    CHECK(fuzzed.chat_template && fuzzed.grammars);
    for (int32_t i = 0; i < N_MODELS; i++) {
        fuzzed.models[i] = fake_model_new(tokenizer_n_vocab(fuzzed.vocab.tokenizer), CONTEXT,
                                          4 * CONTEXT / KV_BLOCK_TOKENS, 64);
        fuzzed.workers[i] = workers_new(1, NULL);
        CHECK(fuzzed.workers[i]);
    }
    load(0);
    fuzzed.app.attached = true;
    fuzzed.app.state = APP_READY;
}

static void open_server(void) {
    HttpConfig http = {.host = fuzz_config.host,
                       .limits = fuzz_config.limits,
                       .max_pending_bytes = fuzz_config.max_pending_bytes,
                       .cors_origin = fuzz_config.cors_origin};
    if (fuzzed.open) return;
    fuzzed.open = true;
    signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR);
    app_init(&fuzzed.app, &fuzz_config);
    fuzzed.app.base = fuzzed.base = event_base_new();
    CHECK(fuzzed.base && models_init(&fuzzed.app.models, &fuzzed.app, &fuzz_config, NULL));
    fuzzed.app.preparer = preparer_new(fuzzed.base, NULL);
    CHECK(fuzzed.app.preparer);
    open_models();
    HttpCalls calls = router_calls(&fuzzed.app);
    fuzzed.http = http_new(fuzzed.base, &http, &calls, NULL);
    CHECK(fuzzed.http);
}

static void turn(void) {
    event_base_loop(fuzzed.base, EVLOOP_NONBLOCK);
    carry_out_order();
}

static bool has_work(void) {
    return fuzzed.app.n_requests > 0 || preparer_n_jobs(fuzzed.app.preparer) > 0 ||
           http_n_busy(fuzzed.http) > 0 || fuzzed.order != ORDER_NONE;
}

// Lets the engines go on.
static void wait_for_engines(void) {
    struct pollfd fds[N_MODELS];
    nfds_t n = 0;
    for (int32_t i = 0; i < N_MODELS; i++)
        if (fuzzed.engines[i])
            fds[n++] = (struct pollfd){.fd = engine_event_fd(fuzzed.engines[i]), .events = POLLIN};
    poll(fds, n, 1);
}

// ---- the client

// The fuzzer's timer interrupts calls; a connect that was goes on by itself.
static void finish_connecting(int fd) {
    int error = errno;
    socklen_t size = sizeof error;
    if (error == EINTR) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        while (poll(&p, 1, LEAVE_MS) < 0) CHECK(errno == EINTR);
        CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
    }
    if (error) fprintf(stderr, "connect: %s\n", strerror(error));
    CHECK(!error);
}

// Closed by a reset: a port that waits for stray packets could not be used again soon.
static int connect_client(void) {
    struct linger reset = {1, 0};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_port(fuzzed.http))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) != 0) finish_connecting(fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return fd;
}

// false: nothing came.
static bool receive(int fd, Buf *answer) {
    char piece[4096];
    ssize_t n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n > 0) buf_put(answer, (Str){piece, (size_t)n});
    return n > 0;
}

static void send_pieces(int fd, Str bytes, int shift, Buf *answer) {
    size_t step = (size_t)1 << shift;
    for (size_t at = 0; at < bytes.len; at += step) {
        Str piece = str_sub(bytes, at, step);
        if (send(fd, piece.ptr, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return; // refused already
        turn();
        receive(fd, answer);
    }
}

static void read_answer(int fd, Buf *answer) {
    int64_t end = clock_now_ns() + (int64_t)ANSWER_MS * 1000000;
    for (int quiet = 0; quiet < 3 && clock_now_ns() < end;) {
        turn();
        if (receive(fd, answer) || has_work())
            quiet = 0;
        else
            quiet++;
        if (fuzzed.app.n_requests > 0) wait_for_engines();
    }
}

static void check_idle(int32_t i) {
    EngineStats stats;
    CHECK(fuzzed.app.models.at[i].n_waiting == 0);
    if (!fuzzed.engines[i]) return;
    engine_stats(fuzzed.engines[i], &stats);
    CHECK(engine_idle(fuzzed.engines[i]) && stats.running == 0 && stats.waiting == 0 &&
          stats.blocks_used == 0);
}

static void leave(int fd) {
    int64_t end = clock_now_ns() + (int64_t)LEAVE_MS * 1000000;
    close(fd);
    do {
        turn();
        if (has_work()) wait_for_engines();
        CHECK(clock_now_ns() < end);
    } while (has_work());
    for (int32_t i = 0; i < N_MODELS; i++) check_idle(i);
}

// ---- what it got

static const char *header_of(const char *head, const char *end, const char *name) {
    size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0) return line + 2 + n;
    return NULL;
}

// Errors are said in two ways, and success never looks like one of them.
static void check_json(int status, const char *body, size_t n) {
    json_error_t why;
    json_t *value = json_loadb(body, n, JSON_ALLOW_NUL, &why);
    CHECK(value || json_error_code(&why) == json_error_null_byte_in_key); // which is JSON: a token's text
    const json_t *error = json_object_get(value, "error"), *success = json_object_get(value, "success");
    if (status >= 400)
        CHECK(error || json_object_get(value, "data"));
    else
        CHECK(!error && !json_is_false(success));
    json_decref(value);
}

static void check_answer(const Buf *answer) {
    if (answer->len < 12) return;
    int status = atoi(answer->ptr + 9);
    const char *end = strstr(answer->ptr, "\r\n\r\n");
    CHECK(strncmp(answer->ptr, "HTTP/1.", 7) == 0 && status >= 100 && status < 600);
    if (!end) return;
    const char *type = header_of(answer->ptr, end, "Content-Type: ");
    const char *length = header_of(answer->ptr, end, "Content-Length: ");
    if (!type || strncmp(type, "application/json", 16) != 0 || !length) return;
    size_t n = strtoul(length, NULL, 10), had = answer->len - (size_t)(end + 4 - answer->ptr);
    if (had == n) check_json(status, end + 4, n); // else a HEAD, cut off, or followed by another
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    if (n == 0) return 0;
    open_server();
    Buf answer = {0};
    int fd = connect_client();
    send_pieces(fd, (Str){(const char *)bytes + 1, n - 1}, bytes[0] & 15, &answer);
    if (bytes[0] & 16) shutdown(fd, SHUT_WR);
    if (!(bytes[0] & 32)) read_answer(fd, &answer);
    check_answer(&answer);
    leave(fd);
    buf_free(&answer);
    return 0;
}
