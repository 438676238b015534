// Anthropic's requests as OpenAI's: what /v1/messages says is translated, and from there on goes the way of a
// chat completion. Content blocks become messages with tool_calls, messages of role tool and
// reasoning_content; what is not known or cannot be shown to the model is refused with its place.
//
// Thread: pure, as all reading.
#ifndef CLLM_SERVER_ANTHROPIC_REQUEST_H
#define CLLM_SERVER_ANTHROPIC_REQUEST_H

#include "server/api_error.h"

// The body of a chat completion for the body of /v1/messages: a new reference, NULL with *e filled.
// counting: of /v1/messages/count_tokens, which needs no max_tokens.
json_t *anthropic_to_chat(const json_t *body, bool counting, ApiError *e);

#endif
