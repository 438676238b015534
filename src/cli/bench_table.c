#include "cli/bench_table.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

typedef enum FieldTable { TABLE_NONE, TABLE_MAIN, TABLE_PHASES, TABLE_BOTH } FieldTable;

typedef struct Field {
    const char *name;
    size_t offset;
    bool is_int;
    FieldTable table; // where people see it
    const char *heading;
    int digits;   // after the point, for people
    double scale; // for people; 0: 1
} Field;

#define INT_FIELD(name_) .name = #name_, .offset = offsetof(BenchResult, name_), .is_int = true
#define REAL_FIELD(name_) .name = #name_, .offset = offsetof(BenchResult, name_)
#define PHASE_FIELD(name_, phase)                                                                            \
    .name = name_, .offset = offsetof(BenchResult, phase_ms[phase]), .table = TABLE_PHASES

static const Field fields[] = {
    {INT_FIELD(concurrency), .table = TABLE_BOTH, .heading = "at once"},
    {INT_FIELD(requests), .table = TABLE_MAIN, .heading = "requests"},
    {INT_FIELD(prompt_tokens)},
    {INT_FIELD(output_tokens)},
    {INT_FIELD(generated_tokens)},
    {REAL_FIELD(seconds)},
    {REAL_FIELD(tokens_per_s), .table = TABLE_MAIN, .heading = "tokens/s", .digits = 1},
    {REAL_FIELD(limit_tokens_per_s), .table = TABLE_MAIN, .heading = "limit", .digits = 1},
    {REAL_FIELD(fraction_of_limit), .table = TABLE_MAIN, .heading = "reached %", .digits = 1, .scale = 100},
    {REAL_FIELD(ttft_mean_ms), .table = TABLE_MAIN, .heading = "first token ms", .digits = 1},
    {REAL_FIELD(ttft_p99_ms), .table = TABLE_MAIN, .heading = "p99 ms", .digits = 1},
    {REAL_FIELD(inter_token_ms), .table = TABLE_MAIN, .heading = "inter-token ms", .digits = 2},
    {INT_FIELD(steps)},
    {INT_FIELD(rows)},
    {INT_FIELD(preemptions)},
    {INT_FIELD(drafted)},
    {INT_FIELD(accepted)},
    {REAL_FIELD(rows_per_step), .table = TABLE_MAIN, .heading = "rows/step", .digits = 1},
    {REAL_FIELD(step_ms), .table = TABLE_BOTH, .heading = "step ms", .digits = 2},
    {REAL_FIELD(context_mean), .table = TABLE_MAIN, .heading = "context", .digits = 0},
    {PHASE_FIELD("qkv_ms", PHASE_QKV), .heading = "qkv", .digits = 3},
    {PHASE_FIELD("attention_ms", PHASE_ATTENTION), .heading = "attention", .digits = 3},
    {PHASE_FIELD("output_ms", PHASE_OUTPUT), .heading = "output", .digits = 3},
    {PHASE_FIELD("ffn_ms", PHASE_FFN), .heading = "ffn", .digits = 3},
    {PHASE_FIELD("head_ms", PHASE_HEAD), .heading = "head", .digits = 3},
    {REAL_FIELD(sampling_ms), .table = TABLE_PHASES, .heading = "sampling", .digits = 3},
    {PHASE_FIELD("other_ms", PHASE_OTHER), .heading = "other", .digits = 3},
    {REAL_FIELD(macs)},
    {REAL_FIELD(bytes)},
    {.name = "limit_macs_per_s",
     .offset = offsetof(BenchResult, limits.macs),
     .table = TABLE_MAIN,
     .heading = "GMAC/s",
     .scale = 1e-9},
    {.name = "limit_bytes_per_s",
     .offset = offsetof(BenchResult, limits.reading),
     .table = TABLE_MAIN,
     .heading = "GB/s",
     .digits = 1,
     .scale = 1e-9},
    {REAL_FIELD(mac_limit_tokens_per_s)},
    {REAL_FIELD(read_limit_tokens_per_s)},
};
enum { N_FIELDS = sizeof fields / sizeof fields[0] };

static int64_t int_value(const Field *f, const BenchResult *r) {
    return *(const int64_t *)((const char *)r + f->offset);
}

static double real_value(const Field *f, const BenchResult *r) {
    return *(const double *)((const char *)r + f->offset);
}

static const char *limited_by(const BenchResult *r) {
    return r->mac_limit_tokens_per_s <= r->read_limit_tokens_per_s ? "arithmetic" : "reading";
}

// ---- people ----

enum { CELL = 32 };

static void format_cell(const Field *f, const BenchResult *r, char out[CELL]) {
    if (f->is_int)
        snprintf(out, CELL, "%lld", (long long)int_value(f, r));
    else
        snprintf(out, CELL, "%.*f", f->digits, real_value(f, r) * (f->scale != 0 ? f->scale : 1));
}

static int column_width(const BenchReport *report, const Field *f) {
    size_t width = strlen(f->heading);
    for (int i = 0; i < report->n_runs; i++) {
        char cell[CELL];
        format_cell(f, &report->runs[i], cell);
        if (strlen(cell) > width) width = strlen(cell);
    }
    return (int)width + 2;
}

