// Calls as JSON objects: {"name": "f", "arguments": {…}}, one or a list of them, and the scanner for the
// arguments of all formats that have them in JSON.
#include "chat/tool_parser.h"

#include <ctype.h>

BodyStep json_scan(JsonScan *s, char c) {
    if (s->escaped) {
        s->escaped = false;
    } else if (s->in_string) {
        s->escaped = c == '\\';
        s->in_string = c != '"';
    } else if (c == '"') {
        s->in_string = true;
    } else if (c == '{' || c == '[') {
        s->depth++;
    } else if (c == '}' || c == ']') {
        s->depth--;
    } else if (!tool_is_space(c) && !isalnum((unsigned char)c) && !memchr(",:.+-", c, 5)) {
        return BODY_BAD;
    }
    return s->depth == 0 && !s->in_string ? BODY_DONE : BODY_MORE;
}

// A byte of JSON text; a raw control character in a string is escaped.
static Str json_byte(char c, bool in_string, char code[8]) {
    if (in_string) return tool_escape(c, code);
    code[0] = c;
    return (Str){code, 1};
}

BodyStep tool_emit_scanned(ToolParser *p, JsonScan *s, char c) {
    char code[8];
    bool in_string = s->in_string;
    BodyStep step = json_scan(s, c);
    if (step != BODY_BAD) tool_emit_arguments(p, json_byte(c, in_string, code));
    return step;
}

void tool_json_reset(JsonBody *b) {
    Buf key = b->key, name = b->name, value = b->value;
    *b = (JsonBody){.key = key, .name = name, .value = value};
}

static Str key_of(const JsonBody *b) {
    return buf_str(&b->key);
}

static bool is_name_key(const JsonBody *b) {
    return str_eq(key_of(b), STR("name")) || str_eq(key_of(b), STR("tool_name"));
}

static bool is_arguments_key(const JsonBody *b) {
    return str_eq(key_of(b), STR("arguments")) || str_eq(key_of(b), STR("parameters"));
}

static BodyStep go(JsonBody *b, int state) {
    b->state = state;
    return BODY_MORE;
}

static BodyStep start_call(JsonBody *b) {
    b->has_name = b->has_arguments = b->sent = false;
    b->nested = 0;
    buf_clear(&b->name);
    buf_clear(&b->value);
    return go(b, CALL_KEY);
}

static bool begin(ToolParser *p) {
    Str name = buf_str(&p->json.name);
    if (!p->json.has_name || !tool_name_is_good(p, name)) return false;
    tool_emit_begin(p, name);
    p->json.sent = true;
    return true;
}

// The closing brace of the call's object, or of the one nested in it.
static BodyStep close_object(ToolParser *p) {
    JsonBody *b = &p->json;
    if (b->nested-- > 0) return go(b, CALL_NEXT);
    if (!b->sent) {
        Str arguments = tool_trim(buf_str(&b->value));
        if (!begin(p)) return BODY_BAD;
        tool_emit_arguments(p, arguments.len ? arguments : STR("{}"));
        tool_emit_end(p);
    }
    if (!b->list) return BODY_DONE;
    buf_clear(&p->held); // what comes next has nothing to do with this call
    return go(b, CALL_AFTER_CALL);
}

static BodyStep arguments_object(ToolParser *p) {
    JsonBody *b = &p->json;
    b->has_arguments = true;
    b->scan = (JsonScan){0};
    if (b->has_name && !begin(p)) return BODY_BAD;
    if (b->has_name) {
        b->state = CALL_ARGUMENTS;
        return tool_emit_scanned(p, &b->scan, '{');
    }
    b->state = CALL_KEPT;
    json_scan(&b->scan, '{');
    buf_putc(&b->value, '{');
    return BODY_MORE;
}

// A value of no interest, from its first byte.
static BodyStep skip_value(ToolParser *p, char c) {
    JsonBody *b = &p->json;
    bool known = str_eq(key_of(b), STR("id")) || str_eq(key_of(b), STR("type")) || is_arguments_key(b);
    if (p->bare && !known) return BODY_BAD;
    b->scan = (JsonScan){0};
    if (c == '{' || c == '[' || c == '"') {
        json_scan(&b->scan, c);
        return go(b, CALL_SKIP);
    }
    return isalnum((unsigned char)c) || c == '-' ? go(b, CALL_SCALAR) : BODY_BAD;
}

