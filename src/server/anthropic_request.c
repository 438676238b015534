#include "server/anthropic_request.h"

#include "base/buf.h"
#include "server/chat_request.h"
#include "server/json_build.h"
#include "server/parse.h"
#include "text/detok.h"

#include <stdio.h>
#include <stdlib.h>

// Where a failure is: messages[3].content[0].
typedef struct Place {
    ApiError *e;
    char text[64];
} Place;

static Place place_in(ApiError *e, const char *list, size_t i) {
    Place p = {.e = e};
    snprintf(p.text, sizeof p.text, "%s[%zu]", list, i);
    return p;
}

static Place place_of_block(const Place *message, size_t i) {
    Place p = {.e = message->e};
    snprintf(p.text, sizeof p.text, "%.40s.content[%zu]", message->text, i);
    return p;
}

static bool bad(const Place *p, const char *what) {
    return api_error_set(p->e, 400, NULL, p->text, "%s %s", p->text, what);
}

static const char *type_of(const json_t *block) {
    const char *type = json_string_value(json_object_get(block, "type"));
    return type ? type : "";
}

// ---- contents

static bool add_text(const Place *p, const json_t *block, Buf *out) {
    const json_t *text = json_object_get(block, "text");
    if (strcmp(type_of(block), "text") != 0) return bad(p, "must have type \"text\" here");
    if (!json_is_string(text)) return bad(p, "must have a string in text");
    buf_put(out, json_str(text));
    return true;
}

// A string, or text blocks from the first-th on, one after the other: of `system` and of a tool's result.
static bool add_texts(const Place *p, const json_t *content, size_t first, Buf *out) {
    if (json_is_string(content)) {
        buf_put(out, json_str(content));
        return true;
    }
    if (!json_is_array(content)) return bad(p, "must be a string or an array of text blocks");
    for (size_t i = first; i < json_array_size(content); i++) {
        Place at = place_of_block(p, i);
        if (!add_text(&at, json_array_get(content, i), out)) return false;
    }
    return true;
}

static json_t *string_of(const Buf *text) {
    return json_stringn(buf_str(text).ptr, text->len);
}

// ---- messages

// A message under way: what its blocks have given so far.
typedef struct Parts {
    Buf text, thinking;
    json_t *calls; // OpenAI's tool_calls
    json_t *out;   // the messages of the whole conversation
} Parts;

static bool add_tool_use(const Place *p, const json_t *block, Parts *m) {
    const json_t *id = json_object_get(block, "id"), *name = json_object_get(block, "name");
    const json_t *input = json_object_get(block, "input");
    if (!json_is_string(id) || !json_is_string(name) || !json_is_object(input))
        return bad(p, "must have id, name and an object in input");
    char *arguments = json_dumps(input, JSON_COMPACT);
    if (arguments)
        json_array_append_new(m->calls, json_pack("{s:O, s:s, s:{s:O, s:s}}", "id", id, "type", "function",
                                                  "function", "name", name, "arguments", arguments));
    free(arguments);
    return true;
}

static bool add_tool_result(const Place *p, const json_t *block, Parts *m) {
    const json_t *id = json_object_get(block, "tool_use_id"), *content = json_object_get(block, "content");
    Buf text = {0};
    if (!json_is_string(id)) return bad(p, "must have a string in tool_use_id");
    bool ok = !content || json_is_null(content) || add_texts(p, content, 0, &text);
    if (ok)
        json_array_append_new(m->out, json_pack("{s:s, s:O, s:o}", "role", "tool", "tool_call_id", id,
                                                "content", string_of(&text)));
    buf_free(&text);
    return ok;
}

static bool add_thinking(const Place *p, const json_t *block, Parts *m) {
    const json_t *thinking = json_object_get(block, "thinking");
    if (!json_is_string(thinking)) return bad(p, "must have a string in thinking");
    buf_put(&m->thinking, json_str(thinking));
    return true;
}

static bool add_block(const Place *p, const json_t *block, bool by_user, Parts *m) {
    const char *type = type_of(block);
    if (strcmp(type, "text") == 0) return add_text(p, block, &m->text);
    if (by_user && strcmp(type, "tool_result") == 0) return add_tool_result(p, block, m);
    if (!by_user && strcmp(type, "tool_use") == 0) return add_tool_use(p, block, m);
    if (!by_user && strcmp(type, "thinking") == 0) return add_thinking(p, block, m);
    if (!by_user && strcmp(type, "redacted_thinking") == 0) return true; // of another model, sealed
    return bad(p, by_user ? "must have type \"text\" or \"tool_result\"; this model reads nothing else"
                          : "must have type \"text\", \"tool_use\" or \"thinking\"");
}

// What the results of tools have not said: a user's words, or an assistant's words and calls.
static void add_rest(bool by_user, bool always, const Parts *m) {
    bool calls = json_array_size(m->calls) > 0;
    if (!always && m->text.len == 0 && !calls) return;
    json_t *message = json_pack("{s:s, s:o}", "role", by_user ? "user" : "assistant", "content",
                                calls && m->text.len == 0 ? json_null() : string_of(&m->text));
    if (calls) json_object_set(message, "tool_calls", m->calls);
    if (m->thinking.len) json_object_set_new(message, "reasoning_content", string_of(&m->thinking));
    json_array_append_new(m->out, message);
}

