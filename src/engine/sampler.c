#include "engine/sampler.h"

#include "engine/kept.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Bias {
    int32_t token, nth; // in the order of the request
    float bias;
    int32_t until; // it counts for so many tokens
} Bias;

// Bias and penalties change the logits of the listed tokens only: those with a bias, which a ban is too, and
// those that occur in the prompt and the text. Lists are sized at the start for the most tokens that can
// occur.
struct SamplerState {
    SamplingParams params; // without logit_bias
    Bias *bias;            // [n_bias] by token; of one token, in the order of the request
    int32_t n_bias;
    Constraint *constraint; // borrowed; NULL: none
    Rng rng;
    bool penalties;
    int32_t n_chosen;
    int32_t n_vocab;
    int32_t n_listed, capacity;
    int32_t *listed; // [capacity] ascending
    int32_t *counts; // [capacity] occurrences in the generated text, or NOT_IN_TEXT
};

enum { NOT_IN_TEXT = -1 }; // nor in the prompt: a bias alone

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
    return p->min_tokens >= 0 || err_set(err, ERR_INVALID, "min_tokens is %d", p->min_tokens);
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

static int by_token(const void *a, const void *b) {
    const Bias *x = a, *y = b;
    if (x->token != y->token) return x->token < y->token ? -1 : 1;
    return x->nth < y->nth ? -1 : 1;
}

static void ban_late_tokens(SamplerState *s, const SamplingParams *p) {
    for (int32_t i = 0; i < p->n_late_tokens; i++) {
        int32_t token = p->late_tokens[i];
        if (token < 0 || token >= s->n_vocab) continue;
        s->bias[s->n_bias++] = (Bias){token, p->n_logit_bias + i, -INFINITY, p->min_tokens};
    }
}

static bool copy_bias(SamplerState *s, const SamplingParams *p, Err *err) {
    int32_t n = p->n_logit_bias + (p->min_tokens > 0 ? p->n_late_tokens : 0);
    if (n == 0) return true;
    s->bias = malloc((size_t)n * sizeof s->bias[0]);
    if (!s->bias) return err_set(err, ERR_NOMEM, "no memory for logit_bias");
    for (int32_t i = 0; i < p->n_logit_bias; i++) {
        const LogitBias *b = &p->logit_bias[i];
        if (b->token >= s->n_vocab)
            return err_set(err, ERR_INVALID, "logit_bias: token %d; the vocabulary has 0 … %d", b->token,
                           s->n_vocab - 1);
        s->bias[s->n_bias++] = (Bias){b->token, i, b->bias, INT32_MAX};
    }
    if (p->min_tokens > 0) ban_late_tokens(s, p);
    qsort(s->bias, (size_t)s->n_bias, sizeof s->bias[0], by_token);
    return true;
}

// Tokens are marked in two bit sets, which are then read in order.
static bool list_tokens(SamplerState *s, const int32_t *prompt, int32_t n_prompt) {
    size_t n_words = (size_t)s->n_vocab / 64 + 1;
    uint64_t *text = calloc(2 * n_words, sizeof *text);
    if (!text) return false;
    uint64_t *biased = text + n_words;
    for (int32_t i = 0; i < n_prompt; i++) text[prompt[i] / 64] |= UINT64_C(1) << prompt[i] % 64;
    for (int32_t i = 0; i < s->n_bias; i++)
        biased[s->bias[i].token / 64] |= UINT64_C(1) << s->bias[i].token % 64;
    for (size_t w = 0; w < n_words; w++)
        for (uint64_t left = text[w] | biased[w]; left; left &= left - 1) {
            int bit = __builtin_ctzll(left);
            s->listed[s->n_listed] = (int32_t)w * 64 + bit;
            s->counts[s->n_listed++] = text[w] >> bit & 1 ? 0 : NOT_IN_TEXT;
        }
    free(text);
    return true;
}

static bool new_lists(SamplerState *s, const int32_t *prompt, int32_t n_prompt, int32_t max_tokens) {
    int64_t most = s->n_bias;
    if (s->penalties) most += (int64_t)n_prompt + max_tokens;
    s->capacity = most < s->n_vocab ? (int32_t)most : s->n_vocab;
    if (s->capacity == 0) return true;
    s->listed = malloc((size_t)s->capacity * sizeof s->listed[0]);
    s->counts = malloc((size_t)s->capacity * sizeof s->counts[0]);
    return s->listed && s->counts && list_tokens(s, prompt, s->params.repetition_penalty != 1 ? n_prompt : 0);
}

SamplerState *sampler_new(const SamplingParams *p, const int32_t *prompt, int32_t n_prompt,
                          int32_t max_tokens, int32_t n_vocab, Err *err) {
    if (!sampling_params_check(p, err)) return NULL;
    SamplerState *s = calloc(1, sizeof *s);
    if (!s) goto no_memory;
    s->params = *p;
    s->params.logit_bias = NULL;
    s->params.n_logit_bias = 0;
    s->params.late_tokens = NULL;
    s->params.n_late_tokens = 0;
    s->rng.state = p->seed;
    s->n_vocab = n_vocab;
    s->penalties = p->repetition_penalty != 1 || p->presence_penalty != 0 || p->frequency_penalty != 0;
    if (!copy_bias(s, p, err)) goto free_state;
    if (new_lists(s, prompt, n_prompt, max_tokens)) return s;
no_memory:
    err_set(err, ERR_NOMEM, "no memory for a request's sampler");
free_state:
    sampler_free(s);
    return NULL;
}

void sampler_free(SamplerState *s) {
    if (!s) return;
    free(s->counts);
    free(s->listed);
    free(s->bias);
    free(s);
}

