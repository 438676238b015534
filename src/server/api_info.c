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

void api_model_info(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    const ModelInfo *m = &app->served.model;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", app->served.service.model_path ? app->served.service.model_path : "");
    make_printable(path);
    json_t *data = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:f, s:{s:b, s:s}, s:b}",
        "model_path", path, "model_name", m->name, "model_family", m->arch, "model_type", m->arch,
        "vocab_size", (int)m->n_vocab, "tokenizer_vocab_size",
        (int)tokenizer_n_vocab(app->served.service.tokenizer), "hidden_size", (int)m->n_embd, "num_layers",
        (int)m->n_layers, "num_attention_heads", (int)m->n_heads, "num_key_value_heads", (int)m->n_kv_heads,
        "max_sequence_length", (int)engine_max_sequence(app->served.service.engine), "intermediate_size",
        (int)m->n_ff, "rope_theta", m->rope_theta, "rms_norm_eps", m->rms_norm_eps, "quantization", "enabled",
        is_quantized(m->quantization), "type", m->quantization, "use_kv_cache", 1);
    api_reply_data(x, data);
}

static json_t *model_json(const App *app) {
    return json_pack("{s:s, s:s, s:I, s:s, s:i}", "id", app->served.model_id, "object", "model", "created",
                     (json_int_t)app->started, "owned_by", "cllm", "max_model_len",
                     (int)engine_max_sequence(app->served.service.engine));
}

void api_models(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    api_reply_json(x, DIALECT_OPENAI, 200,
                   json_pack("{s:s, s:[o]}", "object", "list", "data", model_json(app)));
}

void api_model(App *app, HttpExchange *x, Str tail) {
    ApiError e;
    if (served_knows_model(&app->served, tail)) {
        api_reply_json(x, DIALECT_OPENAI, 200, model_json(app));
        return;
    }
    api_error_set(&e, 404, "model_not_found", "model",
                  "the model \"%.*s\" is not served here; there is \"%s\"",
                  tail.len < 100 ? (int)tail.len : 100, tail.ptr, app->served.model_id);
    api_error_reply(x, DIALECT_OPENAI, &e);
}