static bool add_blocks(const Place *p, const json_t *blocks, bool by_user, Parts *m) {
    const json_t *block;
    size_t i, n_before = json_array_size(m->out);
    json_array_foreach(blocks, i, block) {
        Place at = place_of_block(p, i);
        if (!add_block(&at, block, by_user, m)) return false;
    }
    add_rest(by_user, json_array_size(m->out) == n_before, m);
    return true;
}

// Instructions in the course of a conversation.
static bool add_system_message(const Place *p, const json_t *content, size_t first, json_t *out) {
    Buf text = {0};
    bool ok = add_texts(p, content, first, &text);
    if (ok)
        json_array_append_new(out, json_pack("{s:s, s:o}", "role", "system", "content", string_of(&text)));
    buf_free(&text);
    return ok;
}

static bool add_message(const Place *p, const json_t *message, json_t *out) {
    const char *role = json_string_value(json_object_get(message, "role"));
    const json_t *content = json_object_get(message, "content");
    bool by_user = role && strcmp(role, "user") == 0;
    if (role && strcmp(role, "system") == 0) return add_system_message(p, content, 0, out);
    if (!by_user && (!role || strcmp(role, "assistant") != 0))
        return bad(p, "must have role user, assistant or system");
    Parts m = {.calls = json_array(), .out = out};
    bool ok = true;
    if (json_is_string(content)) {
        buf_put(&m.text, json_str(content));
        add_rest(by_user, true, &m);
    } else if (json_is_array(content)) {
        ok = add_blocks(p, content, by_user, &m);
    } else {
        ok = bad(p, "must have a string or an array of blocks in content");
    }
    buf_free(&m.text);
    buf_free(&m.thinking);
    json_decref(m.calls);
    return ok;
}

// Claude Code begins with a line for those who bill it, which each conversation has another of: in the prompt it would
// keep the tools and the instructions behind it out of the prefix cache.
static bool is_billing_line(const json_t *block) {
    Str text = json_str(json_object_get(block, "text"));
    return text.ptr && str_starts_with(text, STR("x-anthropic-billing-header:"));
}

static bool add_system(const json_t *system, json_t *out, ApiError *e) {
    Place p = {e, "system"};
    size_t first = is_billing_line(json_array_get(system, 0)) ? 1 : 0;
    return !system || json_is_null(system) || add_system_message(&p, system, first, out);
}

static json_t *read_messages(const json_t *body, ApiError *e) {
    const json_t *list = json_object_get(body, "messages"), *message;
    json_t *out = json_array();
    size_t i;
    bool ok = add_system(json_object_get(body, "system"), out, e);
    if (ok && (!json_is_array(list) || json_array_size(list) == 0))
        ok = api_error_set(e, 400, NULL, "messages", "messages must be an array with at least one message");
    json_array_foreach(list, i, message) {
        Place at = place_in(e, "messages", i);
        ok = ok && add_message(&at, message, out);
    }
    if (ok) return out;
    json_decref(out);
    return NULL;
}

// ---- tools

static bool add_tool(const Place *p, const json_t *tool, json_t *out) {
    const char *type = json_string_value(json_object_get(tool, "type"));
    const json_t *schema = json_object_get(tool, "input_schema");
    if (type && strcmp(type, "custom") != 0)
        return bad(p, "must have type \"custom\": this server has no tools of its own");
    if (!json_is_object(schema)) return bad(p, "must have an object in input_schema");
    json_t *function = json_pack("{s:O*, s:O*, s:O}", "name", json_object_get(tool, "name"), "description",
                                 json_object_get(tool, "description"), "parameters", schema);
    json_array_append_new(out, json_pack("{s:s, s:o}", "type", "function", "function", function));
    return true;
}

static bool read_tools(const json_t *body, json_t *chat, ApiError *e) {
    const json_t *list = json_object_get(body, "tools"), *tool;
    size_t i;
    if (!list || json_is_null(list)) return true;
    if (!json_is_array(list)) return api_error_set(e, 400, NULL, "tools", "tools must be an array");
    json_t *out = json_array();
    json_object_set_new(chat, "tools", out);
    json_array_foreach(list, i, tool) {
        Place at = place_in(e, "tools", i);
        if (!add_tool(&at, tool, out)) return false;
    }
    return true;
}

