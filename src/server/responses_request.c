#include "server/responses_request.h"

#include "base/buf.h"
#include "server/json_build.h"
#include "server/parse.h"

#include <stdio.h>

static const char *word_of(const json_t *object, const char *key) {
    const char *word = json_string_value(json_object_get(object, key));
    return word ? word : "";
}

static bool is_given(const json_t *value) {
    return value && !json_is_null(value) && !json_is_false(value);
}

// ---- input

// The conversation as far as it is read. Calls belong to the assistant's message before them, and thinking
// to the one after it.
typedef struct Input {
    json_t *messages;
    Buf thinking;
    size_t i; // the item being read
    ApiError *e;
} Input;

static bool bad(const Input *in, const char *where, const char *what) {
    char place[64];
    snprintf(place, sizeof place, "input[%zu]%s", in->i, where);
    return api_error_set(in->e, 400, NULL, place, "%s %s", place, what);
}

static bool is_text_part(const json_t *part) {
    static const char *const types[] = {"input_text", "output_text", "text", "reasoning_text",
                                        "summary_text"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(word_of(part, "type"), types[i]) == 0)
            return json_is_string(json_object_get(part, "text"));
    return false;
}

static bool add_parts(const Input *in, const char *where, const json_t *content, Buf *out) {
    const json_t *part;
    size_t i;
    if (json_is_string(content)) {
        buf_put(out, json_str(content));
        return true;
    }
    if (!json_is_array(content)) return bad(in, where, "must be a string or an array of text parts");
    json_array_foreach(content, i, part) {
        if (!is_text_part(part))
            return bad(in, where, "may have parts of text only; this model reads nothing else");
        buf_put(out, json_str(json_object_get(part, "text")));
    }
    return true;
}

// A new message; what was thought before it becomes its own. NULL: no memory.
static json_t *add_message(Input *in, const char *role, json_t *content) {
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", content);
    if (in->thinking.len && strcmp(role, "assistant") == 0) {
        Str thinking = buf_str(&in->thinking);
        json_object_set_new(message, "reasoning_content", json_stringn(thinking.ptr, thinking.len));
    }
    buf_clear(&in->thinking);
    return json_array_append_new(in->messages, message) == 0 ? message : NULL;
}

static bool is_role(const char *role) {
    static const char *const roles[] = {"user", "assistant", "system", "developer"};
    for (size_t i = 0; role && i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(role, roles[i]) == 0) return true;
    return false;
}

static bool read_message(Input *in, const json_t *item) {
    const char *role = json_string_value(json_object_get(item, "role"));
    Buf text = {0};
    if (!is_role(role)) return bad(in, ".role", "must be user, assistant, system or developer");
    bool ok = add_parts(in, ".content", json_object_get(item, "content"), &text);
    if (ok) add_message(in, role, json_stringn(buf_str(&text).ptr, text.len));
    buf_free(&text);
    return ok;
}

// The assistant's message that a call belongs to.
static json_t *calling_message(Input *in) {
    size_t n = json_array_size(in->messages);
    json_t *last = n ? json_array_get(in->messages, n - 1) : NULL;
    bool continues = in->thinking.len == 0 && strcmp(word_of(last, "role"), "assistant") == 0;
    json_t *message = continues ? last : add_message(in, "assistant", json_null());
    if (!json_object_get(message, "tool_calls")) json_object_set_new(message, "tool_calls", json_array());
    return message;
}

static bool read_call(Input *in, const json_t *item) {
    const json_t *id = json_object_get(item, "call_id"), *name = json_object_get(item, "name");
    const json_t *arguments = json_object_get(item, "arguments");
    if (!json_is_string(id) || !json_is_string(name) || !json_is_string(arguments))
        return bad(in, "", "must have strings in call_id, name and arguments");
    json_t *call = json_pack("{s:O, s:s, s:{s:O, s:O}}", "id", id, "type", "function", "function", "name",
                             name, "arguments", arguments);
    return json_array_append_new(json_object_get(calling_message(in), "tool_calls"), call) == 0;
}

static bool read_output(Input *in, const json_t *item) {
    const json_t *id = json_object_get(item, "call_id");
    Buf text = {0};
    if (!json_is_string(id)) return bad(in, ".call_id", "must be a string");
    bool ok = add_parts(in, ".output", json_object_get(item, "output"), &text);
    if (ok)
        json_object_set(add_message(in, "tool", json_stringn(buf_str(&text).ptr, text.len)), "tool_call_id",
                        (json_t *)id);
    buf_free(&text);
    return ok;
}

