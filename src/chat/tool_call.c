#include "chat/tool_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    MAX_HELD = 64 * 1024, // bytes of what may be a call, before it is text after all
    MAX_SPACE = 64,       // bytes of white space before a marker
    MAX_NAME = 256,
};

// ---- events

static void flush(ToolParser *p) {
    p->failed |= p->out.failed || p->held.failed;
    if (p->out.len == 0 || p->failed) return;
    int index = p->kind == TOOL_ARGUMENTS ? p->n_calls - 1 : p->n_calls;
    p->sink(p->user, &(ToolEvent){p->kind, index, buf_str(&p->out)});
    buf_clear(&p->out);
}

// Pieces of one kind come as one event a push.
static void emit(ToolParser *p, ToolEventKind kind, Str text) {
    if (kind != p->kind) flush(p);
    p->kind = kind;
    buf_put(&p->out, text);
}

static void emit_text(ToolParser *p, Str text) {
    emit(p, TOOL_TEXT, text);
}

void tool_emit_begin(ToolParser *p, Str name) {
    CHECK(!p->open);
    flush(p);
    p->open = p->started = true;
    buf_clear(&p->held);
    if (!p->failed) p->sink(p->user, &(ToolEvent){TOOL_BEGIN, p->n_calls, name});
    p->n_calls++;
}

void tool_emit_arguments(ToolParser *p, Str json) {
    CHECK(p->open);
    emit(p, TOOL_ARGUMENTS, json);
}

Str tool_escape(char c, char code[8]) {
    static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    unsigned char byte = (unsigned char)c;
    const char *at = byte ? strchr(bytes, c) : NULL;
    code[0] = c;
    if (byte >= 0x20) return (Str){code, 1};
    int n = at ? snprintf(code, 8, "\\%c", letters[at - bytes]) : snprintf(code, 8, "\\u%04x", byte);
    return (Str){code, (size_t)n};
}

void tool_emit_quoted(ToolParser *p, Str text) {
    char code[8];
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\') tool_emit_arguments(p, STR("\\"));
        tool_emit_arguments(p, tool_escape(text.ptr[i], code));
    }
}

void tool_emit_end(ToolParser *p) {
    CHECK(p->open);
    flush(p);
    p->open = false;
    if (!p->failed) p->sink(p->user, &(ToolEvent){TOOL_END, p->n_calls - 1, (Str){"", 0}});
}

// ---- tools

const json_t *tool_find(const json_t *tools, Str name) {
    size_t i;
    const json_t *tool;
    json_array_foreach(tools, i, tool) {
        const json_t *function = json_object_get(tool, "function");
        const json_t *its = json_object_get(function, "name");
        if (json_is_string(its) && str_eq(name, (Str){json_string_value(its), json_string_length(its)}))
            return function;
    }
    return NULL;
}

bool tool_name_is_good(const ToolParser *p, Str name) {
    if (name.len == 0 || name.len > MAX_NAME) return false;
    return !p->bare || p->after_prefix || tool_find(p->tools, name);
}

Str tool_trim(Str s) {
    while (s.len && tool_is_space(s.ptr[0])) s = str_skip(s, 1);
    while (s.len && tool_is_space(s.ptr[s.len - 1])) s.len--;
    return s;
}

// ---- bodies

static void body_reset(ToolParser *p) {
    tool_json_reset(&p->json);
    tool_named_reset(&p->named);
    tool_tags_reset(&p->tags);
    tool_python_reset(&p->python);
}

static BodyStep body_feed(ToolParser *p, char c) {
    switch (p->syntax->body) {
    case TOOL_BODY_JSON: return tool_json_feed(p, c);
    case TOOL_BODY_NAMED: return tool_named_feed(p, c);
    case TOOL_BODY_TAGS: return tool_tags_feed(p, c);
    default: return tool_python_feed(p, c);
    }
}

static void feed(ToolParser *p, char c);

// What is held is text, and so is what follows.
static void release(ToolParser *p, size_t n) {
    Str text = str_sub(buf_str(&p->held), 0, n);
    if (tool_trim(text).len) {
        p->started = true;
        p->after_prefix = p->after_call = false;
    }
    emit_text(p, text);
    buf_drop_front(&p->held, text.len);
    p->mark = 0;
}

static void leave_body(ToolParser *p, bool after_call) {
    p->in_body = false;
    p->after_prefix = false;
    p->after_call = after_call;
    p->mark = 0;
}

