// Text and tokens, as llama.cpp's and vLLM's routes of these names have them.
#ifndef CLLM_SERVER_API_TOKENS_H
#define CLLM_SERVER_API_TOKENS_H

#include "server/app.h"

void api_tokenize(App *app, HttpExchange *x, Str tail);   // {content} or {prompt} or {messages} → {tokens}
void api_detokenize(App *app, HttpExchange *x, Str tail); // {tokens} → {content}
void api_apply_template(App *app, HttpExchange *x, Str tail); // {messages} → {prompt}

#endif
