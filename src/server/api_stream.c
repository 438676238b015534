#include "server/api_stream.h"

#include <stdlib.h>

bool sse_format(const json_t *value, Buf *out) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (!text) return false;
    buf_puts(out, "data: ");
    buf_puts(out, text);
    buf_puts(out, "\n\n");
    free(text);
    return !out->failed;
}

static bool send_bytes(Request *r, const Buf *bytes) {
    if (!r->x) return false;
    if (!r->started) http_start(r->x, 200, "text/event-stream; charset=utf-8");
    r->started = true;
    if (http_send(r->x, buf_str(bytes))) return true;
    r->x = NULL;
    request_abandon(r, OUTCOME_SLOW_READER);
    return false;
}

bool stream_event(Request *r, json_t *value) {
    Buf line = {0};
    bool ok = sse_format(value, &line) && send_bytes(r, &line);
    json_decref(value);
    buf_free(&line);
    return ok;
}

bool stream_word(Request *r, const char *word) {
    Buf line = {0};
    buf_printf(&line, "data: %s\n\n", word);
    bool ok = !line.failed && send_bytes(r, &line);
    buf_free(&line);
    return ok;
}

void stream_end(Request *r, bool failed) {
    if (!r->x) return;
    HttpExchange *x = r->x;
    r->x = NULL;
    http_end(x, failed);
}
