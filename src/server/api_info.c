#include "server/api_info.h"

#include "base/printable.h"

#include <limits.h>
#include <stdio.h>

void api_health(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    static const char *const words[] = {"loading", "healthy", "draining"};
    bool ready = app->state == APP_READY;
    json_t *data = json_pack("{s:s, s:b}", "status", words[app->state], "model_loaded", app->attached);
    if (ready) {
        api_reply_data(x, data);
        return;
    }
    api_reply_json(x, DIALECT_NATIVE, 503,
                   json_pack("{s:b, s:s, s:o}", "success", 0, "error", words[app->state], "data", data));
}

static bool is_quantized(const char *type) {
    return strcmp(type, "F32") != 0 && strcmp(type, "F16") != 0 && strcmp(type, "BF16") != 0;
}

HostedModel *api_queried_model(App *app, HttpExchange *x, Dialect dialect) {
    Buf name = {0};
    ApiError e;
    HostedModel *m = NULL;
    http_query(x, "model", &name);
    if (name.failed)
        api_error_set(&e, 503, NULL, NULL, "out of memory");
    else
        m = models_pick(&app->models, buf_str(&name), &e);
    buf_free(&name);
    if (!m) api_error_reply(x, dialect, &e);
    return m;
}

// Of a model that has been loaded, also when it is not there any more.
static void add_shape(json_t *data, const ModelInfo *m) {
    json_object_update_new(
        data, json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:{s:b, s:s}, s:b}", "model_family",
                        m->arch, "model_type", m->arch, "vocab_size", (int)m->n_vocab, "hidden_size",
                        (int)m->n_embd, "num_layers", (int)m->n_layers, "num_attention_heads", (int)m->n_heads,
                        "num_key_value_heads", (int)m->n_kv_heads, "intermediate_size", (int)m->n_ff,
                        "rope_theta", m->rope_theta, "rms_norm_eps", m->rms_norm_eps, "quantization", "enabled",
                        is_quantized(m->quantization), "type", m->quantization, "use_kv_cache", 1));
}

static void add_limits(json_t *data, const Served *s) {
    json_object_update_new(data, json_pack("{s:i, s:i}", "tokenizer_vocab_size",
                                           (int)tokenizer_n_vocab(s->service.tokenizer),
                                           "max_sequence_length", (int)s->context));
}

void api_model_info(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    char path[PATH_MAX];
    const HostedModel *m = api_queried_model(app, x, DIALECT_NATIVE);
    if (!m) return;
    snprintf(path, sizeof path, "%s", m->spec->path ? m->spec->path : "");
    make_printable(path);
    const char *name = m->n_loads ? m->served.model.name : m->spec->name;
    json_t *data = json_pack("{s:s, s:s, s:s, s:s}", "id", m->served.model_id, "state", model_state_word(m),
                             "model_path", path, "model_name", name);
    if (m->n_loads) add_shape(data, &m->served.model);
    if (model_is_loaded(m)) add_limits(data, &m->served);
    api_reply_data(x, data);
}

// OpenAI's fields and Anthropic's side by side: none has two meanings, and either's clients read their own.
static json_t *model_json(const HostedModel *m) {
    const char *id = m->served.model_id;
    time_t started = m->app->started;
    json_t *model =
        json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:o}", "id", id, "object", "model", "created",
                  (json_int_t)started, "owned_by", "cllm", "state", model_state_word(m), "type", "model",
                  "display_name", id, "created_at", api_time_json(started));
    if (model_is_loaded(m)) {
        json_object_set_new(model, "max_model_len", json_integer(m->served.context));
        json_object_set_new(model, "max_input_tokens", json_integer(m->served.context));
    }
    return model;
}

void api_models(App *app, HttpExchange *x, Str tail) {
    const HostedModel *at = app->models.at;
    int32_t n = app->models.n;
    json_t *list = json_array();
    (void)tail;
    for (int32_t i = 0; i < n; i++) json_array_append_new(list, model_json(&at[i]));
    api_reply_json(x, DIALECT_OPENAI, 200,
                   json_pack("{s:s, s:o, s:b, s:s, s:s}", "object", "list", "data", list, "has_more", 0,
                             "first_id", at[0].served.model_id, "last_id", at[n - 1].served.model_id));
}

void api_model(App *app, HttpExchange *x, Str tail) {
    ApiError e;
    const HostedModel *m = models_pick(&app->models, tail, &e);
    if (m)
        api_reply_json(x, DIALECT_OPENAI, 200, model_json(m));
    else
        api_error_reply(x, DIALECT_OPENAI, &e);
}
