// The part of api_error.h that answers over HTTP; libcllm does without it.
#include "base/shortage.h"
#include "server/api_error.h"
#include "server/json_memory.h"

#include <stdio.h>

void api_error_reply(HttpExchange *x, Dialect dialect, const ApiError *e) {
    shortage_begin();
    Buf text = {0};
    json_t *error = api_error_json(e, dialect);
    bool whole = json_memory_dump(error, &text);
    json_decref(error);
    if (e->retry_after_s > 0) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%d", e->retry_after_s);
        http_set_header(x, "Retry-After", seconds);
    }
    if (whole)
        http_reply(x, e->status, "application/json", buf_str(&text));
    else
        http_reply(x, 503, "text/plain", STR("out of memory\n"));
    buf_free(&text);
}

void api_no_memory_reply(HttpExchange *x, Dialect dialect) {
    ApiError e;
    api_error_set(&e, 503, NULL, NULL, "out of memory");
    api_error_reply(x, dialect, &e);
}

void api_reply_json(HttpExchange *x, Dialect dialect, int status, json_t *value) {
    Buf text = {0};
    bool whole = json_memory_dump(value, &text);
    json_decref(value);
    if (whole)
        http_reply(x, status, "application/json", buf_str(&text));
    else
        api_no_memory_reply(x, dialect);
    buf_free(&text);
}

void api_reply_data(HttpExchange *x, json_t *data) {
    api_reply_json(x, DIALECT_NATIVE, 200, api_data_json(data));
}

json_t *api_time_json(time_t seconds) {
    char text[32];
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}
