#include "server/api_metrics.h"

#include "base/clock.h"
#include "base/version.h"
#include "server/prom.h"
#include "server/router.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum Figure {
    LOADS,
    RUNNING,
    WAITING,
    LIVE,
    WAITING_TOKENS,
    BLOCKS,
    BLOCKS_USED,
    BLOCKS_CACHED,
    BLOCKS_TOUCHED,
    BLOCKS_SHARE, // used of all, 0 … 1
    KV_TOKENS,    // room for tokens in the blocks used
    PROMPT_TOKENS,
    GENERATED_TOKENS,
    DRAFTED_TOKENS,
    ACCEPTED_TOKENS,
    PREEMPTIONS,
    PREFIX_QUERY_TOKENS,
    PREFIX_HIT_TOKENS,
    PREFIX_EVICTIONS,
    STEPS,
    N_FIGURES
} Figure;

// One reading of everything about a model, so that a figure that has several names has one value.
typedef struct Reading {
    const HostedModel *model;
    EngineStats engine; // zero while it is not loaded
    double figures[N_FIGURES];
} Reading;

typedef struct Scrape {
    const App *app;
    Buf *out;
    const char *model_label; // what the label with a model's name is called
    size_t n;
    Reading models[]; // [n], those that have a name already
} Scrape;

// A family is one figure or a histogram of each model, or has samples of its own.
typedef struct Family {
    const char *name, *type, *help;
    Figure figure;
    const Histogram *(*histogram)(const Reading *r);
    const HistogramScale *scale;
    void (*samples)(const Scrape *s, const char *name);
} Family;

static const Histogram *queue_ns(const Reading *r) {
    return &r->model->metrics.queue_ns;
}

static const Histogram *first_token_ns(const Reading *r) {
    return &r->model->metrics.first_token_ns;
}

static const Histogram *next_token_ns(const Reading *r) {
    return &r->model->metrics.next_token_ns;
}

static const Histogram *request_ns(const Reading *r) {
    return &r->model->metrics.request_ns;
}

static const Histogram *step_rows(const Reading *r) {
    return &r->engine.step_rows;
}

static const Histogram *step_ns(const Reading *r) {
    return &r->engine.step_ns;
}

// ---- families with samples of their own

static void put_labelled(const Scrape *s, const char *name, Buf *labels, double value) {
    if (!labels->failed) prom_sample(s->out, name, buf_str(labels).ptr, value);
    s->out->failed |= labels->failed;
    buf_free(labels);
}

static Buf labels_of(const Scrape *s, const Reading *r) {
    Buf labels = {0};
    prom_label(&labels, s->model_label, str_from(r->model->served.model_id));
    return labels;
}

static void put_version(const Scrape *s, const char *name) {
    Buf labels = {0};
    prom_label(&labels, "version", STR(CLLM_VERSION));
    put_labelled(s, name, &labels, 1);
}

static void put_uptime(const Scrape *s, const char *name) {
    prom_sample(s->out, name, "", clock_seconds(clock_now_ns() - s->app->started_ns));
}

static void put_models(const Scrape *s, const char *name) {
    for (const Reading *r = s->models; r < s->models + s->n; r++) {
        Buf labels = {0};
        if (!model_is_loaded(r->model)) continue;
        labels = labels_of(s, r);
        put_labelled(s, name, &labels, 1);
    }
}

static void put_reply_count(const Scrape *s, const char *name, size_t route, int status, uint64_t n) {
    bool known = route < routes_count;
    Buf labels = {0};
    char word[16];
    snprintf(word, sizeof word, "%d", status);
    prom_label(&labels, "method", str_from(known ? http_method_name(routes_table[route].method) : "other"));
    prom_label(&labels, "route", str_from(known ? routes_table[route].path : "other"));
    prom_label(&labels, "status", str_from(word));
    put_labelled(s, name, &labels, (double)n);
}

