// Ollama's requests as OpenAI's: what /api/chat and /api/generate say is translated, and from there on goes
// the way of a chat completion. Where the request is silent, the server's defaults of
// sampling stand, and else Ollama's own.
//
// Thread: pure, as all reading.
#ifndef CLLM_SERVER_OLLAMA_REQUEST_H
#define CLLM_SERVER_OLLAMA_REQUEST_H

#include "server/api_gen.h"

// The body of a chat completion: a new reference, NULL with *e filled.
json_t *ollama_chat_to_chat(const json_t *body, const SamplingDefaults *defaults, ApiError *e);
// Of /api/generate: its prompt is a user's message …
json_t *ollama_generate_to_chat(const json_t *body, const SamplingDefaults *defaults, ApiError *e);
// … or, if it is raw, the text to be continued: then the body of a completion.
json_t *ollama_generate_to_completion(const json_t *body, const SamplingDefaults *defaults, ApiError *e);

#endif
