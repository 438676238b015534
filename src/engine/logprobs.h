// Log-probabilities of a logits row: what the model itself says, before bias, penalties, masks and
// temperature.
//
// The logarithm of the softmax in natural units. The sum behind it is the sampler's (kernels' `weigh`):
// weights in float, in a fixed order, added in double; so a row gives the same bits on every CPU and in
// any batch. What counts as -inf stays -inf.
//
// Thread: a scratch belongs to one worker.
#ifndef CLLM_ENGINE_LOGPROBS_H
#define CLLM_ENGINE_LOGPROBS_H

#include "base/err.h"

#include <stdint.h>

enum { LOGPROBS_MAX_TOP = 20 };

typedef struct TokenLogprob {
    int32_t token; // -1: the vocabulary has no more
    float logprob;
} TokenLogprob;

typedef struct LogprobScratch LogprobScratch;

LogprobScratch *logprob_scratch_new(int32_t n_vocab, Err *err);
void logprob_scratch_free(LogprobScratch *s); // NULL is allowed

// Takes up a whole row of logits, which it only reads.
void logprobs_load(LogprobScratch *s, const float *logits);

// Of the row taken up last: out[0] is the token's, out[1 … n_top] the likeliest ones', falling; of
// equal ones the lower tokens come first.
void logprobs_take(const LogprobScratch *s, int32_t token, int32_t n_top, TokenLogprob *out);

#endif
