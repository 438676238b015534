// Calls as a name, keys and values in tags: Qwen3-Coder's and GLM's syntax.
//
// Values are bare text; the function's schema tells whether it is a string or JSON. A string goes out as it
// comes, what should be JSON when it is complete. Where the schema says nothing, what reads as JSON is
// JSON and everything else a string.
#include "chat/tool_parser.h"

void tool_tags_reset(TagsBody *b) {
    Buf name = b->name, word = b->word;
    *b = (TagsBody){.name = name, .word = word};
    buf_clear(&b->name);
    buf_clear(&b->word);
}

static BodyStep go(TagsBody *b, int state) {
    b->state = state;
    b->matched = 0;
    buf_clear(&b->word);
    return BODY_MORE;
}

// Does a type (a name, or a list of names) include this one?
static bool has_type(const json_t *type, const char *name) {
    size_t i;
    const json_t *one;
    if (json_is_string(type)) return strcmp(json_string_value(type), name) == 0;
    json_array_foreach(type, i, one) if (has_type(one, name)) return true;
    return false;
}

static void find_type(ToolParser *p, Str key) {
    const json_t *function = tool_find(p->tools, buf_str(&p->tags.name));
    const json_t *properties = json_object_get(json_object_get(function, "parameters"), "properties");
    const json_t *type = json_object_get(json_object_getn(properties, key.ptr, key.len), "type");
    bool text = has_type(type, "string");
    p->tags.type = !type || (text && json_is_array(type)) ? TAGS_AS_FITS : text ? TAGS_AS_TEXT : TAGS_AS_JSON;
}

static void begin_value(ToolParser *p) {
    TagsBody *b = &p->tags;
    Str key = tool_trim(buf_str(&b->word));
    find_type(p, key);
    tool_emit_arguments(p, b->has_values ? STR(", \"") : STR("{\""));
    tool_emit_quoted(p, key);
    tool_emit_arguments(p, b->type == TAGS_AS_TEXT ? STR("\": \"") : STR("\": "));
    b->has_values = true;
    b->has_text = b->newline = false;
}

// As models write them in the language they think in.
static Str json_word(Str word) {
    if (str_eq(word, STR("True"))) return STR("true");
    if (str_eq(word, STR("False"))) return STR("false");
    return str_eq(word, STR("None")) ? STR("null") : word;
}

static bool is_json(Str text) {
    json_t *value = json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL);
    json_decref(value);
    return value != NULL;
}

static void end_value(ToolParser *p) {
    TagsBody *b = &p->tags;
    if (b->type == TAGS_AS_TEXT) {
        tool_emit_arguments(p, STR("\""));
        return;
    }
    Str raw = buf_str(&b->word), text = tool_trim(raw);
    Str word = b->type == TAGS_AS_JSON ? json_word(text) : text;
    if (is_json(word)) {
        tool_emit_arguments(p, word);
        return;
    }
    tool_emit_arguments(p, STR("\""));
    tool_emit_quoted(p, p->syntax->tags.lines ? text : raw);
    tool_emit_arguments(p, STR("\""));
}

// A byte of a string: a newline waits for what comes, since the last one is not the string's.
static void put_text(ToolParser *p, char c) {
    TagsBody *b = &p->tags;
    bool newline = c == '\n' && p->syntax->tags.lines, first = !b->has_text;
    b->has_text = true;
    if (b->newline) tool_emit_quoted(p, STR("\n"));
    b->newline = newline && !first;
    if (!newline) tool_emit_quoted(p, (Str){&c, 1});
}

static void put_value(ToolParser *p, Str text) {
    if (p->tags.type != TAGS_AS_TEXT) buf_put(&p->tags.word, text);
    for (size_t i = 0; i < text.len && p->tags.type == TAGS_AS_TEXT; i++) put_text(p, text.ptr[i]);
}

static BodyStep value(ToolParser *p, char c) {
    TagsBody *b = &p->tags;
    Str end = p->syntax->tags.value_end;
    if (c == end.ptr[b->matched]) {
        if (++b->matched < end.len) return BODY_MORE;
        end_value(p);
        return go(b, TAGS_NEXT);
    }
    put_value(p, str_sub(end, 0, b->matched));
    b->matched = c == end.ptr[0];
    if (!b->matched) put_value(p, (Str){&c, 1});
    return BODY_MORE;
}

static BodyStep begin_call(ToolParser *p) {
    Str name = tool_trim(buf_str(&p->tags.name));
    if (!tool_name_is_good(p, name)) return BODY_BAD;
    tool_emit_begin(p, name);
    return go(&p->tags, TAGS_NEXT);
}

static BodyStep end_call(ToolParser *p) {
    tool_emit_arguments(p, p->tags.has_values ? STR("}") : STR("{}"));
    tool_emit_end(p);
    return BODY_DONE;
}

// The part of a tag that had come is text then: inside a call nobody else keeps it.
static BodyStep bad_tag(ToolParser *p, Str part) {
    if (p->open) buf_put(&p->held, part);
    return BODY_BAD;
}

// A tag that begins a key or ends the call.
static BodyStep next(ToolParser *p, char c) {
    TagsBody *b = &p->tags;
    const ToolTags *tags = &p->syntax->tags;
    if (b->word.len == 0 && tool_is_space(c)) return BODY_MORE;
    buf_putc(&b->word, c);
    Str word = buf_str(&b->word);
    if (str_eq(word, tags->key_open)) return go(b, TAGS_KEY);
    if (str_eq(word, tags->call_end)) return end_call(p);
    if (str_starts_with(tags->key_open, word) || str_starts_with(tags->call_end, word)) return BODY_MORE;
    return bad_tag(p, str_sub(word, 0, word.len - 1));
}

static BodyStep name(ToolParser *p, char c) {
    TagsBody *b = &p->tags;
    char end = p->syntax->tags.name_end;
    if (c != end && (c != '<' || end == '>')) {
        buf_putc(&b->name, c);
        return c == '{' || c == '<' ? BODY_BAD : BODY_MORE;
    }
    if (end == '\n' && tool_trim(buf_str(&b->name)).len == 0 && c == end) return BODY_MORE;
    BodyStep step = begin_call(p);
    return step == BODY_MORE && c == '<' ? next(p, c) : step;
}

static BodyStep key(ToolParser *p, char c) {
    TagsBody *b = &p->tags;
    Str end = p->syntax->tags.key_end;
    buf_putc(&b->word, c);
    if (b->word.len < end.len || !str_eq(end, str_skip(buf_str(&b->word), b->word.len - end.len)))
        return BODY_MORE;
    b->word.len -= end.len;
    begin_value(p);
    return go(b, p->syntax->tags.value_open.len ? TAGS_VALUE_OPEN : TAGS_VALUE);
}

static BodyStep value_open(ToolParser *p, char c) {
    TagsBody *b = &p->tags;
    Str open = p->syntax->tags.value_open;
    if (b->matched == 0 && tool_is_space(c)) return BODY_MORE;
    if (c != open.ptr[b->matched]) return bad_tag(p, str_sub(open, 0, b->matched));
    return ++b->matched == open.len ? go(b, TAGS_VALUE) : BODY_MORE;
}

BodyStep tool_tags_feed(ToolParser *p, char c) {
    switch (p->tags.state) {
    case TAGS_NAME: return name(p, c);
    case TAGS_NEXT: return next(p, c);
    case TAGS_KEY: return key(p, c);
    case TAGS_VALUE_OPEN: return value_open(p, c);
    default: return value(p, c);
    }
}
