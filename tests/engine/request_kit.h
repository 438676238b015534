// Requests for the engine's tests, what became of them, and what should have.
#ifndef CLLM_TESTS_REQUEST_KIT_H
#define CLLM_TESTS_REQUEST_KIT_H

#include "base/rng.h"
#include "engine/engine.h"

enum { KIT_MAX_TOKENS = 256, KIT_END_TOKENS = 2 };

// One request with room of its own for everything it borrows, and its events as they come.
typedef struct Case {
    EngineRequest request;
    int32_t prompt[KIT_MAX_TOKENS], end_tokens[KIT_END_TOKENS];
    LogitBias bias[1];
    uint64_t id;
    int64_t rank; // the rig's
    int32_t got[KIT_MAX_TOKENS];
    TokenLogprob got_logprobs[KIT_MAX_TOKENS], prompt_logprobs[KIT_MAX_TOKENS]; // if wanted
    int32_t n_got, n_ends, n_scored;
    EngineEvent end;
} Case;

int32_t kit_below(Rng *r, int32_t n);                                        // uniform in 0 … n-1
void kit_fill(Case *c, int32_t n_prompt, int32_t max_tokens, uint64_t seed); // greedy, without end tokens
// Any kind of sampling, with or without end tokens; lengths 1 … max_prompt, 1 … max_tokens.
void kit_random(Case *c, Rng *r, int32_t n_vocab, int32_t max_prompt, int32_t max_tokens);

void kit_take_event(const EngineEvent *event); // `user` is the Case; checks the promise "one END, the last"

// Runs the request alone, without any engine: writes its tokens, returns how many. reason: STOP or
// LENGTH.
int32_t kit_lone_run(const Case *c, int32_t n_vocab, int32_t *out, FinishReason *reason);
// The case has ended once; its tokens are its lone run's, all of them or the first ones, as its
// reason demands.
void kit_verify(const Case *c, int32_t n_vocab);

// The seed of a random test: CLLM_TEST_SEED if set, else `fallback`; printed, so that it can be
// replayed.
uint64_t kit_seed(const char *test, uint64_t fallback);

#endif
