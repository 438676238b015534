// OpenAI's /v1/embeddings. Each text is computed once, its tokens' hidden states are pooled as the model
// file says (the mean where it says nothing), and the vector has length 1.
#ifndef CLLM_SERVER_API_EMBEDDINGS_H
#define CLLM_SERVER_API_EMBEDDINGS_H

#include "server/api_openai.h"

void api_embeddings(App *app, HttpExchange *x, Str tail);

#endif
