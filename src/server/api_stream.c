#include "server/api_stream.h"

#include "base/clock.h"
#include "server/json_memory.h"

bool sse_format(const json_t *value, Buf *out) {
    if (!value) return false;
    buf_puts(out, "data: ");
    bool whole = json_memory_dump(value, out);
    buf_puts(out, "\n\n");
    return whole && !out->failed;
}

// The stream would go on with a hole. So it is cut, or refused before its first byte.
bool stream_no_memory(Generation *g) {
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
    g->sent_ns = clock_now_ns();
    if (http_send(g->x, buf_str(bytes))) return true;
    g->x = NULL;
    generation_abandon(g, OUTCOME_SLOW_READER);
    return false;
}

// Takes the value and the bytes. made: the bytes are all that they should be.
static bool send_made(Generation *g, bool made, json_t *value, Buf *bytes) {
    bool ok = made && !bytes->failed ? send_bytes(g, bytes) : stream_no_memory(g);
    json_decref(value);
    buf_free(bytes);
    return ok;
}

bool stream_event(Generation *g, json_t *value) {
    Buf line = {0};
    return send_made(g, sse_format(value, &line), value, &line);
}

bool stream_named_event(Generation *g, const char *name, json_t *value) {
    Buf lines = {0};
    buf_printf(&lines, "event: %s\n", name);
    return send_made(g, sse_format(value, &lines), value, &lines);
}

bool stream_line(Generation *g, json_t *value) {
    Buf line = {0};
    bool made = json_memory_dump(value, &line);
    buf_putc(&line, '\n');
    return send_made(g, made, value, &line);
}

bool stream_word(Generation *g, const char *word) {
    Buf line = {0};
    buf_printf(&line, "data: %s\n\n", word);
    return send_made(g, true, NULL, &line);
}

// With an empty line of its own, for readers that split a stream there before they look at lines.
void stream_comment(Generation *g) {
    Buf lines = {0};
    buf_puts(&lines, ": ping\n\n");
    send_made(g, true, NULL, &lines);
}

void stream_end(Generation *g, bool failed) {
    if (!g->x) return;
    HttpExchange *x = g->x;
    g->x = NULL;
    http_end(x, failed);
}
