// Ollama's /api/embed, and /api/embeddings, its older form for one text.
#include "server/api_embeddings.h"
#include "server/api_ollama.h"

// ---- answers

// Of all inputs together, in nanoseconds.
static int64_t duration_of(const Generation *g) {
    int64_t most = 0;
    for (int32_t i = 0; i < g->n_choices; i++) {
        int64_t took = g->choices[i]->end_ns - g->choices[i]->start_ns;
        most = took > most ? took : most;
    }
    return most;
}

static json_t *whole(const Generation *g) {
    json_t *list = json_array();
    for (int32_t i = 0; i < g->n_choices; i++)
        if (json_array_append_new(list, embedding_numbers(g, g->choices[i])) != 0) {
            json_decref(list);
            return NULL; // no memory
        }
    return json_pack("{s:s, s:o, s:I, s:i, s:I}", "model", g->model->served.model_id, "embeddings", list,
                     "total_duration", (json_int_t)duration_of(g), "load_duration", 0, "prompt_eval_count",
                     (json_int_t)generation_usage(g).n_prompt);
}

static json_t *whole_of_one(const Generation *g) {
    return json_pack("{s:o}", "embedding", embedding_numbers(g, g->choices[0]));
}

// ---- requests

// What is surely beyond the context need not be encoded. A new reference.
static json_t *shortened(const Served *served, json_t *text) {
    Str s = json_str(text);
    size_t most = prompt_most_bytes(served->prompts, served->context);
    if (!json_is_string(text) || s.len <= most) return json_incref(text);
    while (most > 0 && ((unsigned char)s.ptr[most] & 0xC0) == 0x80) most--;
    return json_stringn(s.ptr, most);
}

static json_t *shortened_texts(const Served *served, json_t *texts) {
    json_t *text, *out;
    size_t i;
    if (!json_is_array(texts)) return shortened(served, texts);
    out = json_array();
    json_array_foreach(texts, i, text) json_array_append_new(out, shortened(served, text));
    return out;
}

// The beginning of it, and the end token where the model has one.
static void cut(const Served *served, TokenList *prompt) {
    size_t most = (size_t)served->context;
    if (prompt->n <= most) return;
    int32_t last = prompt->ids[prompt->n - 1];
    if (last == tokenizer_eos(served->service.tokenizer)) prompt->ids[most - 1] = last;
    prompt->n = most;
}

static bool read_texts(const Served *served, const json_t *body, const char *field, GenPlan *plan,
                       ApiError *e) {
    Fields f = fields_of(body, e);
    bool truncate = true;
    fields_bool(&f, "truncate", &truncate);
    json_t *short_body = json_copy((json_t *)body);
    if (truncate)
        json_object_set_new(short_body, field, shortened_texts(served, json_object_get(body, field)));
    f.object = short_body;
    bool ok = embeddings_read(served, &f, field, plan);
    json_decref(short_body);
    for (size_t i = 0; ok && truncate && i < plan->n_prompts; i++) cut(served, &plan->prompts[i]);
    return ok;
}

static bool is_empty(const json_t *texts) {
    return !texts || json_is_null(texts) || (json_is_string(texts) && json_string_length(texts) == 0) ||
           (json_is_array(texts) && json_array_size(texts) == 0);
}

// Without a text clients mean: load the model. By now it is.
static bool read_embed(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    if (!is_empty(json_object_get(body, "input"))) return read_texts(served, body, "input", plan, e);
    plan->reply = json_pack("{s:s, s:[]}", "model", served->model_id, "embeddings");
    return plan->reply || api_error_set(e, 503, NULL, NULL, "out of memory");
}

static bool read_embeddings(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    const json_t *prompt = json_object_get(body, "prompt");
    if (!is_empty(prompt) && !json_is_string(prompt))
        return api_error_set(e, 400, NULL, "prompt", "prompt must be a string, not %s", json_kind(prompt));
    if (!is_empty(prompt)) return read_texts(served, body, "prompt", plan, e);
    plan->reply = json_pack("{s:[]}", "embedding");
    return plan->reply || api_error_set(e, 503, NULL, NULL, "out of memory");
}

void api_ollama_embed(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {
        .errors = DIALECT_OLLAMA, .id_prefix = "embd-", .read = read_embed, .whole = whole};
    (void)tail;
    generation_handle(app, x, &dialect);
}

void api_ollama_embeddings(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {
        .errors = DIALECT_OLLAMA, .id_prefix = "embd-", .read = read_embeddings, .whole = whole_of_one};
    (void)tail;
    generation_handle(app, x, &dialect);
}
