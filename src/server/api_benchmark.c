#include "server/api_benchmark.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/api_gen.h"
#include "server/request.h"

#include <stdio.h>
#include <stdlib.h>

enum { BENCH_MAX_REQUESTS = 100000, BENCH_MAX_CONCURRENCY = 1024, BENCH_MAX_PROMPTS = 1024 };

// A run. It is told through the sink when the engine has let go of a request, and starts the next one; it ends
// when none is live. When the queue is full it waits for one of its own, which makes room; with none to
// wait for, and at any other refusal (it would be the same the next time), nothing more is started and
// the answer is that error.
typedef struct Benchmark {
    HostedModel *model; // held
    HttpExchange *x;    // NULL: the client has gone
    json_t *body;       // params has views into it
    GenParams params;
    TokenList prompts[BENCH_MAX_PROMPTS]; // taken in turn
    size_t n_prompts;
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
    json_decref(b->body);
    for (size_t i = 0; i < b->n_prompts; i++) token_list_free(&b->prompts[i]);
    free(b->live);
    if (b->model) model_release(b->model);
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
        char id[32];
        snprintf(id, sizeof id, "bench-%lld", (long long)b->n_started);
        const TokenList *prompt = &b->prompts[(size_t)b->n_started % b->n_prompts];
        RequestSpec spec = {id, &b->params, prompt->ids, prompt->n, clock_now_ns(), false};
        Request *r = request_start(b->model, &bench_sink, b, &spec, &e);
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
}

static void on_one_failure(Request *r, const ApiError *e) {
    Benchmark *b = r->user;
    b->last = *e;
    b->n_failed++;
}

// Not at its end: one that a stop string ends still has its place then.
static void on_one_released(Request *r) {
    Benchmark *b = r->user;
    forget(b, r);
    request_free(r);
    start_more(b);
}

static const RequestSink bench_sink = {NULL, on_one_end, on_one_failure, on_one_released};

static void on_client_gone(void *user) {
    Benchmark *b = user;
    b->x = NULL;
    for (int64_t i = 0; i < b->concurrency; i++)
        if (b->live[i]) request_abandon(b->live[i], OUTCOME_CLIENT_GONE);
}

typedef struct BenchmarkJob {
    Job job;
    Benchmark *benchmark; // until the run has begun
} BenchmarkJob;

static bool add_prompt(const Served *served, Benchmark *b, Str text, ApiError *e) {
    Err err = {0};
    if (!served_admits_text(served, "prompt", text.len, e)) return false;
    return prompt_encode_text(served->prompts, text, true, true, &b->prompts[b->n_prompts++], &err) ||
           api_error_from(e, &err, "prompt");
}

static void read_prompts(const Served *served, Benchmark *b, Fields *f) {
    Str texts[BENCH_MAX_PROMPTS] = {STR("请用几句话介绍人工智能的发展历史。")};
    size_t n = 1;
    fields_str_list(f, "prompt", BENCH_MAX_PROMPTS, texts, &n);
    if (f->ok && n == 0) fields_fail(f, "prompt", "must not be empty");
    for (size_t i = 0; f->ok && i < n; i++) {
        if (texts[i].len == 0)
            fields_fail(f, "prompt", "must not be empty");
        else
            f->ok = add_prompt(served, b, texts[i], f->error);
    }
}

static bool read_fields(const Served *served, Benchmark *b, ApiError *e) {
    Fields f = fields_of(b->body, e);
    b->params = gen_params_default(DIALECT_NATIVE, served->config);
    b->params.max_tokens = 50;
    b->n_requests = 40;
    b->concurrency = 8;
    gen_params_read(&f, DIALECT_NATIVE, tokenizer_n_vocab(served->service.tokenizer), &b->params);
    fields_int(&f, "requests", 1, BENCH_MAX_REQUESTS, &b->n_requests);
    fields_int(&f, "concurrency", 1, BENCH_MAX_CONCURRENCY, &b->concurrency);
    read_prompts(served, b, &f);
    if (!f.ok) return false;
    b->live = calloc((size_t)b->concurrency, sizeof *b->live);
    if (!b->live) return api_error_set(e, 503, NULL, NULL, "out of memory");
    b->params.stream = false;
    return true;
}

static void run(Job *job) {
    Benchmark *b = ((BenchmarkJob *)job)->benchmark = calloc(1, sizeof *b);
    if (!b) {
        api_error_set(&job->error, 503, NULL, NULL, "out of memory");
        return;
    }
    b->body = job->json;
    job->json = NULL; // the run's, with which it goes on after the job
    read_fields(job->served, b, &job->error);
}

static void done(Job *job) {
    Benchmark *b = ((BenchmarkJob *)job)->benchmark;
    ((BenchmarkJob *)job)->benchmark = NULL;
    b->model = job->model;
    model_hold(b->model);
    b->x = job->x;
    b->start_ns = clock_now_ns();
    http_keep(b->x, on_client_gone, b);
    start_more(b);
}

static void clear(Job *job) {
    if (((BenchmarkJob *)job)->benchmark) bench_free(((BenchmarkJob *)job)->benchmark);
}

void api_benchmark(App *app, HttpExchange *x, Str tail) {
    static const JobKind kind = {sizeof(BenchmarkJob), run, done, clear};
    (void)tail;
    Job *job = preparer_new_job(app, x, &kind, DIALECT_NATIVE);
    if (!job) return;
    job->may_be_empty = true;
    preparer_start(job);
}
