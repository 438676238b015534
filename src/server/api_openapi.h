// GET /openapi.json: the routes as OpenAPI 3.1 describes them. The document is openapi.json, written by hand;
// tests/api/test_openapi.py compares it with the routes and with what the server really answers.
#ifndef CLLM_SERVER_API_OPENAPI_H
#define CLLM_SERVER_API_OPENAPI_H

#include "server/app.h"

void api_openapi(App *app, HttpExchange *x, Str tail);

#endif