static bool read_tool_choice(const json_t *body, json_t *chat, ApiError *e) {
    const json_t *choice = json_object_get(body, "tool_choice");
    const char *type = type_of(choice);
    if (!choice || json_is_null(choice)) return true;
    if (json_is_true(json_object_get(choice, "disable_parallel_tool_use")))
        json_object_set_new(chat, "parallel_tool_calls", json_false());
    if (strcmp(type, "auto") == 0 || strcmp(type, "none") == 0)
        return json_object_set_new(chat, "tool_choice", json_string(type)) == 0;
    if (strcmp(type, "any") == 0)
        return json_object_set_new(chat, "tool_choice", json_string("required")) == 0;
    if (strcmp(type, "tool") != 0)
        return api_error_set(e, 400, NULL, "tool_choice",
                             "tool_choice must have type auto, any, tool or none");
    json_t *named =
        json_pack("{s:s, s:{s:O*}}", "type", "function", "function", "name", json_object_get(choice, "name"));
    return json_object_set_new(chat, "tool_choice", named) == 0;
}

// ---- the rest

// Whether the model thinks is the template's affair; a budget cannot be promised.
static bool read_thinking(const json_t *body, json_t *chat, ApiError *e) {
    const json_t *thinking = json_object_get(body, "thinking");
    const char *type = type_of(thinking);
    if (!thinking || json_is_null(thinking)) return true;
    bool on = strcmp(type, "enabled") == 0 || strcmp(type, "adaptive") == 0;
    if (!on && strcmp(type, "disabled") != 0)
        return api_error_set(e, 400, NULL, "thinking",
                             "thinking must have type enabled, adaptive or disabled");
    return json_object_set_new(chat, "enable_thinking", json_boolean(on)) == 0;
}

// {"type": "json_schema", "schema": …}
static bool read_format(const json_t *format, const char *place, json_t *chat, ApiError *e) {
    json_t *schema = json_object_get(format, "schema");
    if (strcmp(type_of(format), "json_schema") != 0 || !json_is_object(schema))
        return api_error_set(e, 400, NULL, place, "%s must have type \"json_schema\" and an object in schema",
                             place);
    json_t *response_format = json_pack("{s:s, s:{s:s, s:O}}", "type", "json_schema", "json_schema", "name",
                                        "output", "schema", schema);
    return json_object_set_new(chat, "response_format", response_format) == 0;
}

// The format, which betas had in output_format; an effort cannot be promised.
static bool read_output_config(const json_t *body, json_t *chat, ApiError *e) {
    const json_t *config = json_object_get(body, "output_config");
    const json_t *format = json_object_get(config, "format"), *older = json_object_get(body, "output_format");
    if (config && !json_is_null(config) && !json_is_object(config))
        return api_error_set(e, 400, NULL, "output_config", "output_config must be an object, not %s",
                             json_kind(config));
    if (format && !json_is_null(format)) return read_format(format, "output_config.format", chat, e);
    return !older || json_is_null(older) || read_format(older, "output_format", chat, e);
}

static bool check_max_tokens(const json_t *body, ApiError *e) {
    const json_t *given = json_object_get(body, "max_tokens");
    return (given && !json_is_null(given)) ||
           api_error_set(e, 400, NULL, "max_tokens", "max_tokens is missing");
}

#define RUNS_NOTHING "this server runs nothing; offer what there is as tools"

// What would need a store, or other machines.
static bool check_refused(const json_t *body, ApiError *e) {
    static const struct {
        const char *field, *code, *why;
    } refused[] = {
        {"container", NULL, RUNS_NOTHING},
        {"mcp_servers", NULL, RUNS_NOTHING},
        // By this code Anthropic's tool runners know to go on without a thread.
        {"thread", "thread_unsupported_request", "this server stores nothing; send all messages"},
        {"compaction", NULL, "this server summarises nothing; ask for a summary in a message"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const json_t *value = json_object_get(body, refused[i].field);
        if (value && !json_is_null(value) && !(json_is_array(value) && json_array_size(value) == 0))
            return api_error_set(e, 400, refused[i].code, refused[i].field, "%s is not supported: %s",
                                 refused[i].field, refused[i].why);
    }
    return true;
}

// Refused under the name that the client knows.
static bool read_stops(const json_t *body, json_t *chat, ApiError *e) {
    Fields f = fields_of(body, e);
    Str stops[DETOK_MAX_STOPS];
    size_t n = 0;
    fields_str_list(&f, "stop_sequences", DETOK_MAX_STOPS, stops, &n);
    json_copy_field(chat, "stop", body, "stop_sequences");
    return f.ok;
}

json_t *anthropic_to_chat(const json_t *body, bool counting, ApiError *e) {
    static const char *const same[] = {"model",      "max_tokens", "temperature", "top_p",
                                       "top_k",      "stream",     "timeout_ms",  "priority",
                                       "cache_salt", "seed",       "min_p",       "ignore_eos"};
    json_t *messages = check_refused(body, e) ? read_messages(body, e) : NULL;
    if (!messages) return NULL;
    json_t *chat = json_pack("{s:o, s:b}", "messages", messages, "continue_final_message",
                             chat_messages_continue(messages)); // Anthropic's rule
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) json_copy_field(chat, same[i], body, same[i]);
    if ((counting || check_max_tokens(body, e)) && read_stops(body, chat, e) && read_tools(body, chat, e) &&
        read_tool_choice(body, chat, e) && read_thinking(body, chat, e) && read_output_config(body, chat, e))
        return chat;
    json_decref(chat);
    return NULL;
}
