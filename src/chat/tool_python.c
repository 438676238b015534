// Calls as a Python list: [f(a=1, b="x"), g()], translated to JSON as they come.
//
// Values are what Python's literals have in common with JSON: strings in either quotes, numbers, True, False
// and None, lists, tuples and dicts. A bare word that is no literal becomes a string.
#include "chat/tool_parser.h"

#include <ctype.h>

void tool_python_reset(PythonBody *b) {
    Buf name = b->name, word = b->word;
    *b = (PythonBody){.name = name, .word = word, .state = PYTHON_LIST};
    buf_clear(&b->name);
    buf_clear(&b->word);
}

static BodyStep go(PythonBody *b, int state) {
    b->state = state;
    return BODY_MORE;
}

static bool is_name_byte(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

// ---- values

static Str json_literal(Str word) {
    static const Str words[][2] = {{STR("True"), STR("true")},   {STR("False"), STR("false")},
                                   {STR("None"), STR("null")},   {STR("true"), STR("true")},
                                   {STR("false"), STR("false")}, {STR("null"), STR("null")}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_eq(word, words[i][0])) return words[i][1];
    json_t *number = json_loadb(word.ptr, word.len, JSON_DECODE_ANY, NULL);
    json_decref(number);
    return number ? word : (Str){"", 0};
}

static void end_word(ToolParser *p) {
    Str word = buf_str(&p->python.word), literal = word.len ? json_literal(word) : word;
    if (literal.len) {
        tool_emit_arguments(p, literal);
    } else if (word.len) {
        tool_emit_arguments(p, STR("\""));
        tool_emit_quoted(p, word);
        tool_emit_arguments(p, STR("\""));
    }
    buf_clear(&p->python.word);
}

// What follows a backslash: JSON's escapes stay, the others that Python has are resolved, and what is
// no escape keeps its backslash.
static void put_escape(ToolParser *p, char c) {
    if (c == '\n') return;
    if (c == '\'')
        tool_emit_arguments(p, STR("'"));
    else if (c == 'x')
        tool_emit_arguments(p, STR("\\u00")); // its two digits follow
    else if (memchr("\"\\bfnrtu", c, 8))
        tool_emit_arguments(p, (Str){(char[]){'\\', c}, 2});
    else
        tool_emit_quoted(p, (Str){(char[]){'\\', c}, 2});
}

static BodyStep in_string(ToolParser *p, char c) {
    PythonBody *b = &p->python;
    if (b->escaped) {
        b->escaped = false;
        put_escape(p, c);
    } else if (c == '\\') {
        b->escaped = true;
    } else if (c == b->quote) {
        b->quote = 0;
        tool_emit_arguments(p, STR("\""));
    } else {
        tool_emit_quoted(p, (Str){&c, 1});
    }
    return BODY_MORE;
}

static BodyStep open_string(ToolParser *p, char quote) {
    p->python.quote = quote;
    tool_emit_arguments(p, STR("\""));
    return BODY_MORE;
}

static BodyStep end_call(ToolParser *p) {
    tool_emit_arguments(p, p->python.has_values ? STR("}") : STR("{}"));
    tool_emit_end(p);
    return go(&p->python, PYTHON_AFTER_CALL);
}

// Brackets and commas inside a value.
static BodyStep punctuation(ToolParser *p, char c) {
    PythonBody *b = &p->python;
    static const char ours[] = "[](){},:", json[] = "[][]{},:";
    const char *at = memchr(ours, c, 8);
    if (!at) return BODY_BAD;
    if (memchr("[({", c, 3)) b->depth++;
    if (memchr("])}", c, 3)) b->depth--;
    tool_emit_arguments(p, str_sub(STR(json), (size_t)(at - ours), 1));
    if (c == ',' || c == ':') tool_emit_arguments(p, STR(" "));
    return BODY_MORE;
}

static BodyStep value(ToolParser *p, char c) {
    PythonBody *b = &p->python;
    if (b->quote) return in_string(p, c);
    if (is_name_byte(c) || c == '+') {
        buf_putc(&b->word, c);
        return BODY_MORE;
    }
    end_word(p);
    if (tool_is_space(c)) return BODY_MORE;
    if (c == '"' || c == '\'') return open_string(p, c);
    if (b->depth == 0 && c == ')') return end_call(p);
    if (b->depth == 0 && c == ',') return go(b, PYTHON_KEY);
    return punctuation(p, c);
}

// ---- calls

static bool begin(ToolParser *p) {
    PythonBody *b = &p->python;
    if (p->open) return true;
    if (!tool_name_is_good(p, buf_str(&b->name))) return false;
    tool_emit_begin(p, buf_str(&b->name));
    b->has_values = false;
    b->depth = 0;
    return true;
}

static BodyStep key(ToolParser *p, char c) {
    PythonBody *b = &p->python;
    if (tool_is_space(c)) return BODY_MORE;
    if (is_name_byte(c)) {
        buf_putc(&b->word, c);
        return BODY_MORE;
    }
    if (c == ')' && b->word.len == 0) return begin(p) ? end_call(p) : BODY_BAD;
    if (c != '=' || b->word.len == 0 || !begin(p)) return BODY_BAD;
    tool_emit_arguments(p, b->has_values ? STR(", \"") : STR("{\""));
    tool_emit_quoted(p, buf_str(&b->word));
    tool_emit_arguments(p, STR("\": "));
    b->has_values = true;
    buf_clear(&b->word);
    return go(b, PYTHON_VALUE);
}

static BodyStep name(PythonBody *b, char c) {
    if (tool_is_space(c) && b->name.len == 0) return BODY_MORE;
    if (c == '(' && b->name.len) return go(b, PYTHON_KEY);
    if (!is_name_byte(c)) return BODY_BAD;
    buf_putc(&b->name, c);
    return BODY_MORE;
}

static BodyStep after_call(PythonBody *b, char c) {
    if (tool_is_space(c)) return BODY_MORE;
    if (c == ']') return BODY_DONE;
    buf_clear(&b->name);
    return c == ',' ? go(b, PYTHON_NAME) : BODY_BAD;
}

BodyStep tool_python_feed(ToolParser *p, char c) {
    PythonBody *b = &p->python;
    switch (b->state) {
    case PYTHON_LIST: return c == '[' ? go(b, PYTHON_NAME) : BODY_BAD;
    case PYTHON_NAME: return name(b, c);
    case PYTHON_KEY: return key(p, c);
    case PYTHON_VALUE: return value(p, c);
    default: return after_call(b, c);
    }
}
