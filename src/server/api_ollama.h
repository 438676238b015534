// Ollama's API. Requests become chat completions (ollama_request.h); answers are JSON, or lines of JSON: a
// stream is what Ollama's clients get unless they say `stream: false`. Tool calls come whole, since their
// arguments are objects.
#ifndef CLLM_SERVER_API_OLLAMA_H
#define CLLM_SERVER_API_OLLAMA_H

#include "server/app.h"

void api_ollama_chat(App *app, HttpExchange *x, Str tail);
void api_ollama_generate(App *app, HttpExchange *x, Str tail);

// api_ollama_info.c
void api_ollama_tags(App *app, HttpExchange *x, Str tail);
void api_ollama_ps(App *app, HttpExchange *x, Str tail);
void api_ollama_show(App *app, HttpExchange *x, Str tail);
void api_ollama_version(App *app, HttpExchange *x, Str tail);

// api_ollama_embed.c
void api_ollama_embed(App *app, HttpExchange *x, Str tail);
void api_ollama_embeddings(App *app, HttpExchange *x, Str tail);

#endif
