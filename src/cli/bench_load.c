#include "cli/bench_load.h"

#include "base/clock.h"
#include "base/num.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { PROMPT_SEED = 1 };

typedef struct Snapshot {
    int64_t ns;
    EngineStats stats;
    int64_t phases[N_MODEL_PHASES];
} Snapshot;

typedef struct Loop {
    const BenchTarget *t;
    const BenchLoad *load;
    int32_t n_prompt, max_tokens;
    Rng rng;
    int32_t *prompt;    // [n_prompt]
    int32_t *generated; // [requests]
    uint64_t *ids;      // [requests]
    double *ttft_ms;    // [requests], in the order of their ends
    int64_t started, with_token, ended;
    int64_t tokens, keys; // generated in the measured time; keys and values read for them
    double gaps_ms;       // sum of the times between tokens
    int64_t n_gaps;
    bool measuring, stopping;
    Snapshot begin, end;
} Loop;

static Snapshot snapshot(const BenchTarget *t) {
    Snapshot s = {.ns = clock_now_ns()};
    engine_stats(t->engine, &s.stats);
    for (int i = 0; i < N_MODEL_PHASES; i++) s.phases[i] = phases_ns(t->phases, (ModelPhase)i);
    return s;
}

// ---- what fits ----

// Steps until all prompts are computed, at most: decoding rows go first.
static int64_t prefill_steps(const BenchTarget *t, const BenchLoad *load) {
    int64_t rows = t->row_budget - (load->concurrency - 1);
    if (rows > t->prefill_chunk) rows = t->prefill_chunk;
    return load->concurrency * (int64_t)num_div_up((size_t)load->context, (size_t)rows);
}

static int64_t tokens_of_request(const BenchTarget *t, const BenchLoad *load) {
    if (!load->context) return load->prompt_tokens + load->output_tokens;
    return load->context + prefill_steps(t, load) + 2 * load->output_tokens;
}

static bool check_pool(const BenchTarget *t, const BenchLoad *load, Err *err) {
    EngineStats stats;
    engine_stats(t->engine, &stats);
    int64_t each = (int64_t)num_div_up((size_t)tokens_of_request(t, load), KV_BLOCK_TOKENS);
    if (each * load->concurrency <= stats.blocks_total) return true;
    return err_set(
        err, ERR_LIMIT,
        "--context %lld with %lld requests at once needs %lld tokens in the KV pool (--kv-tokens), which has %d",
        (long long)load->context, (long long)load->concurrency,
        (long long)(each * load->concurrency * KV_BLOCK_TOKENS), stats.blocks_total * KV_BLOCK_TOKENS);
}

bool bench_load_check(const BenchTarget *t, const BenchLoad *load, Err *err) {
    int32_t most = engine_max_sequence(t->engine);
    if (load->context && load->concurrency > t->max_running)
        return err_set(err, ERR_LIMIT,
                       "--context with %lld requests at once: the engine runs %d (--max-running)",
                       (long long)load->concurrency, t->max_running);
    if (load->context > most || load->prompt_tokens > most || tokens_of_request(t, load) > most)
        return err_set(err, ERR_LIMIT, "requests of this load have up to %lld tokens; a sequence may have %d",
                       (long long)tokens_of_request(t, load), most);
    return !load->context || check_pool(t, load, err);
}

// ---- the loop ----

static bool submit(Loop *l, Err *err) {
    for (int32_t i = 0; i < l->n_prompt; i++)
        l->prompt[i] = (int32_t)(rng_next(&l->rng) % (uint64_t)l->t->info->n_vocab);
    EngineRequest r = {.prompt = l->prompt,
                       .n_prompt = l->n_prompt,
                       .max_tokens = l->max_tokens,
                       .sampling = l->load->sampling,
                       .user = &l->generated[l->started]};
    r.sampling.seed = rng_next(&l->rng);
    return engine_submit(l->t->engine, &r, &l->ids[l->started++], err) == SUBMIT_OK;
}

static void begin_measure(Loop *l) {
    l->measuring = true;
    l->begin = snapshot(l->t);
}

static void end_measure(Loop *l) {
    l->measuring = false;
    l->stopping = true;
    l->end = snapshot(l->t);
    for (int64_t i = 0; i < l->started; i++) engine_cancel(l->t->engine, l->ids[i]);
}

static void on_token(Loop *l, int32_t *generated) {
    if (l->measuring) {
        l->tokens++;
        l->keys += l->n_prompt + *generated;
    }
    if ((*generated)++ == 0) l->with_token++;
    if (!l->load->context) return;
    if (l->measuring && l->tokens == l->load->concurrency * l->load->output_tokens) end_measure(l);
    if (!l->measuring && !l->stopping && l->with_token == l->load->requests) begin_measure(l);
}

static bool on_end(Loop *l, const EngineEvent *e, Err *err) {
    if (e->reason != FINISH_LENGTH && !l->stopping)
        return err_set(err, ERR_INVALID, "a request ended early (reason %d)", (int)e->reason);
    l->ttft_ms[l->ended++] = clock_seconds(e->queued_ns + e->prefill_ns) * 1e3;
    l->gaps_ms += clock_seconds(e->decode_ns) * 1e3;
    l->n_gaps += e->n_generated - 1;
    return true;
}

static bool on_event(Loop *l, const EngineEvent *e, Err *err) {
    if (e->kind == ENGINE_END) return on_end(l, e, err);
    on_token(l, e->user);
    return true;
}

static bool wait_for_events(const Engine *e, Err *err) {
    struct pollfd p = {.fd = engine_event_fd(e), .events = POLLIN};
    if (poll(&p, 1, -1) >= 0 || errno == EINTR) return true;
    return err_set(err, ERR_IO, "cannot wait for the engine: %s", strerror(errno));
}

