// The native API: /generate, /generate_stream, /encode.
#ifndef CLLM_SERVER_API_NATIVE_H
#define CLLM_SERVER_API_NATIVE_H

#include "server/app.h"

void api_generate(App *app, HttpExchange *x, Str tail);
void api_generate_stream(App *app, HttpExchange *x, Str tail);
void api_encode(App *app, HttpExchange *x, Str tail);

#endif