static void body_byte(ToolParser *p, char c) {
    bool kept = !p->open;
    if (kept) buf_putc(&p->held, c);
    BodyStep step = body_feed(p, c);
    if (step == BODY_MORE && p->held.len <= MAX_HELD) return;
    if (step == BODY_DONE && p->n_calls > p->n_before) {
        CHECK(!p->open);
        buf_clear(&p->held);
        leave_body(p, true);
        return;
    }
    bool again = step == BODY_BAD;
    if (p->open) tool_emit_end(p);
    if (again && kept && p->held.len) p->held.len--;
    leave_body(p, false);
    release(p, p->held.len);
    if (again) feed(p, c);
}

// ---- text

// Is the marker one that may stand here?
static bool fits(const ToolParser *p, const ToolMarker *m) {
    if (m->role == TOOL_MARKER_BARE) return !p->started || p->after_prefix || p->after_call;
    if (m->role == TOOL_MARKER_END) return p->after_call;
    return m->role != TOOL_MARKER_NONE;
}

// The marker that `mark` is, or may become; NULL: neither.
static const ToolMarker *find_marker(const ToolParser *p, Str mark) {
    for (size_t i = 0; i < TOOL_MAX_MARKERS; i++) {
        const ToolMarker *m = &p->syntax->markers[i];
        if (fits(p, m) && str_starts_with(m->text, mark)) return m;
    }
    return NULL;
}

static void enter_body(ToolParser *p, const ToolMarker *m) {
    p->in_body = true;
    p->bare = m->role == TOOL_MARKER_BARE;
    p->n_before = p->n_calls;
    body_reset(p);
    if (!p->bare) return;
    p->held.len -= m->text.len;
    for (size_t i = 0; i < m->text.len; i++) feed(p, m->text.ptr[i]);
}

static void take_marker(ToolParser *p, const ToolMarker *m) {
    switch (m->role) {
    case TOOL_MARKER_PREFIX:
        p->after_prefix = true;
        p->mark = p->held.len;
        break;
    case TOOL_MARKER_BODY:
    case TOOL_MARKER_BARE: enter_body(p, m); break;
    default:
        buf_clear(&p->held);
        p->mark = 0;
        break;
    }
}

static void text_byte(ToolParser *p, char c) {
    buf_putc(&p->held, c);
    if (p->held.failed) return;
    Str mark = str_skip(buf_str(&p->held), p->mark);
    if (mark.len == 1 && tool_is_space(c)) {
        if (++p->mark > MAX_SPACE && !p->after_prefix) release(p, p->held.len);
        return;
    }
    const ToolMarker *m = find_marker(p, mark);
    if (m && m->text.len == mark.len) {
        take_marker(p, m);
    } else if (!m && p->held.len > 1) { // the last byte may begin something
        p->held.len--;
        release(p, p->held.len);
        feed(p, c);
    } else if (!m) {
        release(p, 1);
    }
}

static void feed(ToolParser *p, char c) {
    if (p->in_body)
        body_byte(p, c);
    else
        text_byte(p, c);
}

// ---- the parser

ToolParser *tool_parser_new(ToolFormat format, const json_t *tools, ToolSink *sink, void *user) {
    ToolParser *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->syntax = tool_format_syntax(format);
    p->tools = tools;
    p->sink = sink;
    p->user = user;
    return p;
}

void tool_parser_free(ToolParser *p) {
    if (!p) return;
    Buf *const bufs[] = {&p->held,         &p->out,       &p->json.key,  &p->json.name,   &p->json.value,
                         &p->named.header, &p->tags.name, &p->tags.word, &p->python.name, &p->python.word};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) buf_free(bufs[i]);
    free(p);
}

bool tool_parser_push(ToolParser *p, Str text) {
    for (size_t i = 0; i < text.len && !p->failed; i++) feed(p, text.ptr[i]);
    flush(p);
    return !p->failed;
}

// After a call only what is no part of its format is worth keeping.
static bool is_remnant(const ToolParser *p) {
    Str rest = tool_trim(buf_str(&p->held));
    if (!p->in_body) return p->after_call && (rest.len == 0 || find_marker(p, rest));
    for (size_t i = 0; i < rest.len; i++)
        if (!memchr("]}),;", rest.ptr[i], 5)) return false;
    return p->n_calls > p->n_before;
}

bool tool_parser_finish(ToolParser *p) {
    if (p->open) tool_emit_end(p);
    if (is_remnant(p)) buf_clear(&p->held);
    p->in_body = false;
    release(p, p->held.len);
    flush(p);
    return !p->failed;
}

void tool_call_make_id(char id[TOOL_ID_LEN + 1]) {
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char random[TOOL_ID_LEN];
    CHECK(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random); // so few always come whole
    memcpy(id, "call_", 5);
    for (size_t i = 5; i < TOOL_ID_LEN; i++) id[i] = letters[random[i] % (sizeof letters - 1)];
    id[TOOL_ID_LEN] = 0;
}
