// OpenAI's Responses API: POST /v1/responses, whole and streamed.
//
// Requests become chat completions (responses_request.h); answers are items: reasoning, message and
// function_call, in the order in which the model makes them. Nothing is stored.
#ifndef CLLM_SERVER_API_RESPONSES_H
#define CLLM_SERVER_API_RESPONSES_H

#include "server/app.h"

void api_responses(App *app, HttpExchange *x, Str tail);

#endif
