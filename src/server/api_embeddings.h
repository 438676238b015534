// OpenAI's /v1/embeddings. Each text is computed once, its tokens' hidden states are pooled as the model
// file says (the mean where it says nothing), and the vector has length 1.
#ifndef CLLM_SERVER_API_EMBEDDINGS_H
#define CLLM_SERVER_API_EMBEDDINGS_H

#include "server/api_openai.h"

void api_embeddings(App *app, HttpExchange *x, Str tail);

// Shared with Ollama's routes. Reads what has nothing to do with a dialect: the texts of a field,
// `dimensions`, limits. Failures stick in f.
bool embeddings_read(const Served *served, Fields *f, const char *field, GenPlan *plan);
// The vector of an input, as numbers; NULL: no memory.
json_t *embedding_numbers(const Generation *g, const Request *input);

#endif
