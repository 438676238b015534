// OpenAI's older words for tools: `functions`, `function_call`, and messages of the role "function". A
// request that has them is translated to tools, of which at most one is called.
//
// Thread: pure, as all reading.
#ifndef CLLM_SERVER_OPENAI_FUNCTIONS_H
#define CLLM_SERVER_OPENAI_FUNCTIONS_H

#include "server/api_error.h"

bool openai_functions_offered(const json_t *body); // so the answer is to have function_call
bool openai_functions_used(const json_t *body);    // there, or in a message

// The same chat with tools: a new reference, NULL with *e filled.
json_t *openai_functions_to_tools(const json_t *body, ApiError *e);

#endif
