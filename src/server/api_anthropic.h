// Anthropic's API: /v1/messages, whole and streamed, and /v1/messages/count_tokens.
//
// Requests become chat completions (anthropic_request.h); answers are content blocks: thinking, text and
// tool_use, in the order in which the model makes them.
#ifndef CLLM_SERVER_API_ANTHROPIC_H
#define CLLM_SERVER_API_ANTHROPIC_H

#include "server/app.h"

void api_messages(App *app, HttpExchange *x, Str tail);
void api_count_tokens(App *app, HttpExchange *x, Str tail);

#endif
