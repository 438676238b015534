// Load for a running engine, and what it made of it.
//
// A load is a closed loop: `concurrency` requests are live until `requests` have been started; each
// has a prompt of random tokens and generates exactly output_tokens. With a context, decoding is
// measured by itself: every request gets a prompt that long, the measure begins when the last of them
// has its first token and ends after concurrency * output_tokens tokens. (The first ones generate while
// the others' prompts are computed, so that the contexts are somewhat longer; context_mean tells.)
//
// Thread: the engine's front thread; the engine has no other request.
#ifndef CLLM_CLI_BENCH_LOAD_H
#define CLLM_CLI_BENCH_LOAD_H

#include "cli/bench_limits.h"
#include "engine/engine.h"
#include "model/model.h"

typedef struct BenchTarget {
    Engine *engine;
    const ModelInfo *info;
    size_t kv_bytes_per_token;
    const ModelPhases *phases;
    int32_t max_running, row_budget, prefill_chunk; // as the engine was opened
} BenchTarget;

typedef struct BenchLoad {
    int64_t concurrency, requests; // with a context: the same
    int64_t prompt_tokens, output_tokens;
    int64_t context;         // tokens of the prompts when only decoding is measured; 0: measure all
    SamplingParams sampling; // the seed is set for each request
} BenchLoad;

typedef struct BenchResult {
    int64_t concurrency, requests, prompt_tokens, output_tokens;
    int64_t generated_tokens;
    double seconds, tokens_per_s; // from the first start to the last end
    double ttft_mean_ms, ttft_p99_ms, inter_token_ms;
    int64_t steps, rows, preemptions;
    int64_t drafted, accepted; // guesses computed, and those that came true
    double rows_per_step, step_ms;
    double context_mean;                          // keys that a generated token looked at
    double phase_ms[N_MODEL_PHASES], sampling_ms; // of a step, on average
    // The counted work (without the arithmetic of attention), and what it would take at the limits.
    double macs, bytes; // bytes: the weights once a step, keys and values once a token
    BenchLimits limits;
    double mac_limit_tokens_per_s, read_limit_tokens_per_s;
    double limit_tokens_per_s, fraction_of_limit; // the lower of the two; tokens_per_s / that
} BenchResult;

// Fails when the engine cannot hold the load; the message names the remedy.
bool bench_load_check(const BenchTarget *t, const BenchLoad *load, Err *err);
bool bench_load_run(const BenchTarget *t, const BenchLoad *load, BenchResult *out, Err *err);

// One prompt alone, with one token generated. Tokens are the prompt's: tokens_per_s and the limits count
// those.
bool bench_prompt_run(const BenchTarget *t, const BenchLoad *load, BenchResult *out, Err *err);

// Fills in what follows `limits`.
void bench_result_limit(BenchResult *r, BenchLimits limits);

#endif
