#include "server/api_gen.h"

#include <stdlib.h>

enum { GEN_MAX_BIAS = 4096 };
static const int64_t gen_max_timeout_ms = 7 * 24 * 3600 * 1000LL;

const SamplingDefaults *gen_sampling_defaults(const ServerConfig *config) {
    static const SamplingDefaults none = {-1, -1, -1, -1, -1};
    return config->default_sampling ? config->default_sampling : &none;
}

double gen_default(double servers, double apis) {
    return servers >= 0 ? servers : apis;
}

static void set_defaults(const SamplingDefaults *d, SamplingParams *p) {
    p->temperature = (float)gen_default(d->temperature, (double)p->temperature);
    p->top_p = (float)gen_default(d->top_p, (double)p->top_p);
    p->min_p = (float)gen_default(d->min_p, (double)p->min_p);
    p->repetition_penalty = (float)gen_default(d->repetition_penalty, (double)p->repetition_penalty);
    p->top_k = (int32_t)gen_default((double)d->top_k, p->top_k);
}

static GenParams api_default(Dialect dialect, const ServerConfig *config) {
    if (dialect == DIALECT_NATIVE)
        return (GenParams){
            .sampling = {.temperature = 0.7f, .top_p = 0.9f, .repetition_penalty = 1.1f},
            .least_tokens = 1,
            .max_tokens = -1,
            .default_tokens = 100,
            .n = 1,
        };
    return (GenParams){
        .sampling = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
        .least_tokens = 1,
        .max_tokens = -1,
        .default_tokens = config->default_max_tokens,
        .n = 1,
    };
}

GenParams gen_params_default(Dialect dialect, const ServerConfig *config) {
    GenParams p = api_default(dialect, config);
    set_defaults(gen_sampling_defaults(config), &p.sampling);
    return p;
}

static bool read_token_id(const char *key, int32_t n_vocab, int32_t *out) {
    char *end;
    if (key[0] < '0' || key[0] > '9') return false;
    long v = strtol(key, &end, 10);
    if (*end || v >= n_vocab) return false;
    *out = (int32_t)v;
    return true;
}

static void read_logit_bias(Fields *f, int32_t n_vocab, GenParams *p) {
    json_t *object = fields_get(f, "logit_bias"), *value;
    const char *key;
    if (!object) return;
    size_t n = json_object_size(object);
    if (!json_is_object(object)) {
        fields_fail(f, "logit_bias", "must be an object of token ids and numbers, not %s", json_kind(object));
        return;
    }
    if (n > GEN_MAX_BIAS) {
        fields_fail(f, "logit_bias", "may name at most %d tokens, not %zu", GEN_MAX_BIAS, n);
        return;
    }
    LogitBias *bias = calloc(n + 1, sizeof *bias);
    if (!bias) {
        fields_fail(f, "logit_bias", "does not fit into memory");
        return;
    }
    p->sampling.logit_bias = bias;
    json_object_foreach(object, key, value) {
        double v = json_number_value(value);
        LogitBias *b = &bias[p->sampling.n_logit_bias++];
        b->bias = (float)v;
        if (!read_token_id(key, n_vocab, &b->token))
            fields_fail(f, "logit_bias", "has the key \"%.40s\", which is not a token id (0 to %d)", key,
                        (int)n_vocab - 1);
        else if (!json_is_number(value) || v < -100 || v > 100)
            fields_fail(f, "logit_bias", "must map token %s to a number between -100 and 100", key);
    }
}

static void read_sampling(Fields *f, Dialect dialect, GenParams *p) {
    double hottest = dialect == DIALECT_OPENAI ? 2 : 100;
    int64_t top_k = p->sampling.top_k, seed = 0;
    fields_float(f, "temperature", (Range){0, hottest, false}, &p->sampling.temperature);
    fields_float(f, "top_p", (Range){0, 1, true}, &p->sampling.top_p);
    fields_float(f, "min_p", (Range){0, 1, false}, &p->sampling.min_p);
    fields_float(f, "repetition_penalty", (Range){0, 10, true}, &p->sampling.repetition_penalty);
    fields_float(f, "presence_penalty", (Range){-2, 2, false}, &p->sampling.presence_penalty);
    fields_float(f, "frequency_penalty", (Range){-2, 2, false}, &p->sampling.frequency_penalty);
    fields_int(f, "top_k", -1, INT32_MAX, &top_k); // -1 is what some clients mean by off
    p->sampling.top_k = top_k > 0 ? (int32_t)top_k : 0;
    p->seed_given = fields_get(f, "seed") != NULL;
    fields_int(f, "seed", INT64_MIN, INT64_MAX, &seed);
    p->sampling.seed = (uint64_t)seed;
}

static void read_cache_salt(Fields *f, GenParams *p) {
    fields_str(f, "cache_salt", &p->cache_salt);
    if (p->cache_salt.len > ENGINE_MAX_SALT)
        fields_fail(f, "cache_salt", "may have at most %d bytes, not %zu", ENGINE_MAX_SALT,
                    p->cache_salt.len);
}

static void read_priority(Fields *f, GenParams *p) {
    int64_t priority = 0;
    fields_int(f, "priority", -ENGINE_MAX_PRIORITY, ENGINE_MAX_PRIORITY, &priority);
    p->priority = (int32_t)priority;
}

static void read_stop_tokens(Fields *f, int32_t n_vocab, GenParams *p) {
    const json_t *list = fields_get(f, "stop_token_ids"), *item;
    size_t i;
    if (!list) return;
    if (!json_is_array(list) || json_array_size(list) > GEN_MAX_STOP_TOKENS) {
        fields_fail(f, "stop_token_ids", "must be an array of at most %d token ids", GEN_MAX_STOP_TOKENS);
        return;
    }
    json_array_foreach(list, i, item) {
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || id >= n_vocab)
            fields_fail(f, "stop_token_ids",
                        "must have token ids between 0 and %d, but element %zu is not one", (int)n_vocab - 1,
                        i);
        else
            p->stop_tokens[p->n_stop_tokens++] = (int32_t)id;
    }
}

static void read_lengths(Fields *f, Dialect dialect, GenParams *p) {
    int64_t min_tokens = 0;
    fields_int(f, "max_tokens", p->least_tokens, INT32_MAX, &p->max_tokens);
    if (dialect == DIALECT_OPENAI)
        fields_int(f, "max_completion_tokens", p->least_tokens, INT32_MAX, &p->max_tokens);
    fields_int(f, "min_tokens", 0, p->max_tokens >= 0 ? p->max_tokens : INT32_MAX, &min_tokens);
    p->sampling.min_tokens = (int32_t)min_tokens;
}

void gen_read_timeout(Fields *f, int64_t *ms) {
    fields_int(f, "timeout_ms", 1, gen_max_timeout_ms, ms);
}

void gen_params_read_limits(Fields *f, GenParams *p) {
    read_priority(f, p);
    gen_read_timeout(f, &p->timeout_ms);
}

void gen_params_read(Fields *f, Dialect dialect, int32_t n_vocab, GenParams *p) {
    read_sampling(f, dialect, p);
    read_logit_bias(f, n_vocab, p);
    read_lengths(f, dialect, p);
    read_stop_tokens(f, n_vocab, p);
    fields_str_list(f, "stop", DETOK_MAX_STOPS, p->stops, &p->n_stops);
    read_cache_salt(f, p);
    gen_params_read_limits(f, p);
    fields_bool(f, "stream", &p->stream);
    fields_bool(f, "ignore_eos", &p->ignore_eos);
}
