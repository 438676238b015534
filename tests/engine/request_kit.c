#include "request_kit.h"

#include "fake_model.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int32_t kit_below(Rng *r, int32_t n) {
    return (int32_t)(rng_next(r) % (uint64_t)n);
}

void kit_fill(Case *c, int32_t n_prompt, int32_t max_tokens, uint64_t seed) {
    Rng r = {seed};
    *c = (Case){0};
    for (int32_t i = 0; i < n_prompt; i++) c->prompt[i] = kit_below(&r, 16);
    c->request = (EngineRequest){
        .prompt = c->prompt,
        .n_prompt = n_prompt,
        .max_tokens = max_tokens,
        .sampling = SAMPLING_GREEDY,
        .end_tokens = c->end_tokens,
        .user = c,
    };
}

static void random_sampling(Case *c, Rng *r, int32_t n_vocab) {
    SamplingParams *p = &c->request.sampling;
    p->seed = rng_next(r);
    if (kit_below(r, 3)) p->temperature = 0.1f + 2 * (float)rng_uniform(r);
    if (kit_below(r, 3) == 0) p->top_k = 1 + kit_below(r, n_vocab);
    if (kit_below(r, 3) == 0) p->top_p = 0.1f + 0.9f * (float)rng_uniform(r);
    if (kit_below(r, 4) == 0) p->min_p = 0.3f * (float)rng_uniform(r);
    if (kit_below(r, 4) == 0) p->repetition_penalty = 1.3f;
    if (kit_below(r, 4) == 0) p->presence_penalty = 0.7f;
    if (kit_below(r, 4) == 0) p->frequency_penalty = -0.4f;
    if (kit_below(r, 4) == 0) {
        c->bias[0].token = kit_below(r, n_vocab);
        c->bias[0].bias = kit_below(r, 2) ? -100.0f : 3.0f;
        p->logit_bias = c->bias;
        p->n_logit_bias = 1;
    }
}

void kit_random(Case *c, Rng *r, int32_t n_vocab, int32_t max_prompt, int32_t max_tokens) {
    int32_t n_prompt = 1 + kit_below(r, max_prompt); // one call a statement: the same in every compiler
    int32_t n_tokens = 1 + kit_below(r, max_tokens);
    kit_fill(c, n_prompt, n_tokens, rng_next(r));
    for (int32_t i = 0; i < c->request.n_prompt; i++) c->prompt[i] = kit_below(r, n_vocab);
    random_sampling(c, r, n_vocab);
    c->request.n_end_tokens = kit_below(r, KIT_END_TOKENS + 1);
    for (int32_t i = 0; i < KIT_END_TOKENS; i++) c->end_tokens[i] = kit_below(r, n_vocab);
}

static void take_logprobs(Case *c, const EngineEvent *event) {
    assert_int_equal(event->kind == ENGINE_TOKEN && c->request.logprobs, event->logprobs != NULL);
    if (event->logprobs) c->got_logprobs[c->n_got] = event->logprobs[0];
    if (!event->prompt_logprobs || c->n_scored > 0) return;
    for (c->n_scored = 1; c->n_scored < c->request.n_prompt; c->n_scored++)
        c->prompt_logprobs[c->n_scored] = event->prompt_logprobs[c->n_scored * (1 + c->request.n_top)];
}

void kit_take_event(const EngineEvent *event) {
    Case *c = event->user;
    assert_true(event->id == c->id);
    assert_int_equal(c->n_ends, 0);
    take_logprobs(c, event);
    if (event->kind == ENGINE_TOKEN) {
        assert_true(c->n_got < c->request.max_tokens);
        c->got[c->n_got++] = event->token;
        return;
    }
    c->n_ends++;
    c->end = *event;
    assert_true(event->queued_ns >= 0 && event->prefill_ns >= 0 && event->decode_ns >= 0);
}

static bool is_end(const Case *c, int32_t token) {
    for (int32_t i = 0; i < c->request.n_end_tokens; i++)
        if (c->end_tokens[i] == token) return true;
    return false;
}

int32_t kit_lone_run(const Case *c, int32_t n_vocab, int32_t *out, FinishReason *reason) {
    const EngineRequest *r = &c->request;
    int32_t tokens[2 * KIT_MAX_TOKENS], n = r->n_prompt;
    float *logits = malloc((size_t)n_vocab * sizeof *logits);
    SamplerScratch *scratch = sampler_scratch_new(n_vocab, NULL);
    SamplerState *s = sampler_new(&r->sampling, r->prompt, r->n_prompt, r->max_tokens, n_vocab, NULL);
    assert_true(logits && scratch && s);
    memcpy(tokens, r->prompt, (size_t)n * sizeof tokens[0]);
    *reason = FINISH_LENGTH;
    while (n - r->n_prompt < r->max_tokens) {
        fake_logits(tokens, n, n_vocab, logits);
        int32_t token = sampler_next(s, &(LogitsRow){.all = logits}, scratch);
        if (is_end(c, token)) {
            *reason = FINISH_STOP;
            break;
        }
        out[n - r->n_prompt] = token;
        tokens[n++] = token;
    }
    sampler_free(s);
    sampler_scratch_free(scratch);
    free(logits);
    return n - r->n_prompt;
}

void kit_verify(const Case *c, int32_t n_vocab) {
    int32_t alone[KIT_MAX_TOKENS];
    FinishReason reason;
    int32_t n = kit_lone_run(c, n_vocab, alone, &reason);
    assert_int_equal(c->n_ends, 1);
    assert_int_equal(c->end.n_prompt, c->request.n_prompt);
    assert_int_equal(c->end.n_generated, c->n_got);
    if (c->end.reason == FINISH_STOP || c->end.reason == FINISH_LENGTH) {
        assert_int_equal(c->end.reason, reason);
        assert_int_equal(c->n_got, n);
    }
    assert_true(c->n_got <= n);
    assert_memory_equal(c->got, alone, (size_t)c->n_got * sizeof alone[0]);
}

uint64_t kit_seed(const char *test, uint64_t fallback) {
    const char *text = getenv("CLLM_TEST_SEED");
    uint64_t seed = text && *text ? strtoull(text, NULL, 0) : fallback;
    printf("%s: CLLM_TEST_SEED=%llu\n", test, (unsigned long long)seed);
    return seed;
}
