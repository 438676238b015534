#include "server/api_native.h"

#include "base/clock.h"
#include "server/api_gen.h"
#include "server/api_stream.h"

// ---- answers

static double per_second(int32_t n, int64_t ns) {
    return ns > 0 ? (double)n / clock_seconds(ns) : 0;
}

static void whole_end(Request *r) {
    int64_t took = r->end_ns - r->start_ns;
    json_t *data = json_pack("{s:s, s:s%, s:f, s:f, s:i, s:i, s:i, s:s}", "id", r->id, "text",
                             buf_str(&r->text).ptr, r->text.len, "response_time", clock_seconds(took),
                             "tokens_per_second", per_second(r->n_generated, took), "generated_tokens",
                             (int)r->n_generated, "max_tokens", (int)r->max_tokens, "prompt_tokens",
                             (int)r->n_prompt, "finish_reason", metrics_outcome_word(r->outcome));
    HttpExchange *x = r->x;
    r->x = NULL;
    api_reply_data(x, data);
}

static bool send_text(Request *r) {
    if (r->text.len == 0) return true;
    bool ok = stream_event(
        r, json_pack("{s:s, s:s%, s:b}", "id", r->id, "token", r->text.ptr, r->text.len, "done", 0));
    buf_clear(&r->text);
    return ok;
}

static void stream_token(Request *r) {
    send_text(r);
}

static void stream_finish(Request *r) {
    if (!send_text(r)) return;
    json_t *last = json_pack("{s:s, s:s, s:b, s:i, s:i, s:s}", "id", r->id, "token", "", "done", 1,
                             "generated_tokens", (int)r->n_generated, "prompt_tokens", (int)r->n_prompt,
                             "finish_reason", metrics_outcome_word(r->outcome));
    if (stream_event(r, last)) stream_end(r, false);
}

static void answer_failure(Request *r, const ApiError *e) {
    if (!r->x) return;
    if (r->started) {
        if (stream_event(r, json_pack("{s:s, s:s, s:b}", "id", r->id, "error", e->message, "done", 1)))
            stream_end(r, true);
        return;
    }
    HttpExchange *x = r->x;
    r->x = NULL;
    api_error_reply(x, DIALECT_NATIVE, e);
}

static const RequestSink whole_sink = {NULL, whole_end, answer_failure};
static const RequestSink stream_sink = {stream_token, stream_finish, answer_failure};

// ---- requests

static bool read_prompt(App *app, Fields *f, TokenList *prompt) {
    Str text = {0};
    Err err = {0};
    fields_str(f, "prompt", &text);
    if (!f->ok) return false;
    if (!text.ptr) return fields_fail(f, "prompt", "is missing");
    if (text.len == 0) return fields_fail(f, "prompt", "must not be empty");
    if (!app_admits_text(app, "prompt", text.len, f->error)) return false;
    if (prompt_encode_text(app->prompts, text, true, true, prompt, &err)) return true;
    return api_error_from(f->error, &err, "prompt");
}

static bool start(App *app, HttpExchange *x, json_t *body, bool stream, ApiError *e) {
    Fields f = fields_of(body, e);
    GenParams params = gen_params_default(DIALECT_NATIVE, app->config);
    TokenList prompt = {0};
    gen_params_read(&f, DIALECT_NATIVE, tokenizer_n_vocab(app->service.tokenizer), &params);
    if (stream) params.stream = true;
    bool ok = f.ok && read_prompt(app, &f, &prompt);
    if (ok) {
        const RequestSink *sink = params.stream ? &stream_sink : &whole_sink;
        ok = request_start(app, x, sink, NULL, "", &params, prompt.ids, prompt.n, e) != NULL;
    }
    token_list_free(&prompt);
    gen_params_free(&params);
    return ok;
}

static void generate(App *app, HttpExchange *x, bool stream) {
    ApiError e = {0};
    json_t *body = parse_body(http_body(x), &e);
    if (!body || !start(app, x, body, stream, &e)) api_error_reply(x, DIALECT_NATIVE, &e);
    json_decref(body);
}

void api_generate(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    generate(app, x, false);
}

void api_generate_stream(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    generate(app, x, true);
}

static json_t *tokens_json(const TokenList *tokens) {
    json_t *ids = json_array();
    for (size_t i = 0; i < tokens->n; i++) json_array_append_new(ids, json_integer(tokens->ids[i]));
    return json_pack("{s:o, s:I}", "tokens", ids, "length", (json_int_t)tokens->n);
}

// The tokens that /generate would compute for the same text, unless the two extensions say not so; a
// text that it would refuse for its bytes is refused here too.
static bool encode(App *app, json_t *body, TokenList *tokens, ApiError *e) {
    Err err = {0};
    Str text = {0};
    bool special = true, bos = true;
    Fields f = fields_of(body, e);
    fields_str(&f, "text", &text);
    fields_bool(&f, "parse_special", &special);
    fields_bool(&f, "add_special", &bos);
    if (f.ok && !text.ptr) fields_fail(&f, "text", "is missing");
    if (!f.ok || !app_admits_text(app, "text", text.len, e)) return false;
    return prompt_encode_text(app->prompts, text, special, bos, tokens, &err) ||
           api_error_from(e, &err, "text");
}

void api_encode(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    ApiError e = {0};
    TokenList tokens = {0};
    json_t *body = parse_body(http_body(x), &e);
    if (body && encode(app, body, &tokens, &e))
        api_reply_data(x, tokens_json(&tokens));
    else
        api_error_reply(x, DIALECT_NATIVE, &e);
    token_list_free(&tokens);
    json_decref(body);
}
