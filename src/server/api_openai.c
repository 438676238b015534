#include "server/api_openai.h"

#include "base/clock.h"
#include "server/api_stream.h"

// ---- answers

static json_t *usage_json(const Request *r) {
    return json_pack("{s:i, s:i, s:i, s:{s:i}}", "prompt_tokens", (int)r->n_prompt, "completion_tokens",
                     (int)r->n_generated, "total_tokens", (int)(r->n_prompt + r->n_generated),
                     "prompt_tokens_details", "cached_tokens", (int)r->n_cached);
}

static json_t *head_json(const Request *r, const char *object) {
    return json_pack("{s:s, s:s, s:I, s:s}", "id", r->id, "object", object, "created", (json_int_t)r->created,
                     "model", r->app->model_id);
}

// Takes the choice's own fields; adds what every choice has.
static json_t *choices_json(json_t *own, const char *finish) {
    json_t *choice = json_pack("{s:i}", "index", 0);
    json_object_update(choice, own);
    json_decref(own);
    json_object_set_new(choice, "logprobs", json_null());
    json_object_set_new(choice, "finish_reason", finish ? json_string(finish) : json_null());
    return json_pack("[o]", choice);
}

static bool send_chunk(Request *r, json_t *choices, json_t *usage) {
    const OpenAiKind *kind = r->user;
    json_t *chunk = head_json(r, kind->chunk_object);
    json_object_set_new(chunk, "choices", choices);
    if (r->include_usage) json_object_set_new(chunk, "usage", usage ? usage : json_null());
    return stream_event(r, chunk);
}

static bool send_piece(Request *r, Str text, const char *finish) {
    const OpenAiKind *kind = r->user;
    return send_chunk(r, choices_json(kind->piece(text), finish), NULL);
}

// A chat stream opens with a chunk of its own, which carries the role.
static bool send_text(Request *r) {
    const OpenAiKind *kind = r->user;
    if (!r->started && kind->opening && !send_chunk(r, choices_json(kind->opening(), NULL), NULL))
        return false;
    if (r->text.len == 0) return true;
    bool ok = send_piece(r, buf_str(&r->text), NULL);
    buf_clear(&r->text);
    return ok;
}

static void stream_token(Request *r) {
    send_text(r);
}

static void stream_finish(Request *r) {
    if (!send_text(r)) return;
    if (!send_piece(r, (Str){"", 0}, metrics_outcome_word(r->outcome))) return;
    if (r->include_usage && !send_chunk(r, json_array(), usage_json(r))) return;
    if (stream_word(r, "[DONE]")) stream_end(r, false);
}

static void whole_end(Request *r) {
    const OpenAiKind *kind = r->user;
    json_t *reply = head_json(r, kind->object);
    json_t *choices = choices_json(kind->whole(buf_str(&r->text)), metrics_outcome_word(r->outcome));
    json_object_set_new(reply, "choices", choices);
    json_object_set_new(reply, "usage", usage_json(r));
    HttpExchange *x = r->x;
    r->x = NULL;
    api_reply_json(x, DIALECT_OPENAI, 200, reply);
}

static void answer_failure(Request *r, const ApiError *e) {
    if (!r->x) return;
    if (r->started) {
        if (stream_event(r, api_error_json(e, DIALECT_OPENAI))) stream_end(r, true);
        return;
    }
    HttpExchange *x = r->x;
    r->x = NULL;
    api_error_reply(x, DIALECT_OPENAI, e);
}

static const RequestSink whole_sink = {NULL, whole_end, answer_failure};
static const RequestSink stream_sink = {stream_token, stream_finish, answer_failure};

bool openai_start(App *app, HttpExchange *x, const OpenAiKind *kind, const GenParams *p,
                  const TokenList *prompt, ApiError *e) {
    const RequestSink *sink = p->stream ? &stream_sink : &whole_sink;
    return request_start(app, x, sink, (void *)kind, kind->id_prefix, p, prompt->ids, prompt->n, e) != NULL;
}

// ---- common fields

bool openai_is_empty(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_FALSE: return true;
    case JSON_STRING: return json_string_length(value) == 0;
    case JSON_INTEGER: return json_integer_value(value) == 0;
    case JSON_ARRAY: return json_array_size(value) == 0;
    case JSON_OBJECT: return json_object_size(value) == 0;
    default: return false;
    }
}

void openai_refuse(Fields *f, const Unsupported *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const json_t *value = fields_get(f, list[i].name);
        if (!value || (list[i].neutral && list[i].neutral(value))) continue;
        fields_fail(f, list[i].name, "is not supported by this server with this value");
    }
}

static bool is_text_format(const json_t *value) {
    const char *type = json_string_value(json_object_get(value, "type"));
    return type && strcmp(type, "text") == 0;
}

// Output constraints under the names that clients use: never generate unconstrained instead.
static const Unsupported constraints[] = {
    {"response_format", is_text_format}, {"grammar", openai_is_empty},
    {"json_schema", openai_is_empty},    {"guided_json", openai_is_empty},
    {"guided_regex", openai_is_empty},   {"guided_choice", openai_is_empty},
    {"guided_grammar", openai_is_empty}, {"structured_outputs", openai_is_empty},
};

