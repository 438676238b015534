// What goes wrong on the way of a request, and how each dialect says it.
//
// Native: {"success":false,"error":"…"}. OpenAI: {"error":{"message","type","param","code"}}, where
// code is a string or null (an integer breaks typed clients). Anthropic: {"type":"error","error":{"type",
// "message","details"}}, where details is {"error_code"} if there is a code, else left out. Ollama:
// {"error":"…"}. Clients repeat 408, 409, 429 and 5xx by themselves, so what fails every time is never one
// of these.
#ifndef CLLM_SERVER_API_ERROR_H
#define CLLM_SERVER_API_ERROR_H

#include "base/err.h"
#include "server/http.h"

#include <jansson.h>
#include <time.h>

typedef enum Dialect { DIALECT_NATIVE, DIALECT_OPENAI, DIALECT_ANTHROPIC, DIALECT_OLLAMA } Dialect;

typedef struct ApiError {
    int status;       // HTTP; 0: no error
    const char *code; // OpenAI's `code`, Anthropic's `details.error_code`; static, NULL: none
    char param[96];   // OpenAI's `param`, "": null
    char message[512];
    int retry_after_s; // > 0: sent as Retry-After
} ApiError;

// Fills *e. Always returns false.
bool api_error_set(ApiError *e, int status, const char *code, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
// From an Err, with the status of its code: the one table. Always returns false.
bool api_error_from(ApiError *e, const Err *err, const char *param);
void api_error_late(ApiError *e); // the request's deadline has passed
int api_status_of(ErrCode code);
const char *api_error_type(int status); // "invalid_request_error", …

json_t *api_error_json(const ApiError *e, Dialect dialect);                // a new reference, NULL: no memory
void api_error_reply(HttpExchange *x, Dialect dialect, const ApiError *e); // ends the exchange
void api_no_memory_reply(HttpExchange *x, Dialect dialect);                // 503
// Replies with a JSON value; takes the reference. What is not whole for lack of memory becomes a 503.
void api_reply_json(HttpExchange *x, Dialect dialect, int status, json_t *value);
json_t *api_time_json(time_t seconds); // wall time: RFC 3339 in UTC
// The native envelope {"success":true,"data":…}; takes the reference. NULL (no memory) stays NULL.
json_t *api_data_json(json_t *data);
void api_reply_data(HttpExchange *x, json_t *data);

#endif
