#include "server/api_stream.h"

#include "server/json_memory.h"

bool sse_format(const json_t *value, Buf *out) {
    if (!value) return false;
    buf_puts(out, "data: ");
    bool whole = json_memory_dump(value, out);
    buf_puts(out, "\n\n");
    return whole && !out->failed;
}

// An event could not be made: the stream would go on with a hole. It is cut, or refused before its first
// byte.
static bool give_up(Generation *g) {
    HttpExchange *x = g->x;
    generation_abandon(g, OUTCOME_CANCELLED);
    if (x && g->started)
        http_drop(x);
    else if (x)
        api_no_memory_reply(x, g->dialect->errors);
    return false;
}

static bool send_bytes(Generation *g, const Buf *bytes) {
    if (!g->x) return false;
    const char *type = g->dialect->stream_type;
    if (!g->started) http_start(g->x, 200, type ? type : "text/event-stream; charset=utf-8");
    g->started = true;
    if (http_send(g->x, buf_str(bytes))) return true;
    g->x = NULL;
    generation_abandon(g, OUTCOME_SLOW_READER);
    return false;
}

bool stream_event(Generation *g, json_t *value) {
    Buf line = {0};
    bool ok = sse_format(value, &line) ? send_bytes(g, &line) : give_up(g);
    json_decref(value);
    buf_free(&line);
    return ok;
}

bool stream_named_event(Generation *g, const char *name, json_t *value) {
    Buf lines = {0};
    buf_printf(&lines, "event: %s\n", name);
    bool ok = sse_format(value, &lines) && send_bytes(g, &lines);
    json_decref(value);
    buf_free(&lines);
    return ok;
}

bool stream_line(Generation *g, json_t *value) {
    Buf line = {0};
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text) buf_printf(&line, "%s\n", text);
    bool ok = text && !line.failed && send_bytes(g, &line);
    json_decref(value);
    buf_free(&line);
    free(text);
    return ok;
}

bool stream_word(Generation *g, const char *word) {
    Buf line = {0};
    buf_printf(&line, "data: %s\n\n", word);
    bool ok = !line.failed ? send_bytes(g, &line) : give_up(g);
    buf_free(&line);
    return ok;
}

void stream_end(Generation *g, bool failed) {
    if (!g->x) return;
    HttpExchange *x = g->x;
    g->x = NULL;
    http_end(x, failed);
}
