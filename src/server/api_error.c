#include "server/api_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const int status_of_code[] = {
    [ERR_NONE] = 500,      [ERR_INVALID] = 400, [ERR_UNSUPPORTED] = 400, [ERR_LIMIT] = 400,
    [ERR_NOT_FOUND] = 404, [ERR_IO] = 500,      [ERR_NOMEM] = 503,
};

int api_status_of(ErrCode code) {
    return status_of_code[code];
}

const char *api_error_type(int status) {
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408: return "timeout";
    case 429: return "rate_limit_error";
    case 503: return "unavailable_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

bool api_error_set(ApiError *e, int status, const char *code, const char *param, const char *fmt, ...) {
    *e = (ApiError){.status = status, .code = code};
    if (param) snprintf(e->param, sizeof e->param, "%s", param);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, ap);
    va_end(ap);
    return false;
}

bool api_error_from(ApiError *e, const Err *err, const char *param) {
    return api_error_set(e, api_status_of(err->code), NULL, param, "%s", err->msg);
}

void api_error_late(ApiError *e) {
    api_error_set(e, 408, "deadline_exceeded", NULL, "the request's deadline passed before it was finished");
}

// A message may carry a client's words cut in the middle of a code point.
static json_t *message_json(const char *message) {
    json_t *j = json_string(message);
    size_t n = strlen(message);
    for (size_t cut = 1; !j && cut <= 4 && cut <= n; cut++) j = json_stringn(message, n - cut);
    return j ? j : json_string("the request is not valid");
}

// Anthropic's words for what is said otherwise elsewhere.
static const char *anthropic_type(int status) {
    switch (status) {
    case 408: return "timeout_error";
    case 413: return "request_too_large";
    case 503: return "overloaded_error";
    default: return status >= 500 ? "api_error" : api_error_type(status);
    }
}

static json_t *anthropic_error_json(const ApiError *e, json_t *message) {
    json_t *details = e->code ? json_pack("{s:s}", "error_code", e->code) : NULL;
    return json_pack("{s:s, s:{s:s, s:o, s:o*}}", "type", "error", "error", "type", anthropic_type(e->status),
                     "message", message, "details", details);
}

json_t *api_error_json(const ApiError *e, Dialect dialect) {
    json_t *message = message_json(e->message);
    switch (dialect) {
    case DIALECT_NATIVE: return json_pack("{s:b, s:o}", "success", 0, "error", message);
    case DIALECT_OLLAMA: return json_pack("{s:o}", "error", message);
    case DIALECT_ANTHROPIC: return anthropic_error_json(e, message);
    case DIALECT_OPENAI: break;
    }
    return json_pack("{s:{s:o, s:s, s:s?, s:s?}}", "error", "message", message, "type",
                     api_error_type(e->status), "param", e->param[0] ? e->param : NULL, "code", e->code);
}

json_t *api_data_json(json_t *data) {
    return data ? json_pack("{s:b, s:o}", "success", 1, "data", data) : NULL;
}