static BodyStep value(ToolParser *p, char c) {
    JsonBody *b = &p->json;
    if (is_name_key(b) && !b->has_name && c == '"') {
        buf_clear(&b->name);
        b->scan = (JsonScan){.in_string = true};
        return go(b, CALL_STRING);
    }
    if (is_arguments_key(b) && !b->has_arguments && c == '{') return arguments_object(p);
    if (is_arguments_key(b) && !b->has_arguments && c == '"') {
        b->scan = (JsonScan){.in_string = true};
        return go(b, CALL_STRING);
    }
    if (str_eq(key_of(b), STR("function")) && c == '{' && b->nested == 0) {
        b->nested = 1;
        return go(b, CALL_KEY);
    }
    return skip_value(p, c);
}

// The inside of a JSON string → what it stands for.
static bool unquote(Buf *text) {
    Buf quoted = {0};
    buf_printf(&quoted, "\"%s\"", text->ptr ? text->ptr : "");
    json_t *value = quoted.failed ? NULL : json_loadb(quoted.ptr, quoted.len, JSON_DECODE_ANY, NULL);
    buf_free(&quoted);
    buf_clear(text);
    if (!value) return false;
    buf_put(text, (Str){json_string_value(value), json_string_length(value)});
    json_decref(value);
    return true;
}

static BodyStep string(ToolParser *p, char c) {
    JsonBody *b = &p->json;
    bool is_name = is_name_key(b);
    Buf *text = is_name ? &b->name : &b->value;
    char code[8];
    if (json_scan(&b->scan, c) == BODY_MORE) {
        buf_put(text, tool_escape(c, code));
        return BODY_MORE;
    }
    if (!unquote(text)) return BODY_BAD;
    b->has_name |= is_name;
    b->has_arguments |= !is_name;
    return go(b, CALL_NEXT);
}

static BodyStep arguments(ToolParser *p, char c) {
    JsonBody *b = &p->json;
    BodyStep step = tool_emit_scanned(p, &b->scan, c);
    if (step != BODY_DONE) return step;
    tool_emit_end(p);
    return go(b, CALL_NEXT);
}

static BodyStep kept_arguments(JsonBody *b, char c) {
    char code[8];
    bool in_string = b->scan.in_string;
    BodyStep step = json_scan(&b->scan, c);
    if (step == BODY_BAD) return BODY_BAD;
    buf_put(&b->value, json_byte(c, in_string, code));
    return step == BODY_DONE ? go(b, CALL_NEXT) : BODY_MORE;
}

static BodyStep in_key(JsonBody *b, char c) {
    if (c == '"') return go(b, CALL_COLON);
    buf_putc(&b->key, c);
    return BODY_MORE;
}

static BodyStep skip(JsonBody *b, char c) {
    BodyStep step = json_scan(&b->scan, c);
    return step == BODY_DONE ? go(b, CALL_NEXT) : step;
}

// Between the parts, where white space means nothing.
static BodyStep between(ToolParser *p, char c) {
    JsonBody *b = &p->json;
    switch (b->state) {
    case CALL_START:
        if (c == '{') return start_call(b);
        if (c != '[' || b->list) return BODY_BAD;
        b->list = true;
        return BODY_MORE;
    case CALL_KEY:
        if (c == '}') return close_object(p);
        buf_clear(&b->key);
        return c == '"' ? go(b, CALL_IN_KEY) : BODY_BAD;
    case CALL_COLON: return c == ':' ? go(b, CALL_VALUE) : BODY_BAD;
    case CALL_VALUE: return value(p, c);
    case CALL_AFTER_CALL:
        if (c == ']') return BODY_DONE;
        return c == ',' ? go(b, CALL_START) : BODY_BAD;
    default:
        if (c == '}') return close_object(p);
        return c == ',' ? go(b, CALL_KEY) : BODY_BAD;
    }
}

BodyStep tool_json_feed(ToolParser *p, char c) {
    JsonBody *b = &p->json;
    switch (b->state) {
    case CALL_IN_KEY: return in_key(b, c);
    case CALL_STRING: return string(p, c);
    case CALL_ARGUMENTS: return arguments(p, c);
    case CALL_KEPT: return kept_arguments(b, c);
    case CALL_SKIP: return skip(b, c);
    case CALL_SCALAR:
        if (isalnum((unsigned char)c) || memchr(".+-", c, 3)) return BODY_MORE;
        b->state = CALL_NEXT;
        break;
    default: break;
    }
    return tool_is_space(c) ? BODY_MORE : between(p, c);
}