static void put_replies(const Scrape *s, const char *name) {
    for (size_t route = 0; route <= routes_count; route++)
        for (int i = 0; i < METRICS_N_STATUSES; i++) {
            uint64_t n = s->app->replies.n[route][i];
            if (n) put_reply_count(s, name, route, METRICS_FIRST_STATUS + i, n);
        }
}

static void put_outcome(const Scrape *s, const char *name, const Reading *r, const char *label,
                        const char *reason, uint64_t n) {
    Buf labels = labels_of(s, r);
    prom_label(&labels, label, str_from(reason));
    put_labelled(s, name, &labels, (double)n);
}

static void put_outcomes(const Scrape *s, const char *name) {
    for (const Reading *r = s->models; r < s->models + s->n; r++)
        for (int i = OUTCOME_NONE + 1; i < N_OUTCOMES; i++)
            put_outcome(s, name, r, "reason", metrics_outcome_word((Outcome)i), r->model->metrics.outcomes[i]);
}

static void put_vllm_outcomes(const Scrape *s, const char *name) {
    for (const Reading *r = s->models; r < s->models + s->n; r++) {
        const uint64_t *n = r->model->metrics.outcomes;
        uint64_t aborted = 0;
        for (int i = OUTCOME_LENGTH + 1; i < N_OUTCOMES; i++) aborted += n[i];
        put_outcome(s, name, r, "finished_reason", "stop", n[OUTCOME_STOP]);
        put_outcome(s, name, r, "finished_reason", "length", n[OUTCOME_LENGTH]);
        put_outcome(s, name, r, "finished_reason", "abort", aborted);
    }
}

// ---- the tables

#define FIGURE(name, type, figure, help) {name, type, help, figure, NULL, NULL, NULL}
#define HISTOGRAM(name, get, scale, help) {name, "histogram", help, 0, get, &scale, NULL}
#define SAMPLES(name, type, put, help) {name, type, help, 0, NULL, NULL, put}

static const Family families[] = {
    SAMPLES("cllm_build_info", "gauge", put_version, "The program's version; always 1."),
    SAMPLES("cllm_model_info", "gauge", put_models, "The models that are loaded; always 1."),
    FIGURE("cllm_model_loads_total", "counter", LOADS, "Times that the model was loaded."),
    SAMPLES("cllm_uptime_seconds", "gauge", put_uptime, "Time since the server started."),
    FIGURE("cllm_requests_running", "gauge", RUNNING, "Requests that are computed."),
    FIGURE("cllm_requests_waiting", "gauge", WAITING, "Requests accepted that wait to be computed."),
    FIGURE("cllm_requests_live", "gauge", LIVE, "Requests accepted that have not ended."),
    FIGURE("cllm_prompt_tokens_waiting", "gauge", WAITING_TOKENS,
           "Prompt tokens of requests that have no token yet."),
    FIGURE("cllm_kv_blocks", "gauge", BLOCKS, "Blocks of 16 tokens in the KV pool."),
    FIGURE("cllm_kv_blocks_used", "gauge", BLOCKS_USED, "Blocks of the KV pool in use."),
    FIGURE("cllm_kv_blocks_cached", "gauge", BLOCKS_CACHED,
           "Free blocks of the KV pool whose content may be found again."),
    FIGURE("cllm_kv_blocks_touched", "gauge", BLOCKS_TOUCHED,
           "Blocks of the KV pool that were ever used, whose memory is resident."),
    SAMPLES("cllm_http_requests_total", "counter", put_replies, "HTTP requests answered."),
    SAMPLES("cllm_requests_total", "counter", put_outcomes, "Generating requests that ended, by reason."),
    FIGURE("cllm_prompt_tokens_total", "counter", PROMPT_TOKENS,
           "Prompt tokens of requests that have a token."),
    FIGURE("cllm_generated_tokens_total", "counter", GENERATED_TOKENS, "Tokens generated."),
    FIGURE("cllm_drafted_tokens_total", "counter", DRAFTED_TOKENS, "Tokens guessed ahead."),
    FIGURE("cllm_accepted_tokens_total", "counter", ACCEPTED_TOKENS, "Guessed tokens that came true."),
    FIGURE("cllm_preemptions_total", "counter", PREEMPTIONS, "Times that a request gave its KV blocks back."),
    FIGURE("cllm_prefix_query_tokens_total", "counter", PREFIX_QUERY_TOKENS,
           "Prompt tokens looked up in the prefix cache."),
    FIGURE("cllm_prefix_hit_tokens_total", "counter", PREFIX_HIT_TOKENS,
           "Prompt tokens found in the prefix cache."),
    FIGURE("cllm_prefix_evictions_total", "counter", PREFIX_EVICTIONS,
           "Blocks of the prefix cache taken for something else."),
    HISTOGRAM("cllm_request_queue_seconds", queue_ns, metrics_wait_scale,
              "Time from acceptance to the first row computed."),
    HISTOGRAM("cllm_time_to_first_token_seconds", first_token_ns, metrics_wait_scale,
              "Time from acceptance to the first token."),
    HISTOGRAM("cllm_inter_token_seconds", next_token_ns, metrics_gap_scale,
              "Time between two tokens of a request."),
    HISTOGRAM("cllm_request_seconds", request_ns, metrics_wait_scale,
              "Time from acceptance until the request was answered or given up."),
    HISTOGRAM("cllm_step_rows", step_rows, engine_step_rows_scale, "Rows computed in a step."),
    HISTOGRAM("cllm_step_seconds", step_ns, engine_step_ns_scale, "Time of a step."),
};

