#include "chat/tool_grammar.h"

#include <stdio.h>

// ---- small shapes; each takes the references that it is given

static json_t *seq(json_t *parts) {
    return json_pack("{s:o}", "seq", parts);
}

static json_t *any(json_t *parts) {
    return json_pack("{s:o}", "any", parts);
}

static json_t *optional(json_t *shape) {
    return json_pack("{s:o, s:i, s:i}", "repeat", shape, "min", 0, "max", 1);
}

static json_t *regex(const char *text) {
    return json_pack("{s:s}", "regex", text);
}

static json_t *list_of_two(json_t *a, json_t *b) {
    return json_pack("[o, o]", a, b);
}

static json_t *literal(const char *before, const json_t *name, const char *behind) {
    Buf text = {0};
    buf_puts(&text, before);
    buf_puts(&text, json_string_value(name));
    buf_puts(&text, behind);
    json_t *shape = text.failed ? NULL : json_stringn(text.ptr, text.len);
    buf_free(&text);
    return shape;
}

// ---- arguments

static const json_t *properties_of(const json_t *function) {
    return json_object_get(json_object_get(function, "parameters"), "properties");
}

// A function without a schema takes no arguments.
static json_t *arguments(const json_t *function) {
    json_t *schema = json_object_get(function, "parameters");
    if (!json_is_object(schema) || json_object_size(schema) == 0) return json_string("{}");
    return json_pack("{s:O, s:O}", "schema", schema, "of", json_object_get(function, "name"));
}

static bool is_required(const json_t *function, const char *key) {
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(json_object_get(function, "parameters"), "required"), i,
                       one) if (json_is_string(one) && strcmp(json_string_value(one), key) == 0) return true;
    return false;
}

static json_t *value_of(const json_t *function, const char *key) {
    Buf at = {0};
    buf_puts(&at, "#/properties/");
    for (; *key; key++) {
        if (*key == '~' || *key == '/')
            buf_puts(&at, *key == '~' ? "~0" : "~1");
        else
            buf_putc(&at, *key);
    }
    json_t *shape = json_pack("{s:O, s:s%, s:O}", "schema", json_object_get(function, "parameters"), "at",
                              buf_str(&at).ptr, at.len, "of", json_object_get(function, "name"));
    buf_free(&at);
    return shape;
}

// Text up to the end of a mark: it has not the mark's first two characters in it.
static json_t *text_before(Str mark) {
    static const char pattern[] = "(?:[^\\%c]|\\%c[^\\%c])*";
    char text[48];
    snprintf(text, sizeof text, pattern, mark.ptr[0], mark.ptr[0], mark.ptr[1]);
    return regex(text);
}

static json_t *one_text_of(const json_t *values) {
    json_t *choices = json_array(), *value;
    size_t i;
    json_array_foreach(values, i, value) if (json_is_string(value)) json_array_append(choices, value);
    return any(choices);
}

// A value in tags: a string stands there as it is.
static json_t *tagged_value(const json_t *function, const char *key, Str value_end) {
    const json_t *schema = json_object_get(properties_of(function), key);
    const char *type = json_string_value(json_object_get(schema, "type"));
    json_t *only = json_object_get(schema, "const");
    if (!type || strcmp(type, "string") != 0) return value_of(function, key);
    if (json_is_string(only)) return json_incref(only);
    const json_t *values = json_object_get(schema, "enum");
    return values ? one_text_of(values) : text_before(value_end);
}

// ---- calls

static json_t *json_call(const json_t *function, const char *head, const char *arguments_key) {
    Buf behind = {0};
    buf_printf(&behind, "\", \"%s\": ", arguments_key);
    json_t *shape = seq(json_pack("[o, o, s]", literal(head, json_object_get(function, "name"), behind.ptr),
                                  arguments(function), "}"));
    buf_free(&behind);
    return shape;
}

static json_t *named_call(const json_t *function, const char *before, const char *behind, const char *end) {
    return seq(json_pack("[o, o, s]", literal(before, json_object_get(function, "name"), behind),
                         arguments(function), end));
}

static json_t *tagged_call(const json_t *function, const ToolTags *tags, const char *before,
                           const char *behind, const char *end) {
    const char *newline = tags->lines ? "\n" : "", *key;
    json_t *parts = json_array(), *unused;
    json_array_append_new(parts, literal(before, json_object_get(function, "name"), behind));
    json_object_foreach((json_t *)properties_of(function), key, unused) {
        Buf open = {0}, close = {0};
        buf_printf(&open, "%s%s%s%s%s%s", tags->key_open.ptr, key, tags->key_end.ptr,
                   tags->value_open.len ? "\n" : "", tags->value_open.ptr, newline);
        buf_printf(&close, "%s%s\n", newline, tags->value_end.ptr);
        json_t *part = seq(json_pack("[s, o, s]", buf_str(&open).ptr,
                                     tagged_value(function, key, tags->value_end), buf_str(&close).ptr));
        json_array_append_new(parts, is_required(function, key) ? part : optional(part));
        buf_free(&open);
        buf_free(&close);
    }
    json_array_append_new(parts, json_string(end));
    return seq(parts);
}

// name=value
static json_t *python_argument(const json_t *function, const char *key, bool comma) {
    Buf text = {0};
    buf_printf(&text, "%s%s=", comma ? ", " : "", key);
    json_t *shape = seq(list_of_two(json_string(buf_str(&text).ptr), value_of(function, key)));
    buf_free(&text);
    return shape;
}

