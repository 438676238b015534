// `cllm bench`: how fast the engine is in this process, without a server, beside the limits of the
// machine that are measured between the runs.
#include "cli/commands.h"

#include "base/log.h"
#include "cli/bench_table.h"
#include "cli/fetch.h"
#include "cli/runtime_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 32, MAX_CONCURRENCY = 1024, LEAST_REQUESTS = 8, TOP_K = 50 };

typedef struct Bench {
    const Options *o;
    BenchTarget target;
    BenchLimiter limiter;
    BenchLoad loads[MAX_RUNS];
    BenchResult runs[MAX_RUNS];
    int n_runs;
    BenchLimits before; // measured last
    BenchReport report;
} Bench;

// ---- options ----

static int64_t requests_of_run(const Options *o, int64_t concurrency) {
    int64_t n = o->requests ? o->requests : 2 * concurrency;
    if (!o->requests && n < LEAST_REQUESTS) n = LEAST_REQUESTS;
    if (o->context) n = concurrency;
    return (n + concurrency - 1) / concurrency * concurrency;
}

static SamplingParams sampling_of(const Options *o) {
    return (SamplingParams){.temperature = (float)o->temperature,
                            .top_p = (float)o->top_p,
                            .min_p = (float)o->min_p,
                            .top_k = (int32_t)o->top_k,
                            .repetition_penalty = (float)o->repetition_penalty};
}

static bool read_concurrency(Bench *b, Err *err) {
    const Options *o = b->o;
    for (const char *at = o->concurrency;; at++) {
        char *end;
        long n = strtol(at, &end, 10);
        bool number = at[0] >= '0' && at[0] <= '9' && (*end == ',' || !*end);
        if (!number || n < 1 || n > MAX_CONCURRENCY)
            return err_set(err, ERR_INVALID,
                           "--concurrency: '%s' is not a list of numbers from 1 to %d, such as 1,8,32",
                           o->concurrency, MAX_CONCURRENCY);
        if (b->n_runs == MAX_RUNS)
            return err_set(err, ERR_LIMIT, "--concurrency: at most %d numbers", MAX_RUNS);
        b->loads[b->n_runs++] = (BenchLoad){.concurrency = n,
                                            .requests = requests_of_run(o, n),
                                            .prompt_tokens = o->prompt_tokens,
                                            .output_tokens = o->output_tokens,
                                            .context = o->context,
                                            .sampling = sampling_of(o)};
        if (!*end) return true;
        at = end;
    }
}

// What the options demand of each other, and what differs from the other commands' defaults.
static bool adjust(Bench *b, Options *o, Err *err) {
    if (o->json && o->csv) return err_set(err, ERR_INVALID, "--json and --csv: give one of them");
    if (o->context && o->requests)
        return err_set(err, ERR_INVALID, "--context measures one round: take --requests out");
    if (o->source[OPTION_top_k] == SOURCE_DEFAULT) o->top_k = TOP_K;
    if (!read_concurrency(b, err)) return false;
    o->max_queue = MAX_CONCURRENCY;
    o->max_queue_tokens = 0;
    o->prefix_cache = 0; // every run has the same prompts, and is to compute them
    return true;
}

// ---- measuring ----

static LimitKind limit_kind(const ModelInfo *info) {
    static const char *const floats[] = {"F32", "F16", "BF16"};
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++)
        if (strcmp(info->quantization, floats[i]) == 0) return LIMIT_FLOAT;
    return LIMIT_INT8;
}

// The limits that a run is held to: the mean of before and after.
static void apply_limits(Bench *b, BenchResult *r) {
    BenchLimits after = bench_limiter_measure(&b->limiter);
    bench_result_limit(r, bench_limits_mean(b->before, after));
    b->before = after;
}

// The default length gives way to what fits; one that was asked for does not.
static BenchLoad prompt_load(const Bench *b) {
    BenchLoad load = {
        .prompt_tokens = b->o->prefill_tokens, .output_tokens = 1, .concurrency = 1, .requests = 1};
    load.sampling = sampling_of(b->o);
    int32_t most = engine_max_sequence(b->target.engine) - 1;
    if (b->o->source[OPTION_prefill_tokens] == SOURCE_DEFAULT && load.prompt_tokens > most)
        load.prompt_tokens = most;
    return load;
}

static bool check_loads(const Bench *b, const BenchLoad *prompt, Err *err) {
    for (int i = 0; i < b->n_runs; i++)
        if (!bench_load_check(&b->target, &b->loads[i], err)) return false;
    return !b->report.has_prompt || bench_load_check(&b->target, prompt, err);
}

