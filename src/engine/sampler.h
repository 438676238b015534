// From logits to the next token.
//
// Order of operations (the field's usual one): logit_bias (and the ban of what is too early), repetition /
// presence / frequency penalties, the constraint's mask, temperature, top_k, top_p, min_p, draw. The kept set
// of top_k and top_p is found by partial selection; the vocabulary is never sorted as a whole. Ties go to the
// lower token id. The draw walks the kept tokens in id order with one uniform number, so the result is a
// function of (logits, parameters, generator state) alone.
//
// Thread: a SamplerState belongs to one sequence; different states may be used in parallel.
#ifndef CLLM_ENGINE_SAMPLER_H
#define CLLM_ENGINE_SAMPLER_H

#include "base/err.h"
#include "base/rng.h"
#include "engine/constraint.h"
#include "model/batch.h"

#include <stddef.h>
#include <stdint.h>

typedef struct LogitBias {
    int32_t token;
    float bias; // added to the logit; -100 or less bans, as OpenAI's clients use it
} LogitBias;

typedef struct SamplingParams {
    float temperature;        // >= 0; 0 takes the largest logit (greedy), truly
    float top_p;              // (0, 1]; 1 = off
    float min_p;              // [0, 1]; 0 = off. Keeps tokens with p >= min_p * p_max
    int32_t top_k;            // 0 = off
    float repetition_penalty; // > 0; 1 = off. Divides positive, multiplies negative logits of tokens in
                              // prompt and text
    float presence_penalty;   // subtracted once for each token in the generated text
    float frequency_penalty;  // subtracted per occurrence in the generated text
    uint64_t seed;
    const LogitBias *logit_bias; // [n_logit_bias], copied by sampler_new
    int32_t n_logit_bias;
    int32_t min_tokens;         // so many are chosen
    const int32_t *late_tokens; //   before any of these [n_late_tokens] may be; copied by sampler_new
    int32_t n_late_tokens;
} SamplingParams;

// The parameters that change nothing and choose greedily.
#define SAMPLING_GREEDY ((SamplingParams){.top_p = 1, .repetition_penalty = 1})

// Checks ranges; the message names the parameter and its range.
bool sampling_params_check(const SamplingParams *p, Err *err);

typedef struct SamplerState SamplerState;

SamplerState *sampler_new(const SamplingParams *p, const int32_t *prompt, int32_t n_prompt,
                          int32_t max_tokens, int32_t n_vocab, Err *err);
void sampler_free(SamplerState *s);                     // NULL is allowed
void sampler_constrain(SamplerState *s, Constraint *c); // borrowed; before the first token

// Scratch for one worker: sized for n_vocab, reused for every call, never allocates later.
typedef struct SamplerScratch SamplerScratch;
SamplerScratch *sampler_scratch_new(int32_t n_vocab, Err *err);
void sampler_scratch_free(SamplerScratch *s);

// What the next choice needs of its logits row: the tokens that bias or penalties change are listed, and
// of the others a few candidates are enough if top_k is small or the choice greedy. Valid until the next
// token is chosen.
LogitsWant sampler_want(const SamplerState *s);

enum { SAMPLER_NO_TOKEN = -1 };

// Chooses the next token and accounts for it (penalty counts, generator, constraint). Overwrites the row's
// logits. SAMPLER_NO_TOKEN: the constraint allows none.
// Both forms of a row give the same token; one with candidates must have been wanted in this way, but
// may list more tokens.
int32_t sampler_next(SamplerState *s, const LogitsRow *row, SamplerScratch *scratch);

#endif
