#include "base/version.h"
#include "base/shortage.h"
#include "server/api_ollama.h"
#include "server/parse.h"

#include <openssl/sha.h>
#include <stdio.h>

// "134.5M"
static json_t *parameters_json(uint64_t n) {
    if (n >= 1000000000) return json_sprintf("%.1fB", (double)n * 1e-9);
    return json_sprintf("%.1fM", (double)n * 1e-6);
}

static json_t *details_json(const ModelInfo *m) {
    return json_pack("{s:s, s:s, s:s, s:[s], s:o, s:s}", "parent_model", "", "format", "gguf", "family",
                     m->arch, "families", m->arch, "parameter_size", parameters_json(m->n_params),
                     "quantization_level", m->quantization);
}

// Clients show its beginning to tell models apart. It is not the file's, which would have to be read for it,
// but that of what is known of the model.
static json_t *digest_json(const Served *served) {
    char what[320], hex[2 * SHA256_DIGEST_LENGTH + 1];
    unsigned char digest[SHA256_DIGEST_LENGTH] = {0};
    const ModelInfo *m = &served->model;
    snprintf(what, sizeof what, "%s %s %s %llu %zu", served->model_id, m->arch, m->quantization,
             (unsigned long long)m->n_params, m->weight_bytes);
    if (!SHA256((const unsigned char *)what, strlen(what), digest)) shortage_note();
    for (size_t i = 0; i < sizeof digest; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return json_string(hex);
}

static json_t *model_json(const HostedModel *m) {
    const Served *s = &m->served;
    return json_pack("{s:s, s:s, s:I, s:o, s:o}", "name", s->model_id, "model", s->model_id, "size",
                     (json_int_t)(m->n_loads ? s->model.weight_bytes : s->spec->bytes), "digest", digest_json(s), "details",
                     details_json(&s->model));
}

void api_ollama_tags(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    json_t *list = json_array();
    for (int32_t i = 0; i < app->models.n; i++) {
        json_t *model = model_json(&app->models.at[i]);
        json_object_set_new(model, "modified_at", api_time_json(app->started));
        json_array_append_new(list, model);
    }
    api_reply_json(x, DIALECT_OLLAMA, 200, json_pack("{s:o}", "models", list));
}

// When it is unloaded, if nobody wants it until then nor its memory.
static time_t expires(const HostedModel *m) {
    enum { YEAR = 365 * 24 * 3600 }; // never
    int64_t idle_ns = m->app->models.n > 1 ? m->app->config->model_idle_ns : 0;
    return time(NULL) + (idle_ns ? (time_t)(idle_ns / 1000000000) : YEAR);
}

void api_ollama_ps(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    json_t *list = json_array();
    for (int32_t i = 0; i < app->models.n; i++) {
        const HostedModel *m = &app->models.at[i];
        if (!model_is_loaded(m)) continue;
        json_t *model = model_json(m);
        json_object_set_new(model, "expires_at", api_time_json(expires(m)));
        json_object_set_new(model, "size_vram", json_integer(0));
        json_object_set_new(model, "context_length", json_integer(m->served.context));
        json_array_append_new(list, model);
    }
    api_reply_json(x, DIALECT_OLLAMA, 200, json_pack("{s:o}", "models", list));
}

void api_ollama_version(App *app, HttpExchange *x, Str tail) {
    (void)app, (void)tail;
    api_reply_json(x, DIALECT_OLLAMA, 200, json_pack("{s:s}", "version", CLLM_VERSION));
}

// ---- /api/show

static void add_number(json_t *info, const char *arch, const char *key, json_int_t value) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", arch, key);
    json_object_set_new(info, name, json_integer(value));
}

// As in the metadata of the file.
static json_t *model_info_json(const ModelInfo *m) {
    json_t *info = json_pack("{s:s, s:s, s:I}", "general.architecture", m->arch, "general.basename", m->name,
                             "general.parameter_count", (json_int_t)m->n_params);
    add_number(info, m->arch, "context_length", m->max_context);
    add_number(info, m->arch, "embedding_length", m->n_embd);
    add_number(info, m->arch, "block_count", m->n_layers);
    add_number(info, m->arch, "attention.head_count", m->n_heads);
    add_number(info, m->arch, "attention.head_count_kv", m->n_kv_heads);
    add_number(info, m->arch, "feed_forward_length", m->n_ff);
    return info;
}

static json_t *capabilities_json(const Served *s) {
    json_t *list = json_pack("[s, s]", "completion", "embedding");
    if (s->service.chat_template) json_array_append_new(list, json_string("tools"));
    if (s->style.reasoning) json_array_append_new(list, json_string("thinking"));
    return list;
}

static json_t *show_json(const HostedModel *m) {
    const Served *s = &m->served;
    Str source = s->service.chat_template ? chat_template_source(s->service.chat_template) : STR("");
    return json_pack("{s:s, s:s, s:s%, s:o, s:o, s:o, s:o}", "modelfile", "", "parameters", "", "template",
                     source.ptr, source.len, "details", details_json(&s->model), "model_info",
                     model_info_json(&s->model), "capabilities", capabilities_json(s), "modified_at",
                     api_time_json(m->app->started));
}

static void show_run(Job *job) {
    Fields f = fields_of(job->json, &job->error);
    Str name = {0};
    fields_str(&f, "model", &name);
    if (name.len == 0) fields_str(&f, "name", &name);
    if (f.ok && name.len == 0)
        api_error_set(&job->error, 400, NULL, "model", "model is missing");
}

static void show_done(Job *job) {
    api_reply_json(job->x, job->dialect, 200, show_json(job->model));
}

static void show_clear(Job *job) {
    (void)job;
}

void api_ollama_show(App *app, HttpExchange *x, Str tail) {
    static const JobKind kind = {sizeof(Job), show_run, show_done, show_clear};
    (void)tail;
    Job *job = preparer_new_job(app, x, &kind, DIALECT_OLLAMA);
    if (job) preparer_start(job);
}