// What the other servers' names mean is theirs; the help says what stands for it here.
static const Family vllm_families[] = {
    FIGURE("vllm:num_requests_running", "gauge", RUNNING, "See cllm_requests_running."),
    FIGURE("vllm:num_requests_waiting", "gauge", WAITING, "See cllm_requests_waiting."),
    FIGURE("vllm:kv_cache_usage_perc", "gauge", BLOCKS_SHARE, "Share of the KV pool in use, 0 to 1."),
    FIGURE("vllm:gpu_cache_usage_perc", "gauge", BLOCKS_SHARE, "Share of the KV pool in use, 0 to 1."),
    FIGURE("vllm:num_preemptions_total", "counter", PREEMPTIONS, "See cllm_preemptions_total."),
    FIGURE("vllm:prompt_tokens_total", "counter", PROMPT_TOKENS, "See cllm_prompt_tokens_total."),
    FIGURE("vllm:generation_tokens_total", "counter", GENERATED_TOKENS, "See cllm_generated_tokens_total."),
    SAMPLES("vllm:request_success_total", "counter", put_vllm_outcomes, "See cllm_requests_total."),
    HISTOGRAM("vllm:iteration_tokens_total", step_rows, engine_step_rows_scale, "See cllm_step_rows."),
    HISTOGRAM("vllm:request_queue_time_seconds", queue_ns, metrics_wait_scale,
              "See cllm_request_queue_seconds."),
    HISTOGRAM("vllm:time_to_first_token_seconds", first_token_ns, metrics_wait_scale,
              "See cllm_time_to_first_token_seconds."),
    HISTOGRAM("vllm:inter_token_latency_seconds", next_token_ns, metrics_gap_scale,
              "See cllm_inter_token_seconds."),
    HISTOGRAM("vllm:time_per_output_token_seconds", next_token_ns, metrics_gap_scale,
              "See cllm_inter_token_seconds."),
    HISTOGRAM("vllm:e2e_request_latency_seconds", request_ns, metrics_wait_scale,
              "See cllm_request_seconds."),
};

