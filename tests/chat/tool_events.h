// Answers → their events as one line of text: `text`, [name|arguments], with ! before what has not ended.
#ifndef CLLM_TESTS_CHAT_TOOL_EVENTS_H
#define CLLM_TESTS_CHAT_TOOL_EVENTS_H

#include "base/buf.h"
#include "chat/tool_call.h"

typedef struct ToolLog {
    Buf out;
    int n_calls;
    bool open;
    ToolEventKind last;
} ToolLog;

// A ToolSink; checks the order of events.
static void tool_log_event(void *user, const ToolEvent *e) {
    ToolLog *log = user;
    CHECK(e->kind == TOOL_END || e->text.len > 0);
    CHECK(log->open == (e->kind == TOOL_ARGUMENTS || e->kind == TOOL_END));
    CHECK(e->kind == TOOL_TEXT || e->index == log->n_calls - log->open);
    switch (e->kind) {
    case TOOL_TEXT: break;
    case TOOL_BEGIN:
        buf_putc(&log->out, '[');
        log->n_calls++;
        log->open = true;
        break;
    case TOOL_ARGUMENTS:
        if (log->last == TOOL_BEGIN) buf_putc(&log->out, '|');
        break;
    case TOOL_END:
        buf_putc(&log->out, ']');
        log->open = false;
        break;
    }
    log->last = e->kind;
    buf_put(&log->out, e->text);
}

// The text cut into pieces of `step` bytes, 0: whole, or in two at `cut`.
static void tool_log_parse(ToolFormat f, const json_t *tools, Str text, size_t step, size_t cut, Buf *out) {
    ToolLog log = {0};
    ToolParser *p = tool_parser_new(f, tools, tool_log_event, &log);
    CHECK(p);
    size_t at = 0;
    while (at < text.len) {
        size_t n = step ? step : cut > at ? cut - at : text.len - at;
        CHECK(tool_parser_push(p, str_sub(text, at, n)));
        at += n;
    }
    CHECK(tool_parser_finish(p) && !log.open);
    tool_parser_free(p);
    buf_clear(out);
    buf_put(out, buf_str(&log.out));
    buf_free(&log.out);
}

#endif
