#include "server/api_native.h"

#include "base/buf.h"
#include "base/clock.h"
#include "server/api_constraint.h"
#include "server/api_gen.h"
#include "server/api_stream.h"

// ---- answers

static double per_second(int32_t n, int64_t ns) {
    return ns > 0 ? (double)n / clock_seconds(ns) : 0;
}

static json_t *whole(const Generation *g) {
    const Request *r = g->choices[0];
    int64_t took = r->end_ns - r->start_ns;
    return api_data_json(json_pack("{s:s, s:s%, s:f, s:f, s:i, s:i, s:i, s:s}", "id", g->id, "text",
                                   buf_str(&r->text).ptr, r->text.len, "response_time", clock_seconds(took),
                                   "tokens_per_second", per_second(r->n_generated, took), "generated_tokens",
                                   (int)r->n_generated, "max_tokens", (int)r->max_tokens, "prompt_tokens",
                                   (int)r->n_prompt, "finish_reason", metrics_outcome_word(r->outcome)));
}

static void delta(Generation *g, Request *choice, Str text) {
    (void)choice;
    if (text.len == 0) return;
    stream_event(g, json_pack("{s:s, s:s%, s:b}", "id", g->id, "token", text.ptr, text.len, "done", 0));
}

static void end(Generation *g) {
    const Request *r = g->choices[0];
    json_t *last = json_pack("{s:s, s:s, s:b, s:i, s:i, s:s}", "id", g->id, "token", "", "done", 1,
                             "generated_tokens", (int)r->n_generated, "prompt_tokens", (int)r->n_prompt,
                             "finish_reason", metrics_outcome_word(r->outcome));
    if (stream_event(g, last)) stream_end(g, false);
}

static void fail(Generation *g, const ApiError *e) {
    if (stream_event(g, json_pack("{s:s, s:s, s:b}", "id", g->id, "error", e->message, "done", 1)))
        stream_end(g, true);
}

// ---- requests

static bool read_prompt(const Served *served, Fields *f, TokenList *prompt) {
    Str text = {0};
    Err err = {0};
    fields_str(f, "prompt", &text);
    if (!f->ok) return false;
    if (!text.ptr) return fields_fail(f, "prompt", "is missing");
    if (text.len == 0) return fields_fail(f, "prompt", "must not be empty");
    if (!prompt) return fields_fail(f, "prompt", "does not fit into memory");
    if (!served_admits_text(served, "prompt", text.len, f->error)) return false;
    if (prompt_encode_text(served->prompts, text, true, true, prompt, &err)) return true;
    return api_error_from(f->error, &err, "prompt");
}

static bool read(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    plan->params = gen_params_default(DIALECT_NATIVE, served->config);
    gen_params_read(&f, DIALECT_NATIVE, tokenizer_n_vocab(served->service.tokenizer), &plan->params);
    api_constraint_read(served, &f, &plan->params);
    return f.ok && read_prompt(served, &f, gen_plan_add_prompt(plan));
}

static bool read_stream(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    bool ok = read(served, body, plan, e);
    plan->params.stream = true;
    return ok;
}

void api_generate(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_NATIVE,
                                       .id_prefix = "",
                                       .read = read,
                                       .whole = whole,
                                       .delta = delta,
                                       .end = end,
                                       .fail = fail,
                                       .ping = stream_comment};
    (void)tail;
    generation_handle(app, x, &dialect);
}

void api_generate_stream(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_NATIVE,
                                       .id_prefix = "",
                                       .read = read_stream,
                                       .whole = whole,
                                       .delta = delta,
                                       .end = end,
                                       .fail = fail,
                                       .ping = stream_comment};
    (void)tail;
    generation_handle(app, x, &dialect);
}

// ---- /encode

typedef struct EncodeJob {
    Job job;
    Buf answer;
} EncodeJob;

// Written where it is computed: hundreds of thousands of numbers are too long a work for the loop.
static void put_tokens(const TokenList *tokens, Buf *out) {
    buf_puts(out, "{\"success\":true,\"data\":{\"tokens\":[");
    for (size_t i = 0; i < tokens->n; i++) buf_printf(out, i ? ",%d" : "%d", (int)tokens->ids[i]);
    buf_printf(out, "],\"length\":%zu}}", tokens->n);
}

// The tokens that /generate would compute for the same text, unless the two extensions say not so; a
// text that it would refuse for its bytes is refused here too.
static bool encode(const Served *served, const json_t *body, TokenList *tokens, ApiError *e) {
    Err err = {0};
    Str text = {0};
    bool special = true, bos = true;
    Fields f = fields_of(body, e);
    fields_str(&f, "text", &text);
    fields_bool(&f, "parse_special", &special);
    fields_bool(&f, "add_special", &bos);
    if (f.ok && !text.ptr) fields_fail(&f, "text", "is missing");
    if (!f.ok || !served_admits_text(served, "text", text.len, e)) return false;
    return prompt_encode_text(served->prompts, text, special, bos, tokens, &err) ||
           api_error_from(e, &err, "text");
}

static void encode_run(Job *job) {
    TokenList tokens = {0};
    if (encode(job->served, job->json, &tokens, &job->error))
        put_tokens(&tokens, &((EncodeJob *)job)->answer);
    token_list_free(&tokens);
}

static void encode_done(Job *job) {
    const Buf *answer = &((EncodeJob *)job)->answer;
    if (answer->failed)
        api_no_memory_reply(job->x, DIALECT_NATIVE);
    else
        http_reply(job->x, 200, "application/json", buf_str(answer));
}

static void encode_clear(Job *job) {
    buf_free(&((EncodeJob *)job)->answer);
}

void api_encode(App *app, HttpExchange *x, Str tail) {
    static const JobKind kind = {sizeof(EncodeJob), encode_run, encode_done, encode_clear};
    (void)tail;
    Job *job = preparer_new_job(app, x, &kind, DIALECT_NATIVE);
    if (job) preparer_start(job);
}