static const Family llamacpp_families[] = {
    FIGURE("llamacpp:requests_processing", "gauge", RUNNING, "See cllm_requests_running."),
    FIGURE("llamacpp:requests_deferred", "gauge", WAITING, "See cllm_requests_waiting."),
    FIGURE("llamacpp:kv_cache_usage_ratio", "gauge", BLOCKS_SHARE, "Share of the KV pool in use, 0 to 1."),
    FIGURE("llamacpp:kv_cache_tokens", "gauge", KV_TOKENS, "Tokens that the KV blocks in use have room for."),
    FIGURE("llamacpp:prompt_tokens_total", "counter", PROMPT_TOKENS, "See cllm_prompt_tokens_total."),
    FIGURE("llamacpp:tokens_predicted_total", "counter", GENERATED_TOKENS,
           "See cllm_generated_tokens_total."),
    FIGURE("llamacpp:n_decode_total", "counter", STEPS, "Steps computed."),
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

// ---- the reply

static void read_figures(Reading *r) {
    const EngineStats *e = &r->engine;
    double *f = r->figures;
    f[LOADS] = (double)r->model->n_loads;
    f[RUNNING] = e->running;
    f[WAITING] = e->waiting + r->model->n_waiting;
    f[LIVE] = r->model->n_requests;
    f[BLOCKS] = e->blocks_total;
    f[BLOCKS_USED] = e->blocks_used;
    f[BLOCKS_CACHED] = e->blocks_cached;
    f[BLOCKS_TOUCHED] = e->blocks_touched;
    f[BLOCKS_SHARE] = e->blocks_total ? (double)e->blocks_used / e->blocks_total : 0;
    f[KV_TOKENS] = (double)((int64_t)e->blocks_used * KV_BLOCK_TOKENS);
    f[PROMPT_TOKENS] = (double)e->prompt_tokens;
    f[GENERATED_TOKENS] = (double)e->generated_tokens;
    f[DRAFTED_TOKENS] = (double)e->drafted_tokens;
    f[ACCEPTED_TOKENS] = (double)e->accepted_tokens;
    f[PREEMPTIONS] = (double)e->preemptions;
    f[PREFIX_QUERY_TOKENS] = (double)e->prefix_query_tokens;
    f[PREFIX_HIT_TOKENS] = (double)e->prefix_hit_tokens;
    f[PREFIX_EVICTIONS] = (double)e->prefix_evictions;
    f[STEPS] = (double)e->steps;
}

static void read_models(Scrape *s, const Models *ms) {
    for (const HostedModel *m = ms->at; m < ms->at + ms->n; m++) {
        if (!m->served.model_id[0]) continue;
        Reading *r = &s->models[s->n++];
        r->model = m;
        const Engine *engine = m->served.service.engine;
        if (engine) engine_stats(engine, &r->engine);
        read_figures(r);
        if (engine) r->figures[WAITING_TOKENS] = (double)engine_queue_tokens(engine);
    }
}

static void put_family(const Scrape *s, const Family *f) {
    prom_head(s->out, f->name, f->type, f->help);
    if (f->samples) {
        f->samples(s, f->name);
        return;
    }
    for (const Reading *r = s->models; r < s->models + s->n; r++) {
        Buf labels = labels_of(s, r);
        if (labels.failed)
            s->out->failed = true;
        else if (f->histogram)
            prom_histogram(s->out, f->name, labels.ptr, f->scale, f->histogram(r));
        else
            prom_sample(s->out, f->name, labels.ptr, r->figures[f->figure]);
        buf_free(&labels);
    }
}

static void put_families(Scrape *s, const Family *table, size_t n, const char *model_label) {
    s->model_label = model_label;
    for (const Family *f = table; f < table + n; f++) put_family(s, f);
}

void api_metrics(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    Buf out = {0};
    Scrape *s = calloc(1, sizeof *s + (size_t)app->models.n * sizeof *s->models);
    if (s) {
        *s = (Scrape){.app = app, .out = &out};
        read_models(s, &app->models);
        put_families(s, families, COUNT(families), "model");
        if (app->config->metrics_aliases) {
            put_families(s, vllm_families, COUNT(vllm_families), "model_name");
            put_families(s, llamacpp_families, COUNT(llamacpp_families), "model");
        }
    }
    if (!s || out.failed)
        api_no_memory_reply(x, DIALECT_NATIVE);
    else
        http_reply(x, 200, PROM_CONTENT_TYPE, buf_str(&out));
    buf_free(&out);
    free(s);
}
