#include "server/api_openai.h"

#include "server/api_constraint.h"
#include "server/api_stream.h"

// ---- answers

static json_t *usage_json(const Generation *g, const OpenAiKind *kind) {
    GenUsage u = generation_usage(g);
    json_t *usage =
        json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)u.n_prompt, "completion_tokens",
                  (json_int_t)u.n_generated, "total_tokens", (json_int_t)(u.n_prompt + u.n_generated),
                  "prompt_tokens_details", "cached_tokens", (json_int_t)u.n_cached);
    if (kind->n_reasoning)
        json_object_set_new(usage, "completion_tokens_details",
                            json_pack("{s:I}", "reasoning_tokens", (json_int_t)kind->n_reasoning(g)));
    return usage;
}

static json_t *head_json(const Generation *g, const char *object) {
    return json_pack("{s:s, s:s, s:I, s:s}", "id", g->id, "object", object, "created", (json_int_t)g->created,
                     "model", g->model->served.model_id);
}

static json_t *logprobs_json(const Generation *g, const OpenAiKind *kind, Request *choice, OpenAiPart part) {
    return g->params.logprobs ? kind->logprobs(g, choice, part) : NULL;
}

// Takes the choice's own fields and its log-probabilities (NULL: none); adds what every choice has.
static json_t *choice_json(const Request *choice, json_t *own, json_t *logprobs, const char *finish) {
    json_t *json = json_pack("{s:i}", "index", (int)choice->index);
    json_object_update(json, own);
    json_decref(own);
    json_object_set_new(json, "logprobs", logprobs ? logprobs : json_null());
    json_object_set_new(json, "finish_reason", finish ? json_string(finish) : json_null());
    return json;
}

json_t *openai_whole(const Generation *g, const OpenAiKind *kind) {
    json_t *reply = head_json(g, kind->object), *choices = json_array();
    for (int32_t i = 0; i < g->n_choices; i++) {
        Request *choice = g->choices[i];
        OpenAiPart all = {.opening = true, .first = 0, .end = choice->log.n_shown};
        const char *finish = metrics_outcome_word(choice->outcome);
        json_t *own = kind->whole(g, choice, &finish);
        json_array_append_new(choices, choice_json(choice, own, logprobs_json(g, kind, choice, all), finish));
    }
    json_object_set_new(reply, "choices", choices);
    json_object_set_new(reply, "usage", usage_json(g, kind));
    return reply;
}

// usage: NULL: none of its own.
static bool send_chunk(Generation *g, const OpenAiKind *kind, json_t *choices, json_t *usage) {
    json_t *chunk = head_json(g, kind->chunk_object);
    json_object_set_new(chunk, "choices", choices);
    if (!usage && g->params.running_usage) usage = usage_json(g, kind);
    if (usage || g->params.include_usage) json_object_set_new(chunk, "usage", usage ? usage : json_null());
    return stream_event(g, chunk);
}

static json_t *untold_logprobs(const Generation *g, const OpenAiKind *kind, Request *choice) {
    if (!choice->opened) return logprobs_json(g, kind, choice, (OpenAiPart){true, 0, 0});
    OpenAiPart part = {false, choice->log.n_told, choice->log.n_shown};
    choice->log.n_told = part.end;
    return part.first < part.end ? logprobs_json(g, kind, choice, part) : NULL;
}

bool openai_send(Generation *g, const OpenAiKind *kind, Request *choice, json_t *own, const char *finish) {
    json_t *logprobs = untold_logprobs(g, kind, choice);
    return send_chunk(g, kind, json_pack("[o]", choice_json(choice, own, logprobs, finish)), NULL);
}

void openai_end(Generation *g, const OpenAiKind *kind) {
    if (g->params.include_usage && !send_chunk(g, kind, json_array(), usage_json(g, kind))) return;
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
    Fields own = fields_of(options, f->error);
    fields_bool(&own, "include_usage", &p->include_usage);
    fields_bool(&own, "continuous_usage_stats", &p->running_usage);
    f->ok = f->ok && own.ok;
}

void openai_read_common(const Served *served, Fields *f, GenParams *p) {
    int64_t n = 1;
    fields_int(f, "n", 1, OPENAI_MAX_N, &n);
    p->n = (int32_t)n;
    read_stream_options(f, p);
    gen_params_read(f, DIALECT_OPENAI, tokenizer_n_vocab(served->service.tokenizer), p);
    api_constraint_read(served, f, p);
}