static bool read_thinking(Input *in, const json_t *item) {
    const json_t *content = json_object_get(item, "content"), *summary = json_object_get(item, "summary");
    if (json_array_size(content)) return add_parts(in, ".content", content, &in->thinking);
    return json_array_size(summary) == 0 || add_parts(in, ".summary", summary, &in->thinking);
}

static bool read_item(Input *in, const json_t *item) {
    static const struct {
        const char *type;
        bool (*read)(Input *in, const json_t *item);
    } kinds[] = {
        {"message", read_message},    {"", read_message}, // the short form has no type
        {"function_call", read_call}, {"function_call_output", read_output},
        {"reasoning", read_thinking},
    };
    if (!json_is_object(item)) return bad(in, "", "must be an object");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(word_of(item, "type"), kinds[i].type) == 0) return kinds[i].read(in, item);
    return bad(in, ".type", "must be message, function_call, function_call_output or reasoning");
}

static bool read_items(Input *in, const json_t *input) {
    const json_t *item;
    if (json_is_string(input)) {
        add_message(in, "user", json_copy((json_t *)input));
        return true;
    }
    if (!json_is_array(input) || json_array_size(input) == 0)
        return api_error_set(in->e, 400, NULL, "input",
                             "input must be a string or an array of items, not empty");
    json_array_foreach(input, in->i, item) {
        if (!read_item(in, item)) return false;
    }
    return true;
}

static json_t *read_messages(const json_t *body, ApiError *e) {
    const json_t *instructions = json_object_get(body, "instructions");
    Input in = {.messages = json_array(), .e = e};
    bool ok = true;
    if (json_is_string(instructions))
        add_message(&in, "system", json_copy((json_t *)instructions));
    else if (is_given(instructions))
        ok = api_error_set(e, 400, NULL, "instructions", "instructions must be a string");
    ok = ok && read_items(&in, json_object_get(body, "input"));
    buf_free(&in.thinking);
    if (ok) return in.messages;
    json_decref(in.messages);
    return NULL;
}

// ---- tools

// Agents offer the service's own tools (web_search, …) beside their functions, whatever service it is. The
// model is not told of those, as if it never wanted one; who offers nothing else wants one, and hears that
// there is none.
static bool read_tools(const json_t *body, json_t *chat, ApiError *e) {
    const json_t *list = json_object_get(body, "tools"), *tool;
    size_t i;
    if (!is_given(list)) return true;
    json_t *out = json_array();
    json_object_set_new(chat, "tools", out);
    json_array_foreach(list, i, tool) {
        const char *type = word_of(tool, "type");
        if (!*type) return api_error_set(e, 400, NULL, "tools", "tools[%zu] must be an object with type", i);
        if (strcmp(type, "function") != 0) continue;
        json_t *function = json_object();
        json_copy_field(function, "name", tool, "name");
        json_copy_field(function, "description", tool, "description");
        json_copy_field(function, "parameters", tool, "parameters");
        json_array_append_new(out, json_pack("{s:s, s:o}", "type", "function", "function", function));
    }
    if (!json_is_array(list)) return api_error_set(e, 400, NULL, "tools", "tools must be an array");
    return json_array_size(out) > 0 || json_array_size(list) == 0 ||
           api_error_set(e, 400, NULL, "tools",
                         "tools must have one of type \"function\": this server has no tools of its own");
}

static json_t *chat_choice(const json_t *named) {
    return json_pack("{s:s, s:{s:O*}}", "type", word_of(named, "type"), "function", "name",
                     json_object_get(named, "name"));
}

// Of the tools that are allowed, the functions: the model was not told of the others either.
static json_t *chat_allowed(const json_t *choice) {
    json_t *tools = json_array(), *one;
    size_t i;
    json_array_foreach(json_object_get(choice, "tools"), i, one) {
        if (strcmp(word_of(one, "type"), "function") == 0) json_array_append_new(tools, chat_choice(one));
    }
    return json_pack("{s:s, s:{s:O*, s:o}}", "type", "allowed_tools", "allowed_tools", "mode",
                     json_object_get(choice, "mode"), "tools", tools);
}

static void read_tool_choice(const json_t *body, json_t *chat) {
    const json_t *choice = json_object_get(body, "tool_choice");
    if (strcmp(word_of(choice, "type"), "allowed_tools") == 0)
        json_object_set_new(chat, "tool_choice", chat_allowed(choice));
    else if (json_object_get(choice, "name"))
        json_object_set_new(chat, "tool_choice", chat_choice(choice));
    else
        json_copy_field(chat, "tool_choice", body, "tool_choice");
}

