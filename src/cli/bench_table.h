// The results of `cllm bench`, for people, as JSON and as CSV, from one table of fields.
#ifndef CLLM_CLI_BENCH_TABLE_H
#define CLLM_CLI_BENCH_TABLE_H

#include "cli/bench_load.h"

#include <stdio.h>

typedef struct BenchReport {
    const ModelInfo *model;
    size_t kv_bytes_per_token;
    int n_threads;
    LimitKind kind;
    CpuRung rung, limit_rung; // of the kernels; of the limits
    SamplingParams sampling;
    bool has_prompt; // `prompt` was measured
    BenchResult prompt;
    const BenchResult *runs; // [n_runs]
    int n_runs;
} BenchReport;

void bench_print_table(const BenchReport *r, FILE *out);
void bench_print_csv(const BenchReport *r, FILE *out);  // a line of names, then a line for each run
bool bench_print_json(const BenchReport *r, FILE *out); // one document; false: out of memory

#endif
