// Calls as a name in a header and a JSON object behind it: Mistral's newer syntax, DeepSeek's, gpt-oss's.
//
//   f[ARGS]{…}   f[CALL_ID]123456789[ARGS]{…}
//   function<｜tool▁sep｜>f\n```json\n{…}   f<｜tool▁sep｜>{…}
//   functions.f <|constrain|>json<|message|>{…}   functions.f<|channel|>commentary json<|message|>{…}
//
// The header is everything before the first brace. A body that begins with [ or { has no header: it is JSON.
#include "chat/tool_parser.h"

#include <ctype.h>

enum { MAX_HEADER = 512 };

void tool_named_reset(NamedBody *b) {
    Buf header = b->header;
    *b = (NamedBody){.header = header};
    buf_clear(&b->header);
}

// The leading part of s that a name may consist of, without the name space in front of it.
static Str leading_name(Str s) {
    s = tool_trim(s);
    if (str_starts_with(s, STR("to="))) s = str_skip(s, 3);
    if (str_starts_with(s, STR("functions."))) s = str_skip(s, 10);
    size_t n = 0;
    while (n < s.len && (isalnum((unsigned char)s.ptr[n]) || memchr("_-.:/", s.ptr[n], 5))) n++;
    return str_sub(s, 0, n);
}

// The name is before the separator, or behind it where a code fence follows.
static Str name_in(const ToolParser *p) {
    Str header = buf_str(&p->named.header);
    size_t at = str_index_of(header, p->syntax->separator);
    if (at == header.len) return (Str){"", 0};
    Str behind = tool_trim(str_skip(header, at + p->syntax->separator.len));
    return leading_name(behind.len ? behind : str_sub(header, 0, at));
}

static BodyStep header(ToolParser *p, char c) {
    NamedBody *b = &p->named;
    if (c != '{') {
        buf_putc(&b->header, c);
        return b->header.len > MAX_HEADER ? BODY_BAD : BODY_MORE;
    }
    Str name = name_in(p);
    if (!tool_name_is_good(p, name)) return BODY_BAD;
    tool_emit_begin(p, name);
    b->state = NAMED_ARGUMENTS;
    b->scan = (JsonScan){0};
    return tool_emit_scanned(p, &b->scan, c);
}

static BodyStep arguments(ToolParser *p, char c) {
    BodyStep step = tool_emit_scanned(p, &p->named.scan, c);
    if (step == BODY_DONE) tool_emit_end(p);
    return step;
}

BodyStep tool_named_feed(ToolParser *p, char c) {
    NamedBody *b = &p->named;
    switch (b->state) {
    case NAMED_START:
        if (tool_is_space(c)) return BODY_MORE;
        b->state = c == '[' || c == '{' ? NAMED_JSON : NAMED_HEADER;
        return tool_named_feed(p, c);
    case NAMED_HEADER: return header(p, c);
    case NAMED_ARGUMENTS: return arguments(p, c);
    default: return tool_json_feed(p, c);
    }
}
