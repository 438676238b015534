// /v1/embeddings: vectors that stand for texts.
#include "server/api_embeddings.h"

#include "base/shortage.h"
#include "server/api_texts.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum { MAX_INPUTS = 2048 }; // as many as OpenAI takes

typedef struct EmbeddingState {
    bool base64;
} EmbeddingState;

// ---- answers

// The pooled hidden states at length 1, which also makes a sum the mean.
static float *normalised(const double *pooled, int32_t n) {
    float *out = malloc((size_t)n * sizeof *out);
    double square = 0;
    for (int32_t i = 0; i < n; i++) square += pooled[i] * pooled[i];
    double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (int32_t i = 0; out && i < n; i++) out[i] = (float)(pooled[i] * scale);
    return out;
}

static float *vector_of(const Generation *g, const Request *input, int32_t *n) {
    *n = engine_n_embd(g->model->served.service.engine);
    float *vector = normalised(input->pooled, *n);
    if (!vector) shortage_note();
    return vector;
}

json_t *embedding_numbers(const Generation *g, const Request *input) {
    int32_t n;
    float *vector = vector_of(g, input, &n);
    json_t *list = vector ? json_array() : NULL;
    for (int32_t i = 0; vector && i < n; i++) json_array_append_new(list, json_real((double)vector[i]));
    free(vector);
    return list;
}

// The bytes of the float32 numbers, little-endian as all CPUs that this runs on.
static json_t *base64_json(const Generation *g, const Request *input) {
    int32_t n;
    float *vector = vector_of(g, input, &n);
    size_t n_bytes = (size_t)n * sizeof *vector;
    unsigned char *text = malloc((n_bytes + 2) / 3 * 4 + 1);
    if (!text) shortage_note();
    json_t *json = NULL;
    if (text && vector) {
        int n_text = EVP_EncodeBlock(text, (const unsigned char *)vector, (int)n_bytes);
        json = json_stringn((const char *)text, (size_t)n_text);
    }
    free(vector);
    free(text);
    return json;
}

static json_t *embedding_json(const Generation *g, const Request *input) {
    const EmbeddingState *state = g->state;
    json_t *numbers = state->base64 ? base64_json(g, input) : embedding_numbers(g, input);
    return json_pack("{s:s, s:i, s:o}", "object", "embedding", "index", (int)input->index, "embedding",
                     numbers);
}

static json_t *whole(const Generation *g) {
    GenUsage usage = generation_usage(g);
    json_t *data = json_array();
    for (int32_t i = 0; i < g->n_choices; i++)
        if (json_array_append_new(data, embedding_json(g, g->choices[i])) != 0) {
            json_decref(data);
            return NULL; // no memory
        }
    return json_pack("{s:s, s:s, s:o, s:{s:I, s:I}}", "object", "list", "model", g->model->served.model_id,
                     "data", data, "usage", "prompt_tokens", (json_int_t)usage.n_prompt, "total_tokens",
                     (json_int_t)usage.n_prompt);
}

// ---- requests

static void read_format(Fields *f, EmbeddingState *state) {
    Str format = STR("float");
    fields_str(f, "encoding_format", &format);
    state->base64 = str_eq(format, STR("base64"));
    if (!state->base64 && !str_eq(format, STR("float")))
        fields_fail(f, "encoding_format", "must be \"float\" or \"base64\"");
}

// A shorter vector would have to come from a model that was trained for it.
static void check_dimensions(const Served *served, Fields *f) {
    int64_t n = engine_n_embd(served->service.engine), wanted = n;
    fields_int(f, "dimensions", 1, INT32_MAX, &wanted);
    if (wanted != n)
        fields_fail(f, "dimensions", "is %lld, but the embeddings of this model have %lld", (long long)wanted,
                    (long long)n);
}

bool embeddings_read(const Served *served, Fields *f, const char *field, GenPlan *plan) {
    plan->params = gen_params_default(DIALECT_OPENAI, served->config);
    plan->params.embed = true;
    plan->params.max_tokens = 0;
    check_dimensions(served, f);
    gen_params_read_limits(f, &plan->params);
    return f->ok && api_read_texts(served, f, field, api_encode_whole, MAX_INPUTS, plan);
}

static bool read(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    EmbeddingState *state = plan->state = calloc(1, sizeof *state);
    if (!state) return api_error_set(e, 503, NULL, NULL, "out of memory");
    read_format(&f, state);
    return embeddings_read(served, &f, "input", plan);
}

void api_embeddings(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {
        .errors = DIALECT_OPENAI, .id_prefix = "embd-", .read = read, .free_state = free, .whole = whole};
    (void)tail;
    generation_handle(app, x, &dialect);
}
