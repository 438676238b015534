#include "engine/sampler.h"

#include "engine/kept.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Penalties touch the tokens that occur in the prompt and the text only. They stand in a dense
// list, for the walk at every step, and in a hash table with linear probing, for counting; both
// are sized at the start for the most distinct tokens that can occur.
typedef struct Touched {
    int32_t token;
    int32_t n_generated; // occurrences in the generated text
} Touched;

struct SamplerState {
    SamplingParams params; // logit_bias points to our copy
    LogitBias *bias;
    Rng rng;
    bool penalties;
    int32_t n_vocab;
    int32_t n_touched, capacity;
    Touched *touched; // [capacity]
    int32_t *table;   // [table_mask + 1] index into touched + 1; 0: empty
    uint32_t table_mask;
};

static bool in_range(float v, float low, float high) {
    return v >= low && v <= high; // false for NaN
}

static bool check_bias(const SamplingParams *p, Err *err) {
    if (p->n_logit_bias < 0 || (p->n_logit_bias > 0 && !p->logit_bias))
        return err_set(err, ERR_INVALID, "logit_bias: %d entries", p->n_logit_bias);
    for (int32_t i = 0; i < p->n_logit_bias; i++) {
        if (p->logit_bias[i].token < 0)
            return err_set(err, ERR_INVALID, "logit_bias: token %d is negative", p->logit_bias[i].token);
        if (!isfinite(p->logit_bias[i].bias))
            return err_set(err, ERR_INVALID, "logit_bias of token %d must be a number",
                           p->logit_bias[i].token);
    }
    return true;
}

bool sampling_params_check(const SamplingParams *p, Err *err) {
    if (!in_range(p->temperature, 0, 100)) return err_set(err, ERR_INVALID, "temperature must be 0 … 100");
    if (!(p->top_p > 0 && p->top_p <= 1))
        return err_set(err, ERR_INVALID, "top_p must be above 0 and at most 1");
    if (!in_range(p->min_p, 0, 1)) return err_set(err, ERR_INVALID, "min_p must be 0 … 1");
    if (p->top_k < 0) return err_set(err, ERR_INVALID, "top_k must be 0 (off) or more");
    if (!(p->repetition_penalty > 0 && p->repetition_penalty <= 100))
        return err_set(err, ERR_INVALID, "repetition_penalty must be above 0 and at most 100");
    if (!in_range(p->presence_penalty, -100, 100))
        return err_set(err, ERR_INVALID, "presence_penalty must be -100 … 100");
    if (!in_range(p->frequency_penalty, -100, 100))
        return err_set(err, ERR_INVALID, "frequency_penalty must be -100 … 100");
    return check_bias(p, err);
}

// The entry of a token, made if it is new.
static Touched *touch(SamplerState *s, int32_t token) {
    uint32_t at = ((uint32_t)token * 0x9E3779B1u) >> 7 & s->table_mask;
    for (; s->table[at]; at = (at + 1) & s->table_mask) {
        Touched *t = &s->touched[s->table[at] - 1];
        if (t->token == token) return t;
    }
    CHECK(s->n_touched < s->capacity);
    s->touched[s->n_touched] = (Touched){.token = token};
    s->table[at] = s->n_touched + 1;
    return &s->touched[s->n_touched++];
}

static bool new_table(SamplerState *s, int32_t n_prompt, int32_t max_tokens) {
    int64_t most = (int64_t)n_prompt + max_tokens;
    s->capacity = most < s->n_vocab ? (int32_t)most : s->n_vocab;
    size_t slots = 16;
    while (slots < 2 * (size_t)s->capacity) slots *= 2;
    s->table_mask = (uint32_t)(slots - 1);
    s->touched = malloc((size_t)s->capacity * sizeof s->touched[0]);
    s->table = calloc(slots, sizeof s->table[0]);
    return s->touched && s->table;
}

static bool copy_bias(SamplerState *s, const SamplingParams *p, Err *err) {
    if (p->n_logit_bias == 0) return true;
    s->bias = malloc((size_t)p->n_logit_bias * sizeof s->bias[0]);
    if (!s->bias) return err_set(err, ERR_NOMEM, "no memory for logit_bias");
    memcpy(s->bias, p->logit_bias, (size_t)p->n_logit_bias * sizeof s->bias[0]);
    s->params.logit_bias = s->bias;
    for (int32_t i = 0; i < p->n_logit_bias; i++)
        if (s->bias[i].token >= s->n_vocab)
            return err_set(err, ERR_INVALID, "logit_bias: token %d; the vocabulary has 0 … %d",
                           s->bias[i].token, s->n_vocab - 1);
    return true;
}

SamplerState *sampler_new(const SamplingParams *p, const int32_t *prompt, int32_t n_prompt,
                          int32_t max_tokens, int32_t n_vocab, Err *err) {
    if (!sampling_params_check(p, err)) return NULL;
    SamplerState *s = calloc(1, sizeof *s);
    if (!s) goto no_memory;
    s->params = *p;
    s->params.logit_bias = NULL;
    s->rng.state = p->seed;
    s->n_vocab = n_vocab;
    s->penalties = p->repetition_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0;
    if (!copy_bias(s, p, err)) goto free_state;
    if (!s->penalties) return s;
    if (!new_table(s, n_prompt, max_tokens)) goto no_memory;
    if (p->repetition_penalty != 1)
        for (int32_t i = 0; i < n_prompt; i++) touch(s, prompt[i]);
    return s;
no_memory:
    err_set(err, ERR_NOMEM, "no memory for a request's sampler");
free_state:
    sampler_free(s);
    return NULL;
}

void sampler_free(SamplerState *s) {
    if (!s) return;
    free(s->table);
    free(s->touched);
    free(s->bias);
    free(s);
}

static void add_bias(const SamplerState *s, float *logits) {
    for (int32_t i = 0; i < s->params.n_logit_bias; i++) {
        float bias = s->bias[i].bias;
        float *logit = &logits[s->bias[i].token];
        *logit = bias <= -100 ? -INFINITY : *logit + bias;
    }
}

static void penalise(const SamplerState *s, float *logits) {
    float repetition = s->params.repetition_penalty;
    for (int32_t i = 0; i < s->n_touched; i++) {
        const Touched *t = &s->touched[i];
        float logit = logits[t->token];
        logit = logit > 0 ? logit / repetition : logit * repetition;
        if (t->n_generated > 0)
            logit -= s->params.presence_penalty + s->params.frequency_penalty * (float)t->n_generated;
        logits[t->token] = logit;
    }
}

static int32_t choose(SamplerState *s, const float *logits, SamplerScratch *scratch) {
    int32_t best = kept_load(scratch, logits);
    if (s->params.temperature == 0 || scratch->max == -INFINITY) return best;
    bool top_k = s->params.top_k > 0 && s->params.top_k < s->n_vocab;
    int32_t token = !top_k && s->params.top_p < 1 ? kept_draw_top_p(scratch, &s->params, &s->rng) : -1;
    if (token >= 0) return token;
    kept_filter(scratch, &s->params);
    return kept_draw(scratch, rng_uniform(&s->rng));
}

int32_t sampler_next(SamplerState *s, float *logits, SamplerScratch *scratch) {
    CHECK(scratch->n_vocab == s->n_vocab);
    add_bias(s, logits);
    if (s->penalties) penalise(s, logits);
    int32_t token = choose(s, logits, scratch);
    if (s->penalties) touch(s, token)->n_generated++;
    return token;
}