// ---- the rest

static void read_format(const json_t *body, json_t *chat) {
    json_t *format = json_object_get(json_object_get(body, "text"), "format");
    if (!is_given(format)) return;
    if (strcmp(word_of(format, "type"), "json_schema") != 0) {
        json_object_set(chat, "response_format", format);
        return;
    }
    json_t *schema = json_object();
    json_copy_field(schema, "name", format, "name");
    json_copy_field(schema, "schema", format, "schema");
    json_copy_field(schema, "strict", format, "strict");
    json_object_set_new(chat, "response_format",
                        json_pack("{s:s, s:o}", "type", "json_schema", "json_schema", schema));
}

static bool check_objects(const json_t *body, ApiError *e) {
    static const char *const objects[] = {"text", "reasoning"};
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        const json_t *value = json_object_get(body, objects[i]);
        if (value && !json_is_null(value) && !json_is_object(value))
            return api_error_set(e, 400, NULL, objects[i], "%s must be an object, not %s", objects[i],
                                 json_kind(value));
    }
    return true;
}

#define NO_STORE "this server stores nothing; send the whole input"
#define NO_LOGPROBS "/v1/chat/completions has log-probabilities"

static bool wants_logprobs(const json_t *include) {
    const json_t *one;
    size_t i;
    json_array_foreach(include, i, one) {
        if (str_eq(json_str(one), STR("message.output_text.logprobs"))) return true;
    }
    return false;
}

// What would need a store, time that nobody waits for, or another model.
static bool check_refused(const json_t *body, ApiError *e) {
    static const struct {
        const char *field, *why;
    } refused[] = {
        {"previous_response_id", NO_STORE},
        {"conversation", NO_STORE},
        {"background", NO_STORE},
        {"prompt", NO_STORE},
        {"moderation", "this server judges nothing"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (is_given(json_object_get(body, refused[i].field)))
            return api_error_set(e, 400, NULL, refused[i].field, "%s is not supported: %s", refused[i].field,
                                 refused[i].why);
    if (json_integer_value(json_object_get(body, "top_logprobs")) > 0)
        return api_error_set(e, 400, NULL, "top_logprobs",
                             "top_logprobs is not supported here; " NO_LOGPROBS);
    if (wants_logprobs(json_object_get(body, "include")))
        return api_error_set(e, 400, NULL, "include",
                             "include: message.output_text.logprobs is not supported here; " NO_LOGPROBS);
    return true;
}

json_t *responses_to_chat(const json_t *body, ApiError *e) {
    static const char *const same[] = {"model",
                                       "temperature",
                                       "top_p",
                                       "stream",
                                       "parallel_tool_calls",
                                       "top_k",
                                       "min_p",
                                       "seed",
                                       "stop",
                                       "ignore_eos",
                                       "timeout_ms",
                                       "priority",
                                       "cache_salt",
                                       "chat_template_kwargs"};
    json_t *messages = check_refused(body, e) && check_objects(body, e) ? read_messages(body, e) : NULL;
    if (!messages) return NULL;
    json_t *chat = json_pack("{s:o}", "messages", messages);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) json_copy_field(chat, same[i], body, same[i]);
    json_copy_field(chat, "max_tokens", body, "max_output_tokens");
    json_copy_field(chat, "reasoning_effort", json_object_get(body, "reasoning"), "effort");
    read_tool_choice(body, chat);
    read_format(body, chat);
    if (read_tools(body, chat, e)) return chat;
    json_decref(chat);
    return NULL;
}

json_t *responses_echo(const json_t *body, const SamplingDefaults *defaults) {
    static const char *const given[] = {"instructions", "max_output_tokens",
                                        "metadata",     "parallel_tool_calls",
                                        "reasoning",    "temperature",
                                        "text",         "tool_choice",
                                        "tools",        "top_p",
                                        "truncation",   "user"};
    json_t *echo = json_pack(
        "{s:n, s:n, s:{}, s:b, s:{s:n, s:n}, s:f, s:{s:{s:s}}, s:s, s:[], s:f, s:s, s:n}", "instructions",
        "max_output_tokens", "metadata", "parallel_tool_calls", 1, "reasoning", "effort", "summary",
        "temperature", gen_default(defaults->temperature, 1), "text", "format", "type", "text", "tool_choice",
        "auto", "tools", "top_p", gen_default(defaults->top_p, 1), "truncation", "disabled", "user");
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        json_t *value = json_object_get(body, given[i]);
        if (value && !json_is_null(value)) json_object_set(echo, given[i], value);
    }
    return echo;
}
