// Requests of OpenAI's Responses API as chat completions: input items become messages, and from there on
// goes the way of a chat completion. Nothing is stored, so what refers to stored things is refused.
//
// Thread: pure, as all reading.
#ifndef CLLM_SERVER_RESPONSES_REQUEST_H
#define CLLM_SERVER_RESPONSES_REQUEST_H

#include "server/api_gen.h"

// The body of a chat completion: a new reference, NULL with *e filled.
json_t *responses_to_chat(const json_t *body, ApiError *e);

// The fields of a request that its response repeats, with their defaults: a new reference.
json_t *responses_echo(const json_t *body, const SamplingDefaults *defaults);

#endif