// The system hands out memory when it is first touched, which costs as much as computing.
static void touch_kv(const Bench *b, const Runtime *r) {
    int64_t most = 0;
    for (int i = 0; i < b->n_runs; i++) {
        const BenchLoad *l = &b->loads[i];
        int64_t tokens = (l->context ? l->context + l->concurrency : l->prompt_tokens) + l->output_tokens;
        int64_t blocks = l->concurrency * (tokens / KV_BLOCK_TOKENS + 1);
        most = blocks > most ? blocks : most;
    }
    model_context_touch(r->context, 0, most < r->n_blocks ? (int32_t)most : r->n_blocks);
}

// Computes the widest load once, so that all scratch is resident too.
static bool warm_up(Bench *b, const BenchLoad *prompt, Err *err) {
    BenchLoad widest = b->loads[0];
    BenchResult unused;
    for (int i = 1; i < b->n_runs; i++)
        if (b->loads[i].concurrency > widest.concurrency) widest = b->loads[i];
    if (!widest.context) widest.prompt_tokens += widest.output_tokens - 1;
    widest.context = 0;
    widest.output_tokens = 1;
    widest.requests = widest.concurrency;
    return bench_load_run(&b->target, &widest, &unused, err) &&
           (!b->report.has_prompt || bench_prompt_run(&b->target, prompt, &unused, err));
}

static bool measure(Bench *b, Err *err) {
    BenchLoad prompt = prompt_load(b);
    if (!check_loads(b, &prompt, err) || !warm_up(b, &prompt, err)) return false;
    b->before = bench_limiter_measure(&b->limiter);
    if (b->report.has_prompt) {
        if (!bench_prompt_run(&b->target, &prompt, &b->report.prompt, err)) return false;
        apply_limits(b, &b->report.prompt);
    }
    for (int i = 0; i < b->n_runs; i++) {
        if (!bench_load_run(&b->target, &b->loads[i], &b->runs[i], err)) return false;
        apply_limits(b, &b->runs[i]);
        log_f(LOG_INFO, "bench_run", "concurrency=%lld tokens_per_s=%.1f", (long long)b->loads[i].concurrency,
              b->runs[i].tokens_per_s);
    }
    return true;
}

// ---- the command ----

static bool print(const Bench *b, Err *err) {
    bool ok = true;
    if (b->o->json)
        ok = bench_print_json(&b->report, stdout);
    else if (b->o->csv)
        bench_print_csv(&b->report, stdout);
    else
        bench_print_table(&b->report, stdout);
    return (ok && fflush(stdout) == 0) || err_set(err, ERR_IO, "cannot print the results");
}

static bool run(Bench *b, const Runtime *r, Err *err) {
    const Options *o = b->o;
    const ModelInfo *info = model_info(r->model);
    b->target = (BenchTarget){.engine = r->engine,
                              .info = info,
                              .kv_bytes_per_token = model_kv_bytes_per_token(r->model, runtime_kv_type(o)),
                              .phases = model_phases(r->context),
                              .max_running = (int32_t)o->max_running,
                              .row_budget = (int32_t)o->row_budget,
                              .prefill_chunk = (int32_t)o->prefill_chunk};
    if (!bench_limiter_open(&b->limiter, r->workers, limit_kind(info), err)) return false;
    b->report = (BenchReport){.model = info,
                              .kv_bytes_per_token = b->target.kv_bytes_per_token,
                              .n_threads = workers_count(r->workers),
                              .kind = b->limiter.kind,
                              .limit_rung = b->limiter.rung,
                              .sampling = sampling_of(o),
                              .has_prompt = o->prefill_tokens > 0,
                              .runs = b->runs,
                              .n_runs = b->n_runs};
    touch_kv(b, r);
    return cpu_rung(&b->report.rung, err) && measure(b, err) && print(b, err);
}

static bool bench(Options *o, int *code, Err *err) {
    Runtime r;
    Bench b = {.o = o};
    if (!adjust(&b, o, err)) {
        *code = EXIT_USAGE;
        return false;
    }
    if (!model_name_resolve(o, code, err) || !runtime_open_log(o, err)) return false;
    bool ok = runtime_open_foreground(&r, o, runtime_open, code, err) && run(&b, &r, err);
    runtime_close(&r);
    bench_limiter_close(&b.limiter);
    return ok;
}

int cmd_bench(int argc, char **argv) {
    return command_main(COMMAND_BENCH, argc, argv, bench);
}