// Those that are required, then some of the others.
static json_t *python_arguments(const json_t *function) {
    json_t *parts = json_array(), *others = json_array(), *unused;
    const char *key;
    json_object_foreach((json_t *)properties_of(function), key, unused) {
        if (is_required(function, key))
            json_array_append_new(parts, python_argument(function, key, json_array_size(parts) > 0));
    }
    bool has_required = json_array_size(parts) > 0;
    json_object_foreach((json_t *)properties_of(function), key, unused) {
        if (is_required(function, key)) continue;
        if (has_required)
            json_array_append_new(parts, optional(python_argument(function, key, true)));
        else
            json_array_append_new(others, python_argument(function, key, false));
    }
    if (json_array_size(others))
        json_array_append_new(parts, optional(any(others))); // one of them: no comma to go wrong
    else
        json_decref(others);
    return seq(parts);
}

static json_t *python_call(const json_t *function) {
    return seq(json_pack("[o, o, s]", literal("", json_object_get(function, "name"), "("),
                         python_arguments(function), ")"));
}

// As in the past that the template writes, perhaps with an id.
static json_t *mistral_call(const json_t *function) {
    json_t *id = optional(regex(", \"id\": \"[0-9A-Za-z]{9}\""));
    return seq(json_pack("[o, o, o, s]",
                         literal("{\"name\": \"", json_object_get(function, "name"), "\", \"arguments\": "),
                         arguments(function), id, "}"));
}

static json_t *command_call(const json_t *function) {
    return seq(json_pack("[s, o, o]", "{\"tool_call_id\": \"", regex("[0-9]{1,3}"),
                         json_call(function, "\", \"tool_name\": \"", "parameters")));
}

// As models write it, or as the template does.
static json_t *channels_call(const json_t *function) {
    return any(list_of_two(
        named_call(function, "<|channel|>commentary to=functions.", " <|constrain|>json<|message|>", ""),
        named_call(function, " to=functions.", "<|channel|>commentary json<|message|>", "")));
}

static json_t *deepseek_call(const ChatStyle *style, const json_t *function) {
    if (style->newer_syntax)
        return named_call(function, "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>");
    return named_call(function, "<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n",
                      "\n```<｜tool▁call▁end｜>");
}

static json_t *call_of(const ChatStyle *style, const json_t *function) {
    const ToolTags *tags = &tool_format_syntax(style->tools)->tags;
    static const char head[] = "{\"name\": \"";
    switch (style->tools) {
    case TOOL_FORMAT_XML:
        return tagged_call(function, tags, "<tool_call>\n<function=", ">\n", "</function>\n</tool_call>");
    case TOOL_FORMAT_ARG_TAGS: return tagged_call(function, tags, "<tool_call>", "\n", "</tool_call>");
    case TOOL_FORMAT_LLAMA3: return json_call(function, head, "parameters");
    case TOOL_FORMAT_PYTHONIC: return python_call(function);
    case TOOL_FORMAT_MISTRAL:
        if (style->newer_syntax) return named_call(function, "[TOOL_CALLS]", "[ARGS]", "");
        return mistral_call(function);
    case TOOL_FORMAT_DEEPSEEK: return deepseek_call(style, function);
    case TOOL_FORMAT_GRANITE: return json_call(function, head, "arguments");
    case TOOL_FORMAT_COMMAND: return command_call(function);
    case TOOL_FORMAT_CHANNELS: return channels_call(function);
    default:
        return seq(json_pack("[s, o, s]", "<tool_call>\n", json_call(function, head, "arguments"),
                             "\n</tool_call>"));
    }
}

// ---- answers

// What stands around all calls, and between two of them.
typedef struct Around {
    const char *before, *between, *behind;
} Around;

static Around around(const ChatStyle *style) {
    switch (style->tools) {
    case TOOL_FORMAT_LLAMA3: return (Around){"", "; ", ""};
    case TOOL_FORMAT_PYTHONIC: return (Around){"[", ", ", "]"};
    case TOOL_FORMAT_MISTRAL:
        return style->newer_syntax ? (Around){"", "", ""} : (Around){"[TOOL_CALLS][", ", ", "]"};
    case TOOL_FORMAT_DEEPSEEK:
        return (Around){"<｜tool▁calls▁begin｜>", style->newer_syntax ? "" : "\n", "<｜tool▁calls▁end｜>"};
    case TOOL_FORMAT_GRANITE: return (Around){"<|tool_call|>[", ", ", "]"};
    case TOOL_FORMAT_COMMAND: return (Around){"<|START_ACTION|>[\n    ", ",\n    ", "\n]<|END_ACTION|>"};
    default: return (Around){"", "\n", ""};
    }
}

static json_t *calls_of(const ChatStyle *style, const ToolGrammar *g) {
    json_t *choices = json_array();
    const json_t *tool;
    size_t i;
    json_array_foreach(g->tools, i, tool) {
        const json_t *function = json_object_get(tool, "function");
        if (g->only.len && strcmp(json_string_value(json_object_get(function, "name")), g->only.ptr) != 0)
            continue;
        json_array_append_new(choices, call_of(style, function));
    }
    return any(choices);
}

json_t *tool_grammar_shape(const ChatStyle *style, const ToolGrammar *g) {
    Around a = around(style);
    bool once = g->once || style->tools == TOOL_FORMAT_CHANNELS;
    json_t *parts = json_array(), *call = calls_of(style, g);
    json_array_append_new(parts, json_string(a.before));
    json_array_append(parts, call);
    if (!once)
        json_array_append_new(parts, json_pack("{s:o, s:i}", "repeat",
                                               seq(list_of_two(json_string(a.between), json_incref(call))),
                                               "min", 0));
    json_array_append_new(parts, json_string(a.behind));
    json_decref(call);
    return seq(parts);
}
