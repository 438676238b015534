#include "server/ollama_request.h"

#include "server/chat_request.h"
#include "server/json_build.h"
#include "server/parse.h"

#include <stdio.h>
#include <stdlib.h>

static bool bad(ApiError *e, size_t i, const char *where, const char *what) {
    char place[64];
    snprintf(place, sizeof place, "messages[%zu]%s", i, where);
    return api_error_set(e, 400, NULL, place, "%s %s", place, what);
}

static bool is_given(const json_t *value) {
    return value && !json_is_null(value) && !(json_is_string(value) && json_string_length(value) == 0) &&
           !(json_is_array(value) && json_array_size(value) == 0);
}

// ---- messages

// Ollama's calls may have no ids: those are numbered through the conversation. A result names its call, or
// its tool, or nothing; it answers the first that it can mean of the latest calls.
typedef struct OpenCalls {
    int n;         // calls so far
    json_t *calls; // of the latest, those without a result
} OpenCalls;

static json_t *call_id(const json_t *call, int number) {
    json_t *id = json_object_get(call, "id");
    return json_is_string(id) && is_given(id) ? json_incref(id) : json_sprintf("call_%d", number);
}

static bool add_call(const json_t *call, size_t i, OpenCalls *open, json_t *out, ApiError *e) {
    const json_t *function = json_object_get(call, "function"), *name = json_object_get(function, "name");
    const json_t *arguments = json_object_get(function, "arguments");
    if (!json_is_string(name) || (arguments && !json_is_object(arguments)))
        return bad(e, i, ".tool_calls", "must have a function with name and an object in arguments");
    char *text = arguments ? json_dumps(arguments, JSON_COMPACT) : NULL;
    json_t *made = json_pack("{s:o, s:s, s:{s:O, s:s}}", "id", call_id(call, open->n++), "type", "function",
                             "function", "name", name, "arguments", text ? text : "{}");
    free(text);
    json_array_append(open->calls, made);
    json_array_append_new(out, made);
    return true;
}

static bool add_calls(const json_t *message, size_t i, OpenCalls *open, json_t *out, ApiError *e) {
    const json_t *list = json_object_get(message, "tool_calls"), *call;
    size_t k;
    if (!is_given(list)) return true;
    if (!json_is_array(list)) return bad(e, i, ".tool_calls", "must be an array");
    json_t *calls = json_array();
    json_object_set_new(out, "tool_calls", calls);
    json_array_clear(open->calls);
    json_array_foreach(list, k, call) {
        if (!add_call(call, i, open, calls, e)) return false;
    }
    return true;
}

static size_t answered_call(const OpenCalls *open, const json_t *result) {
    json_t *id = json_object_get(result, "tool_call_id"), *name = json_object_get(result, "tool_name"), *call;
    size_t i;
    json_array_foreach(open->calls, i, call) {
        if (id && json_equal(id, json_object_get(call, "id"))) return i;
    }
    json_array_foreach(open->calls, i, call) {
        if (name && json_equal(name, json_object_get(json_object_get(call, "function"), "name"))) return i;
    }
    return 0;
}

static void name_call(OpenCalls *open, const json_t *result, json_t *out) {
    size_t i = answered_call(open, result);
    json_t *call = json_array_get(open->calls, i);
    if (!call) return; // whoever reads the conversation says so
    json_object_set(out, "tool_call_id", json_object_get(call, "id"));
    json_array_remove(open->calls, i);
}

static bool add_message(const json_t *message, size_t i, OpenCalls *open, json_t *list, ApiError *e) {
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!json_is_object(message)) return bad(e, i, "", "must be an object with role and content");
    if (is_given(json_object_get(message, "images")))
        return bad(e, i, ".images", "cannot be seen by this model; it reads text only");
    json_t *out = json_object();
    json_array_append_new(list, out);
    json_copy_field(out, "role", message, "role");
    json_t *content = json_object_get(message, "content");
    json_object_set_new(out, "content",
                        !content || json_is_null(content) ? json_string("") : json_incref(content));
    json_copy_field(out, "reasoning_content", message, "thinking");
    if (role && strcmp(role, "tool") == 0) name_call(open, message, out);
    return add_calls(message, i, open, out, e);
}

static json_t *read_messages(const json_t *body, ApiError *e) {
    const json_t *list = json_object_get(body, "messages"), *message;
    json_t *out = json_array();
    OpenCalls open = {.calls = json_array()};
    bool ok = true;
    size_t i;
    json_array_foreach(list, i, message) ok = ok && add_message(message, i, &open, out, e);
    json_decref(open.calls);
    if (ok) return out;
    json_decref(out);
    return NULL;
}

// ---- the rest

static void put_defaults(const SamplingDefaults *d, json_t *out) {
    json_object_set_new(out, "temperature", json_real(gen_default(d->temperature, 0.8)));
    json_object_set_new(out, "top_k", json_integer((json_int_t)gen_default((double)d->top_k, 40)));
    json_object_set_new(out, "top_p", json_real(gen_default(d->top_p, 0.9)));
    json_object_set_new(out, "repetition_penalty", json_real(gen_default(d->repetition_penalty, 1.1)));
}

