#include "chat/tool_generic.h"

#include "base/buf.h"

#include <stdlib.h>

static void put_string(Buf *out, const json_t *s) {
    buf_put(out, (Str){json_string_value(s) ? json_string_value(s) : "", json_string_length(s)});
}

static void put_json(Buf *out, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    out->failed |= !text;
    buf_puts(out, text ? text : "");
    free(text);
}

static bool has_role(const json_t *message, const char *role) {
    const char *its = json_string_value(json_object_get(message, "role"));
    return its && strcmp(its, role) == 0;
}

static bool set_content(json_t *message, Buf *text) {
    json_t *content = text->failed ? NULL : json_stringn(buf_str(text).ptr, text->len);
    buf_free(text);
    return content && json_object_set_new(message, "content", content) == 0;
}

static void put_functions(Buf *out, const json_t *tools) {
    size_t i;
    const json_t *tool;
    buf_puts(
        out,
        "You may call functions. Where one helps, answer with such a block for each call, and with "
        "nothing after it:\n<tool_call>\n{\"name\": \"the function\", \"arguments\": {\"name of an argument\": "
        "\"its value\"}}\n</tool_call>\nWhat a function returns is then given to you as "
        "<tool_response>. These are the functions:\n<tools>\n");
    json_array_foreach(tools, i, tool) {
        put_json(out, json_object_get(tool, "function"));
        buf_putc(out, '\n');
    }
    buf_puts(out, "</tools>");
}

static bool tell_functions(json_t *messages, const json_t *tools) {
    Buf text = {0};
    json_t *system = json_array_get(messages, 0);
    if (!has_role(system, "system")) {
        system = json_pack("{s:s, s:s}", "role", "system", "content", "");
        if (!system || json_array_insert_new(messages, 0, system) != 0) return false;
    }
    put_string(&text, json_object_get(system, "content"));
    if (text.len) buf_puts(&text, "\n\n");
    put_functions(&text, tools);
    return set_content(system, &text);
}

// The calls of an assistant's message, as the model is told to write them.
static bool write_calls(json_t *message) {
    Buf text = {0};
    size_t i;
    const json_t *call;
    put_string(&text, json_object_get(message, "content"));
    json_array_foreach(json_object_get(message, "tool_calls"), i, call) {
        const json_t *function = json_object_get(call, "function");
        buf_puts(&text, text.len ? "\n<tool_call>\n{\"name\": " : "<tool_call>\n{\"name\": ");
        put_json(&text, json_object_get(function, "name"));
        buf_puts(&text, ", \"arguments\": ");
        put_string(&text, json_object_get(function, "arguments"));
        buf_puts(&text, "}\n</tool_call>");
    }
    json_object_del(message, "tool_calls");
    return set_content(message, &text);
}

static bool write_result(json_t *message) {
    Buf text = {0};
    buf_puts(&text, "<tool_response>\n");
    put_string(&text, json_object_get(message, "content"));
    buf_puts(&text, "\n</tool_response>");
    json_object_set_new(message, "role", json_string("user"));
    return set_content(message, &text);
}

// Appends the content of message i to the one before and removes it.
static bool join_before(json_t *messages, size_t i) {
    Buf text = {0};
    json_t *before = json_array_get(messages, i - 1);
    put_string(&text, json_object_get(before, "content"));
    buf_puts(&text, "\n");
    put_string(&text, json_object_get(json_array_get(messages, i), "content"));
    return set_content(before, &text) && json_array_remove(messages, i) == 0;
}

bool tool_generic_apply(json_t *messages, const json_t *tools) {
    bool after_result = false;
    if (tools && !tell_functions(messages, tools)) return false;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *message = json_array_get(messages, i);
        bool result = has_role(message, "tool"), user = result || has_role(message, "user");
        if (json_object_get(message, "tool_calls") && !write_calls(message)) return false;
        if (result && !write_result(message)) return false;
        if (after_result && user && !join_before(messages, i--)) return false;
        after_result = user && (after_result || result);
    }
    return true;
}