void sampler_constrain(SamplerState *s, Constraint *c) {
    s->constraint = c;
}

LogitsWant sampler_want(const SamplerState *s) {
    if (s->constraint) return (LogitsWant){0};
    int32_t k = s->params.temperature == 0 ? 1 : s->params.top_k;
    if (k == 0 || k > MOST_CANDIDATES || k >= s->n_vocab) return (LogitsWant){0};
    return (LogitsWant){.n_candidates = k, .listed = s->listed, .n_listed = s->n_listed};
}

static float penalised(const SamplingParams *p, int32_t count, float logit) {
    logit = logit > 0 ? logit / p->repetition_penalty : logit * p->repetition_penalty;
    return count > 0 ? logit - (p->presence_penalty + p->frequency_penalty * (float)count) : logit;
}

// The place of a listed token's logit; *at goes through a row's list as the tokens ascend.
static float *logit_of(const LogitsRow *row, int32_t token, int32_t *at) {
    if (row->all) return &row->all[token];
    while (*at < row->n_listed && row->listed[*at] < token) ++*at;
    CHECK(*at < row->n_listed && row->listed[*at] == token);
    return &row->listed_logits[*at];
}

static void adjust(const SamplerState *s, const LogitsRow *row) {
    for (int32_t i = 0, at = 0, b = 0; i < s->n_listed; i++) {
        float *logit = logit_of(row, s->listed[i], &at);
        for (; b < s->n_bias && s->bias[b].token == s->listed[i]; b++) {
            if (s->n_chosen >= s->bias[b].until) continue;
            *logit = s->bias[b].bias <= -100 ? -INFINITY : *logit + s->bias[b].bias;
        }
        if (s->counts[i] != NOT_IN_TEXT) *logit = penalised(&s->params, s->counts[i], *logit);
    }
}

static void count_token(SamplerState *s, int32_t token) {
    int32_t at = 0, high = s->n_listed;
    while (at < high) {
        int32_t middle = at + (high - at) / 2;
        if (s->listed[middle] < token)
            at = middle + 1;
        else
            high = middle;
    }
    if (at == s->n_listed || s->listed[at] != token) {
        CHECK(s->n_listed < s->capacity);
        size_t bytes = (size_t)(s->n_listed++ - at) * sizeof s->listed[0];
        memmove(s->listed + at + 1, s->listed + at, bytes);
        memmove(s->counts + at + 1, s->counts + at, bytes);
        s->listed[at] = token;
        s->counts[at] = 0;
    }
    s->counts[at] = s->counts[at] == NOT_IN_TEXT ? 1 : s->counts[at] + 1;
}

static int32_t choose(SamplerState *s, const LogitsRow *row, SamplerScratch *scratch) {
    int32_t best = kept_load(scratch, row);
    if (s->params.temperature == 0 || scratch->max == -INFINITY) return best;
    bool top_k = s->params.top_k > 0 && s->params.top_k < s->n_vocab;
    int32_t token = !top_k && s->params.top_p < 1 ? kept_draw_top_p(scratch, &s->params, &s->rng) : -1;
    if (token >= 0) return token;
    kept_filter(scratch, &s->params);
    return kept_draw(scratch, rng_uniform(&s->rng));
}

static void ban(float *logits, int32_t n) {
    for (int32_t i = 0; i < n; i++) logits[i] = -INFINITY;
}

// Bans what is not in the mask. Most words of a mask are all ones or all zeros.
static void apply_mask(const uint64_t *mask, int32_t n_tokens, float *logits, int32_t n_vocab) {
    if (n_tokens > n_vocab) n_tokens = n_vocab;
    for (int32_t first = 0; first < n_tokens; first += 64) {
        uint64_t allowed = mask[first / 64];
        int32_t n = n_tokens - first < 64 ? n_tokens - first : 64;
        if (allowed == 0)
            ban(logits + first, n);
        else
            for (uint64_t left = ~allowed; left; left &= left - 1) {
                int32_t bit = __builtin_ctzll(left);
                if (bit >= n) break;
                logits[first + bit] = -INFINITY;
            }
    }
    ban(logits + n_tokens, n_vocab - n_tokens);
}

static int32_t first_allowed(const uint64_t *mask, int32_t n_tokens) {
    for (int32_t w = 0; w * 64 < n_tokens; w++)
        if (mask[w]) return w * 64 + __builtin_ctzll(mask[w]);
    return SAMPLER_NO_TOKEN;
}

// Biases may have banned all that the mask allows: then it is the first of those.
static int32_t choose_allowed(SamplerState *s, const LogitsRow *row, SamplerScratch *scratch) {
    Constraint *c = s->constraint;
    const uint64_t *mask = c->ops->mask(c);
    if (!mask) return SAMPLER_NO_TOKEN;
    CHECK(row->all);
    apply_mask(mask, c->n_tokens, row->all, s->n_vocab);
    int32_t token = choose(s, row, scratch);
    if (scratch->max == -INFINITY) token = first_allowed(mask, c->n_tokens);
    if (token != SAMPLER_NO_TOKEN) c->ops->accept(c, token);
    return token;
}

int32_t sampler_next(SamplerState *s, const LogitsRow *row, SamplerScratch *scratch) {
    CHECK(scratch->n_vocab == s->n_vocab);
    adjust(s, row);
    int32_t token = s->constraint ? choose_allowed(s, row, scratch) : choose(s, row, scratch);
    if (token == SAMPLER_NO_TOKEN) return token;
    if (s->penalties) count_token(s, token);
    s->n_chosen++;
    return token;
}