static bool read_options(const json_t *body, const SamplingDefaults *defaults, json_t *out, ApiError *e) {
    static const struct {
        const char *from, *to;
    } names[] = {
        {"temperature", "temperature"},
        {"top_k", "top_k"},
        {"top_p", "top_p"},
        {"min_p", "min_p"},
        {"stop", "stop"},
        {"repeat_penalty", "repetition_penalty"},
        {"presence_penalty", "presence_penalty"},
        {"frequency_penalty", "frequency_penalty"},
    };
    const json_t *options = json_object_get(body, "options");
    if (options && !json_is_null(options) && !json_is_object(options))
        return api_error_set(e, 400, NULL, "options", "options must be an object, not %s",
                             json_kind(options));
    put_defaults(defaults, out);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!json_is_null(json_object_get(options, names[i].from)))
            json_copy_field(out, names[i].to, options, names[i].from);
    json_t *most = json_object_get(options, "num_predict"), *seed = json_object_get(options, "seed");
    if (most && !(json_is_number(most) && json_number_value(most) <= 0)) // 0, -1, -2: as long as it gets
        json_object_set(out, "max_tokens", most);
    if (seed && !(json_is_number(seed) && json_number_value(seed) == -1)) // -1: any
        json_object_set(out, "seed", seed);
    return true;
}

static bool read_format(const json_t *body, json_t *out, ApiError *e) {
    json_t *format = json_object_get(body, "format");
    if (!is_given(format)) return true;
    bool any = json_is_string(format) && strcmp(json_string_value(format), "json") == 0;
    if (!any && !json_is_object(format))
        return api_error_set(e, 400, NULL, "format", "format must be \"json\" or a JSON schema");
    json_t *wanted = any ? json_pack("{s:s}", "type", "json_object")
                         : json_pack("{s:s, s:{s:s, s:O}}", "type", "json_schema", "json_schema", "name",
                                     "format", "schema", format);
    return json_object_set_new(out, "response_format", wanted) == 0;
}

// true, false, or how much: the template decides what that means.
static bool read_think(const json_t *body, json_t *out, ApiError *e) {
    json_t *think = json_object_get(body, "think");
    if (!think || json_is_null(think)) return true;
    if (json_is_boolean(think)) return json_object_set(out, "enable_thinking", think) == 0;
    if (!json_is_string(think))
        return api_error_set(e, 400, NULL, "think", "think must be true, false, or a word such as \"high\"");
    return json_object_set(out, "reasoning_effort", think) == 0;
}

// What both routes have in common. Takes the reference of `out`, and gives it back or NULL.
static json_t *read_common(const json_t *body, const SamplingDefaults *defaults, json_t *out, ApiError *e) {
    static const char *const same[] = {"timeout_ms", "priority", "cache_salt", "logprobs", "top_logprobs"};
    json_t *stream = json_object_get(body, "stream");
    json_object_set(out, "stream", stream && !json_is_null(stream) ? stream : json_true());
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) json_copy_field(out, same[i], body, same[i]);
    if (read_options(body, defaults, out, e) && read_format(body, out, e) && read_think(body, out, e))
        return out;
    json_decref(out);
    return NULL;
}

json_t *ollama_chat_to_chat(const json_t *body, const SamplingDefaults *defaults, ApiError *e) {
    json_t *messages = read_messages(body, e);
    if (!messages) return NULL;
    json_t *out = json_pack("{s:o, s:b}", "messages", messages, "continue_final_message",
                            chat_messages_continue(messages)); // as Ollama does
    json_copy_field(out, "tools", body, "tools");
    return read_common(body, defaults, out, e);
}

static bool refuse(const json_t *body, const char *name, const char *what, ApiError *e) {
    return !is_given(json_object_get(body, name)) || api_error_set(e, 400, NULL, name, "%s %s", name, what);
}

static bool check_generate(const json_t *body, ApiError *e) {
    return refuse(body, "images", "cannot be seen by this model; it reads text only", e) &&
           refuse(body, "template", "is the model file's own here", e) &&
           refuse(body, "context", "is no longer known to Ollama either; use /api/chat", e);
}

json_t *ollama_generate_to_chat(const json_t *body, const SamplingDefaults *defaults, ApiError *e) {
    json_t *prompt = json_object_get(body, "prompt"), *system = json_object_get(body, "system");
    if (!check_generate(body, e) || !refuse(body, "suffix", "needs raw: true", e)) return NULL;
    json_t *messages = json_array();
    if (is_given(system))
        json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "system", "content", system));
    json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "user", "content", prompt));
    return read_common(body, defaults, json_pack("{s:o}", "messages", messages), e);
}

// Completions have one number for both: how many of the likeliest.
static bool read_text_logprobs(const json_t *body, json_t *out, ApiError *e) {
    Fields f = fields_of(body, e);
    bool wanted = false;
    int64_t n_top = 0;
    fields_bool(&f, "logprobs", &wanted);
    fields_int(&f, "top_logprobs", 0, LOGPROBS_MAX_TOP, &n_top);
    json_object_set_new(out, "logprobs", wanted ? json_integer(n_top) : json_null());
    return f.ok;
}

json_t *ollama_generate_to_completion(const json_t *body, const SamplingDefaults *defaults, ApiError *e) {
    if (!check_generate(body, e)) return NULL;
    json_t *out = json_object();
    json_copy_field(out, "prompt", body, "prompt");
    json_copy_field(out, "suffix", body, "suffix");
    out = read_common(body, defaults, out, e);
    if (!out || read_text_logprobs(body, out, e)) return out;
    json_decref(out);
    return NULL;
}
