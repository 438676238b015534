#include "server/api_benchmark.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/api_gen.h"
#include "server/request.h"

#include <stdlib.h>

enum { BENCH_MAX_REQUESTS = 100000, BENCH_MAX_CONCURRENCY = 1024 };

// A run. It is told of each request's end through the sink and starts the next one; it ends when
// none is live. When the queue is full it waits for an end of its own, which makes room; with none to
// wait for, and at any other refusal (it would be the same the next time), nothing more is started and
// the answer is that error.
typedef struct Benchmark {
    App *app;
    HttpExchange *x; // NULL: the client has gone
    GenParams params;
    TokenList prompt;
    int64_t n_requests, concurrency, n_started, n_live, n_ok, n_failed;
    int64_t generated, prompt_tokens;
    bool refused; // start no more; `last` says why
    double sum_time, min_time, max_time, sum_rate;
    int64_t start_ns;
    Request **live; // [concurrency], NULL where free
    ApiError last;  // why the last failed one failed, or none was started
} Benchmark;

static void bench_free(Benchmark *b) {
    gen_params_free(&b->params);
    token_list_free(&b->prompt);
    free(b->live);
    free(b);
}

static json_t *result_json(const Benchmark *b, double total) {
    double ok = (double)b->n_ok;
    return json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:I}", "total_requests",
                     (json_int_t)b->n_requests, "successful_requests", (json_int_t)b->n_ok, "failed_requests",
                     (json_int_t)b->n_failed, "avg_response_time", b->sum_time / ok, "min_response_time",
                     b->min_time, "max_response_time", b->max_time, "avg_throughput",
                     (double)b->generated / total, "avg_tokens_per_second", b->sum_rate / ok,
                     "total_tokens_processed", (json_int_t)b->generated, "avg_generated_tokens",
                     (double)b->generated / ok, "total_time", total, "total_prompt_tokens",
                     (json_int_t)b->prompt_tokens);
}

static void finish(Benchmark *b) {
    HttpExchange *x = b->x;
    double total = clock_seconds(clock_now_ns() - b->start_ns);
    log_f(LOG_INFO, "benchmark_end", "requests=%lld failed=%lld tokens=%lld total_s=%.3f", (long long)b->n_ok,
          (long long)b->n_failed, (long long)b->generated, total);
    if (x && (b->refused || b->n_ok == 0))
        api_error_reply(x, DIALECT_NATIVE, &b->last);
    else if (x)
        api_reply_data(x, result_json(b, total));
    bench_free(b);
}

static void forget(Benchmark *b, const Request *r) {
    for (int64_t i = 0; i < b->concurrency; i++)
        if (b->live[i] == r) b->live[i] = NULL;
    b->n_live--;
}

static void remember(Benchmark *b, Request *r) {
    int64_t i = 0;
    while (b->live[i]) i++;
    b->live[i] = r;
    b->n_live++;
}

static const RequestSink bench_sink;

// Keeps `concurrency` requests live; frees the run when all is done.
static void start_more(Benchmark *b) {
    while (b->x && !b->refused && b->n_live < b->concurrency && b->n_started < b->n_requests) {
        ApiError e = {0};
        Request *r =
            request_start(b->app, NULL, &bench_sink, b, "bench-", &b->params, b->prompt.ids, b->prompt.n, &e);
        if (r) {
            b->n_started++;
            remember(b, r);
            continue;
        }
        if (e.status == 429 && b->n_live > 0) break;
        b->last = e;
        b->refused = true;
    }
    if (b->n_live == 0) finish(b);
}

static void on_one_end(Request *r) {
    Benchmark *b = r->user;
    double took = clock_seconds(r->end_ns - r->start_ns);
    b->min_time = b->n_ok == 0 || took < b->min_time ? took : b->min_time;
    b->max_time = took > b->max_time ? took : b->max_time;
    b->sum_time += took;
    b->sum_rate += took > 0 ? (double)r->n_generated / took : 0;
    b->generated += r->n_generated;
    b->prompt_tokens += r->n_prompt;
    b->n_ok++;
    forget(b, r);
    start_more(b);
}

static void on_one_failure(Request *r, const ApiError *e) {
    Benchmark *b = r->user;
    b->last = *e;
    b->n_failed++;
    forget(b, r);
    start_more(b);
}

static const RequestSink bench_sink = {NULL, on_one_end, on_one_failure};

// Abandoned requests do not call their sink, so nothing refers to the run any more.
static void on_client_gone(void *user) {
    Benchmark *b = user;
    b->x = NULL;
    for (int64_t i = 0; i < b->concurrency; i++)
        if (b->live[i]) request_abandon(b->live[i], OUTCOME_CLIENT_GONE);
    bench_free(b);
}

static bool read_fields(Benchmark *b, const json_t *body, ApiError *e) {
    App *app = b->app;
    Err err = {0};
    Fields f = fields_of(body, e);
    Str prompt = STR("请用几句话介绍人工智能的发展历史。");
    b->params = gen_params_default(DIALECT_NATIVE, app->config);
    b->params.max_tokens = 50;
    b->n_requests = 40;
    b->concurrency = 8;
    gen_params_read(&f, DIALECT_NATIVE, tokenizer_n_vocab(app->service.tokenizer), &b->params);
    fields_int(&f, "requests", 1, BENCH_MAX_REQUESTS, &b->n_requests);
    fields_int(&f, "concurrency", 1, BENCH_MAX_CONCURRENCY, &b->concurrency);
    fields_str(&f, "prompt", &prompt);
    if (f.ok && prompt.len == 0) fields_fail(&f, "prompt", "must not be empty");
    if (!f.ok) return false;
    b->live = calloc((size_t)b->concurrency, sizeof *b->live);
    if (!b->live) return api_error_set(e, 503, NULL, NULL, "out of memory");
    b->params.n_stops = 0; // views into the body, which does not live as long
    b->params.stream = false;
    if (!app_admits_text(app, "prompt", prompt.len, e)) return false;
    return prompt_encode_text(app->prompts, prompt, true, true, &b->prompt, &err) ||
           api_error_from(e, &err, "prompt");
}

void api_benchmark(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    ApiError e = {0};
    Benchmark *b = calloc(1, sizeof *b);
    json_t *body = http_body(x).len ? parse_body(http_body(x), &e) : json_object();
    if (!b || !body) {
        if (!e.status) api_error_set(&e, 503, NULL, NULL, "out of memory");
        goto refuse;
    }
    b->app = app;
    if (!read_fields(b, body, &e)) goto refuse;
    json_decref(body);
    b->x = x;
    b->start_ns = clock_now_ns();
    http_keep(x, on_client_gone, b);
    start_more(b);
    return;

refuse:
    api_error_reply(x, DIALECT_NATIVE, &e);
    json_decref(body);
    if (b) bench_free(b);
}
