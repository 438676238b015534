#include "server/api_openai.h"

#include "server/api_constraint.h"
#include "server/api_stream.h"
#include "server/api_texts.h"

// ---- answers

static json_t *usage_json(const Generation *g) {
    GenUsage u = generation_usage(g);
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)u.n_prompt, "completion_tokens",
                     (json_int_t)u.n_generated, "total_tokens", (json_int_t)(u.n_prompt + u.n_generated),
                     "prompt_tokens_details", "cached_tokens", (json_int_t)u.n_cached);
}

static json_t *head_json(const Generation *g, const char *object) {
    return json_pack("{s:s, s:s, s:I, s:s}", "id", g->id, "object", object, "created", (json_int_t)g->created,
                     "model", g->app->served.model_id);
}

// Takes the choice's own fields; adds what every choice has.
static json_t *choice_json(const Request *choice, json_t *own, const char *finish) {
    json_t *json = json_pack("{s:i}", "index", (int)choice->index);
    json_object_update(json, own);
    json_decref(own);
    json_object_set_new(json, "logprobs", json_null());
    json_object_set_new(json, "finish_reason", finish ? json_string(finish) : json_null());
    return json;
}

json_t *openai_whole(const Generation *g, const OpenAiKind *kind) {
    json_t *reply = head_json(g, kind->object), *choices = json_array();
    for (int32_t i = 0; i < g->n_choices; i++) {
        const Request *choice = g->choices[i];
        const char *finish = metrics_outcome_word(choice->outcome);
        json_t *own = kind->whole(g, choice, &finish);
        json_array_append_new(choices, choice_json(choice, own, finish));
    }
    json_object_set_new(reply, "choices", choices);
    json_object_set_new(reply, "usage", usage_json(g));
    return reply;
}

static bool send_chunk(Generation *g, const OpenAiKind *kind, json_t *choices, json_t *usage) {
    json_t *chunk = head_json(g, kind->chunk_object);
    json_object_set_new(chunk, "choices", choices);
    if (g->params.include_usage) json_object_set_new(chunk, "usage", usage ? usage : json_null());
    return stream_event(g, chunk);
}

bool openai_send(Generation *g, const OpenAiKind *kind, const Request *choice, json_t *own,
                 const char *finish) {
    return send_chunk(g, kind, json_pack("[o]", choice_json(choice, own, finish)), NULL);
}

void openai_end(Generation *g, const OpenAiKind *kind) {
    if (g->params.include_usage && !send_chunk(g, kind, json_array(), usage_json(g))) return;
    if (stream_word(g, "[DONE]")) stream_end(g, false);
}

void openai_fail(Generation *g, const ApiError *e) {
    if (stream_event(g, api_error_json(e, DIALECT_OPENAI))) stream_end(g, true);
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

void openai_read_model(const Served *served, Fields *f) {
    Str model = {0};
    fields_str(f, "model", &model);
    if (f->ok && model.ptr && !served_knows_model(served, model)) {
        f->ok = api_error_set(f->error, 404, "model_not_found", "model",
                              "the model \"%.*s\" is not served here; there is \"%s\"",
                              model.len < 100 ? (int)model.len : 100, model.ptr, served->model_id);
    }
}

void openai_read_common(const Served *served, Fields *f, GenParams *p) {
    int64_t n = 1;
    openai_read_model(served, f);
    fields_int(f, "n", 1, OPENAI_MAX_N, &n);
    p->n = (int32_t)n;
    read_stream_options(f, p);
    gen_params_read(f, DIALECT_OPENAI, tokenizer_n_vocab(served->service.tokenizer), p);
    api_constraint_read(served, f, p);
}

// ---- /v1/completions

static json_t *text_choice(Str text) {
    return json_pack("{s:s%}", "text", text.ptr, text.len);
}

static json_t *whole_choice(const Generation *g, const Request *choice, const char **finish) {
    (void)g, (void)finish;
    return text_choice(buf_str(&choice->text));
}

static const OpenAiKind completion_kind = {"text_completion", "text_completion", whole_choice};

static json_t *whole(const Generation *g) {
    return openai_whole(g, &completion_kind);
}

static void delta(Generation *g, Request *choice, Str text) {
    if (text.len && !openai_send(g, &completion_kind, choice, text_choice(text), NULL)) return;
    if (choice->outcome == OUTCOME_NONE) return;
    openai_send(g, &completion_kind, choice, text_choice((Str){"", 0}),
                metrics_outcome_word(choice->outcome));
}

static void end(Generation *g) {
    openai_end(g, &completion_kind);
}

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

bool openai_read_completion(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    plan->params = gen_params_default(DIALECT_OPENAI, served->config);
    openai_read_common(served, &f, &plan->params);
    openai_refuse(&f, completion_unsupported,
                  sizeof completion_unsupported / sizeof completion_unsupported[0]);
    return f.ok && api_read_texts(served, &f, "prompt", api_encode_prompt, (size_t)served->max_live, plan);
}

void api_completions(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_OPENAI,
                                       .id_prefix = "cmpl-",
                                       .read = openai_read_completion,
                                       .whole = whole,
                                       .delta = delta,
                                       .end = end,
                                       .fail = openai_fail};
    (void)tail;
    generation_handle(app, x, &dialect);
}