static bool run_loop(Loop *l, Err *err) {
    if (!l->load->context) begin_measure(l);
    while (l->ended < l->load->requests) {
        while (l->started < l->load->requests && l->started - l->ended < l->load->concurrency)
            if (!submit(l, err)) return false;
        if (!wait_for_events(l->t->engine, err)) return false;
        for (EngineEvent e; engine_poll(l->t->engine, &e);)
            if (!on_event(l, &e, err)) return false;
    }
    if (!l->load->context) l->end = snapshot(l->t);
    return true;
}

// ---- results ----

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void summarise_times(const Loop *l, BenchResult *r) {
    int64_t n = l->ended, rank = (n * 99 + 99) / 100; // the nearest rank
    double sum = 0;
    qsort(l->ttft_ms, (size_t)n, sizeof *l->ttft_ms, compare_doubles);
    for (int64_t i = 0; i < n; i++) sum += l->ttft_ms[i];
    r->ttft_mean_ms = sum / (double)n;
    r->ttft_p99_ms = l->ttft_ms[rank - 1];
    r->inter_token_ms = l->n_gaps ? l->gaps_ms / (double)l->n_gaps : 0;
    if (l->load->context)
        r->inter_token_ms = r->seconds * 1e3 * (double)r->concurrency / (double)r->generated_tokens;
}

static void summarise_steps(const Loop *l, BenchResult *r) {
    const EngineStats *a = &l->begin.stats, *b = &l->end.stats;
    r->steps = (int64_t)(b->steps - a->steps);
    r->rows = (int64_t)(b->step_rows.sum - a->step_rows.sum);
    r->preemptions = (int64_t)(b->preemptions - a->preemptions);
    r->drafted = (int64_t)(b->drafted_tokens - a->drafted_tokens);
    r->accepted = (int64_t)(b->accepted_tokens - a->accepted_tokens);
    double steps = r->steps ? (double)r->steps : 1;
    r->rows_per_step = (double)r->rows / steps;
    r->step_ms = (double)(b->step_ns.sum - a->step_ns.sum) * 1e-6 / steps;
    r->sampling_ms = r->step_ms;
    for (int i = 0; i < N_MODEL_PHASES; i++) {
        r->phase_ms[i] = (double)(l->end.phases[i] - l->begin.phases[i]) * 1e-6 / steps;
        r->sampling_ms -= r->phase_ms[i];
    }
    if (r->sampling_ms < 0) r->sampling_ms = 0; // a step was under way when decoding alone was measured
}

static void count_work(const Loop *l, BenchResult *r) {
    const ModelInfo *info = l->t->info;
    r->macs = (double)r->rows * (double)info->macs_per_row + (double)l->tokens * (double)info->macs_per_logit;
    r->bytes =
        (double)r->steps * model_step_bytes(info, (double)r->rows / (double)(r->steps ? r->steps : 1)) +
        (double)l->keys * (double)l->t->kv_bytes_per_token;
}

static void summarise(const Loop *l, BenchResult *r) {
    *r = (BenchResult){.concurrency = l->load->concurrency,
                       .requests = l->load->requests,
                       .prompt_tokens = l->n_prompt,
                       .output_tokens = l->load->output_tokens,
                       .generated_tokens = l->tokens,
                       .seconds = clock_seconds(l->end.ns - l->begin.ns)};
    r->tokens_per_s = (double)r->generated_tokens / r->seconds;
    r->context_mean = (double)l->keys / (double)l->tokens;
    summarise_times(l, r);
    summarise_steps(l, r);
    count_work(l, r);
}

bool bench_load_run(const BenchTarget *t, const BenchLoad *load, BenchResult *out, Err *err) {
    if (!bench_load_check(t, load, err)) return false;
    int64_t n_prompt = load->context ? load->context : load->prompt_tokens;
    Loop l = {.t = t,
              .load = load,
              .n_prompt = (int32_t)n_prompt,
              .max_tokens = (int32_t)(tokens_of_request(t, load) - n_prompt),
              .rng = {PROMPT_SEED},
              .prompt = malloc((size_t)n_prompt * sizeof *l.prompt),
              .generated = calloc((size_t)load->requests, sizeof *l.generated),
              .ids = calloc((size_t)load->requests, sizeof *l.ids),
              .ttft_ms = calloc((size_t)load->requests, sizeof *l.ttft_ms)};
    bool ok = l.prompt && l.generated && l.ids && l.ttft_ms;
    ok = ok ? run_loop(&l, err)
            : err_set(err, ERR_NOMEM, "out of memory for %lld requests", (long long)load->requests);
    if (ok) summarise(&l, out);
    free(l.prompt);
    free(l.generated);
    free(l.ids);
    free(l.ttft_ms);
    return ok;
}

bool bench_prompt_run(const BenchTarget *t, const BenchLoad *load, BenchResult *out, Err *err) {
    BenchLoad one = *load;
    one.concurrency = one.requests = one.output_tokens = 1;
    one.context = 0;
    if (!bench_load_run(t, &one, out, err)) return false;
    out->tokens_per_s = (double)out->prompt_tokens / out->seconds;
    return true;
}

void bench_result_limit(BenchResult *r, BenchLimits limits) {
    double tokens = r->tokens_per_s * r->seconds;
    r->limits = limits;
    r->mac_limit_tokens_per_s = tokens * limits.macs / r->macs;
    r->read_limit_tokens_per_s = tokens * limits.reading / r->bytes;
    r->limit_tokens_per_s = r->mac_limit_tokens_per_s;
    if (r->read_limit_tokens_per_s < r->limit_tokens_per_s)
        r->limit_tokens_per_s = r->read_limit_tokens_per_s;
    r->fraction_of_limit = r->tokens_per_s / r->limit_tokens_per_s;
}