// One line of a table: a run's, or (NULL) the headings.
static void print_line(const BenchReport *report, FieldTable table, const BenchResult *run, FILE *out) {
    for (const Field *f = fields; f < fields + N_FIELDS; f++) {
        char cell[CELL];
        if (f->table != table && f->table != TABLE_BOTH) continue;
        if (run) format_cell(f, run, cell);
        fprintf(out, "%*s", column_width(report, f), run ? cell : f->heading);
    }
    if (table == TABLE_MAIN) fprintf(out, "  %s", run ? limited_by(run) : "limited by");
    fputc('\n', out);
}

static void print_rows(const BenchReport *report, FieldTable table, FILE *out) {
    print_line(report, table, NULL, out);
    for (int i = 0; i < report->n_runs; i++) print_line(report, table, &report->runs[i], out);
}

static void print_head(const BenchReport *r, FILE *out) {
    const ModelInfo *m = r->model;
    const SamplingParams *s = &r->sampling;
    fprintf(out,
            "model: %s, %s, %.1f MiB of packed weights; multiply-adds: %.1f M a row, %.1f M for its logits\n",
            m->name, m->quantization, (double)m->weight_bytes / (1 << 20), (double)m->macs_per_row * 1e-6,
            (double)m->macs_per_logit * 1e-6);
    fprintf(out,
            "machine: %d compute threads, kernels %s; limits: %s multiply-adds by %s, reading from memory\n",
            r->n_threads, cpu_rung_name(r->rung), r->kind == LIMIT_INT8 ? "int8" : "float",
            cpu_rung_name(r->limit_rung));
    fprintf(
        out,
        "requests: %lld prompt tokens, %lld generated, temperature %g, top_p %g, top_k %d, repetition penalty %g\n",
        (long long)r->runs[0].prompt_tokens, (long long)r->runs[0].output_tokens, (double)s->temperature,
        (double)s->top_p, s->top_k, (double)s->repetition_penalty);
}

void bench_print_table(const BenchReport *r, FILE *out) {
    const BenchResult *p = &r->prompt;
    print_head(r, out);
    if (r->has_prompt)
        fprintf(out, "\none prompt of %lld tokens: %.1f tokens/s, %.1f %% of what %s allows (%.1f)\n",
                (long long)p->prompt_tokens, p->tokens_per_s, p->fraction_of_limit * 100, limited_by(p),
                p->limit_tokens_per_s);
    fputc('\n', out);
    print_rows(r, TABLE_MAIN, out);
    fputs("\nmilliseconds of a step:\n", out);
    print_rows(r, TABLE_PHASES, out);
}

// ---- programs ----

void bench_print_csv(const BenchReport *r, FILE *out) {
    for (const Field *f = fields; f < fields + N_FIELDS; f++) fprintf(out, "%s,", f->name);
    fputs("limited_by\n", out);
    for (const BenchResult *run = r->runs; run < r->runs + r->n_runs; run++) {
        for (const Field *f = fields; f < fields + N_FIELDS; f++) {
            if (f->is_int)
                fprintf(out, "%lld,", (long long)int_value(f, run));
            else
                fprintf(out, "%.9g,", real_value(f, run));
        }
        fprintf(out, "%s\n", limited_by(run));
    }
}

static json_t *result_json(const BenchResult *r) {
    json_t *o = json_object();
    for (const Field *f = fields; f < fields + N_FIELDS; f++)
        json_object_set_new(o, f->name,
                            f->is_int ? json_integer(int_value(f, r)) : json_real(real_value(f, r)));
    json_object_set_new(o, "limited_by", json_string(limited_by(r)));
    return o;
}

static json_t *model_json(const BenchReport *b) {
    const ModelInfo *m = b->model;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "name", m->name, "quantization", m->quantization,
                     "weight_bytes", (json_int_t)m->weight_bytes, "kv_bytes_per_token",
                     (json_int_t)b->kv_bytes_per_token, "macs_per_row", (json_int_t)m->macs_per_row,
                     "macs_per_logit", (json_int_t)m->macs_per_logit);
}

// The number that was meant: a float holds 0.7 as 0.699999988.
static double tidy(float x) {
    return round((double)x * 1e6) / 1e6;
}

static json_t *sampling_json(const SamplingParams *s) {
    return json_pack("{s:f, s:f, s:f, s:i, s:f}", "temperature", tidy(s->temperature), "top_p",
                     tidy(s->top_p), "min_p", tidy(s->min_p), "top_k", s->top_k, "repetition_penalty",
                     tidy(s->repetition_penalty));
}

bool bench_print_json(const BenchReport *r, FILE *out) {
    json_t *runs = json_array();
    for (int i = 0; i < r->n_runs; i++) json_array_append_new(runs, result_json(&r->runs[i]));
    json_t *doc =
        json_pack("{s:o, s:i, s:s, s:s, s:s, s:o, s:o, s:o}", "model", model_json(r), "threads", r->n_threads,
                  "cpu", cpu_rung_name(r->rung), "limit_cpu", cpu_rung_name(r->limit_rung), "limit_kind",
                  r->kind == LIMIT_INT8 ? "int8" : "float", "sampling", sampling_json(&r->sampling), "prompt",
                  r->has_prompt ? result_json(&r->prompt) : json_null(), "runs", runs);
    bool ok = doc && json_dumpf(doc, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0;
    fputc('\n', out);
    json_decref(doc);
    return ok;
}