static void read_stream_options(Fields *f, GenParams *p) {
    json_t *options = fields_get(f, "stream_options");
    if (!options) return;
    if (!json_is_object(options)) {
        fields_fail(f, "stream_options", "must be an object, not %s", json_kind(options));
        return;
    }
    json_t *usage = json_object_get(options, "include_usage");
    if (usage && !json_is_boolean(usage) && !json_is_null(usage))
        fields_fail(f, "stream_options", "has include_usage that must be true or false");
    p->include_usage = json_is_true(usage);
}

void openai_read_common(App *app, Fields *f, GenParams *p) {
    Str model = {0};
    int64_t n = 1;
    fields_str(f, "model", &model);
    if (f->ok && model.ptr && !app_knows_model(app, model)) {
        f->ok = api_error_set(f->error, 404, "model_not_found", "model",
                              "the model \"%.*s\" is not served here; there is \"%s\"",
                              model.len < 100 ? (int)model.len : 100, model.ptr, app->model_id);
    }
    fields_int(f, "n", 1, INT32_MAX, &n);
    if (n > 1) fields_fail(f, "n", "is %lld, but n > 1 is not supported", (long long)n);
    openai_refuse(f, constraints, sizeof constraints / sizeof constraints[0]);
    read_stream_options(f, p);
    gen_params_read(f, DIALECT_OPENAI, tokenizer_n_vocab(app->service.tokenizer), p);
}

// ---- /v1/completions

static json_t *text_choice(Str text) {
    return json_pack("{s:s%}", "text", text.ptr, text.len);
}

static const OpenAiKind completion_kind = {"cmpl-", "text_completion", "text_completion",
                                           NULL,    text_choice,       text_choice};

static bool is_one(const json_t *value) {
    return json_is_integer(value) && json_integer_value(value) == 1;
}

static bool is_false(const json_t *value) {
    return json_is_false(value);
}

static const Unsupported completion_unsupported[] = {
    {"best_of", is_one},    {"echo", is_false},        {"suffix", openai_is_empty},
    {"logprobs", is_false}, {"prompt_logprobs", NULL},
};

static bool read_token_ids(App *app, Fields *f, const json_t *list, TokenList *out) {
    int32_t n_vocab = tokenizer_n_vocab(app->service.tokenizer);
    const json_t *item;
    size_t i;
    json_array_foreach(list, i, item) {
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || id >= n_vocab)
            return fields_fail(f, "prompt",
                               "must have token ids between 0 and %d, but element %zu is not one",
                               (int)n_vocab - 1, i);
        if (!token_list_push(out, (int32_t)id)) return fields_fail(f, "prompt", "does not fit into memory");
    }
    return true;
}

static bool encode_prompt(App *app, Fields *f, Str text, TokenList *out) {
    Err err = {0};
    if (text.len == 0) return fields_fail(f, "prompt", "must not be empty");
    if (!app_admits_text(app, "prompt", text.len, f->error)) return false;
    return prompt_encode_text(app->prompts, text, true, true, out, &err) ||
           api_error_from(f->error, &err, "prompt");
}

// A string, token ids, or an array with one of either.
static bool read_prompt(App *app, Fields *f, TokenList *out) {
    json_t *prompt = fields_get(f, "prompt");
    if (!prompt) return fields_fail(f, "prompt", "is missing");
    const json_t *first = json_array_get(prompt, 0);
    if (json_is_array(prompt) && (json_is_string(first) || json_is_array(first))) {
        if (json_array_size(prompt) != 1)
            return fields_fail(f, "prompt", "may be one text only, not %zu", json_array_size(prompt));
        prompt = (json_t *)first;
    }
    if (json_is_string(prompt)) return encode_prompt(app, f, json_str(prompt), out);
    if (!json_is_array(prompt) || json_array_size(prompt) == 0)
        return fields_fail(f, "prompt", "must be a string or an array of token ids, not empty");
    return read_token_ids(app, f, prompt, out);
}

static bool complete(App *app, HttpExchange *x, const json_t *body, ApiError *e) {
    Fields f = fields_of(body, e);
    GenParams params = gen_params_default(DIALECT_OPENAI, app->config);
    TokenList prompt = {0};
    openai_read_common(app, &f, &params);
    openai_refuse(&f, completion_unsupported,
                  sizeof completion_unsupported / sizeof completion_unsupported[0]);
    bool ok =
        f.ok && read_prompt(app, &f, &prompt) && openai_start(app, x, &completion_kind, &params, &prompt, e);
    token_list_free(&prompt);
    gen_params_free(&params);
    return ok;
}

void api_completions(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    ApiError e = {0};
    json_t *body = parse_body(http_body(x), &e);
    if (!body || !complete(app, x, body, &e)) api_error_reply(x, DIALECT_OPENAI, &e);
    json_decref(body);
}
