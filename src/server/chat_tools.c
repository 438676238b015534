#include "server/chat_tools.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

// ---- what is offered and wanted

static bool bad_at(ApiError *e, const char *place, const char *what) {
    return api_error_set(e, 400, NULL, place, "%s %s", place, what);
}

static bool has_type(const json_t *value, const char *type) {
    const char *given = json_string_value(json_object_get(value, "type"));
    return given && strcmp(given, type) == 0;
}

static bool is_function(const json_t *tool) {
    return has_type(tool, "function") && json_is_object(json_object_get(tool, "function"));
}

static Str name_of(const json_t *tool) {
    return json_str(json_object_get(json_object_get(tool, "function"), "name"));
}

static bool is_tool_name(const json_t *name) {
    Str s = json_str(name);
    if (!json_is_string(name) || s.len == 0 || s.len > CHAT_MAX_TOOL_NAME) return false;
    for (size_t i = 0; i < s.len; i++)
        if (!isalnum((unsigned char)s.ptr[i]) && !memchr("_-.", s.ptr[i], 3)) return false;
    return true;
}

static const json_t *find_tool(const json_t *list, size_t n, Str name) {
    for (size_t i = 0; i < n; i++) {
        const json_t *tool = json_array_get(list, i);
        if (str_eq(name, name_of(tool))) return json_object_get(tool, "function");
    }
    return NULL;
}

static bool check_tool(const json_t *list, size_t i, ApiError *e) {
    char place[64];
    const json_t *tool = json_array_get(list, i), *function = json_object_get(tool, "function");
    const json_t *name = json_object_get(function, "name");
    const json_t *parameters = json_object_get(function, "parameters");
    snprintf(place, sizeof place, "tools[%zu]", i);
    if (!is_function(tool)) return bad_at(e, place, "must have type \"function\" and an object in function");
    snprintf(place, sizeof place, "tools[%zu].function.name", i);
    if (!is_tool_name(name))
        return bad_at(e, place, "must be 1 to 128 letters, digits, dots, dashes or underscores");
    if (find_tool(list, i, json_str(name))) return bad_at(e, place, "is the name of an earlier tool, too");
    snprintf(place, sizeof place, "tools[%zu].function.parameters", i);
    if (parameters && !json_is_null(parameters) && !json_is_object(parameters))
        return bad_at(e, place, "must be a JSON schema, an object");
    return true;
}

static void read_list(Fields *f, ChatTools *out) {
    const json_t *list = fields_get(f, "tools");
    size_t n = json_array_size(list);
    if (!list || (json_is_array(list) && n == 0)) return;
    if (!json_is_array(list) || n > CHAT_MAX_TOOLS) {
        fields_fail(f, "tools", "must be an array of at most %d tools", CHAT_MAX_TOOLS);
        return;
    }
    for (size_t i = 0; i < n && f->ok; i++) f->ok = check_tool(list, i, f->error);
    out->list = list;
}

// {"type": "function", "function": {"name": …}}
static void read_named(Fields *f, const json_t *value, ChatTools *out) {
    const json_t *name = json_object_get(json_object_get(value, "function"), "name");
    if (!is_function(value) || !json_is_string(name)) {
        fields_fail(f, "tool_choice", "must be none, auto, required or an object that names a function");
        return;
    }
    out->choice = TOOL_CHOICE_NAMED;
    out->name = json_str(name);
    if (!find_tool(out->list, json_array_size(out->list), out->name))
        fields_fail(f, "tool_choice", "names a function that is not among the tools");
}

// {"type": "allowed_tools", "allowed_tools": {"mode": "auto" or "required", "tools": [{"type": "function",
// "function": {"name": …}}, …]}}: the others are as if they were not there.
static void read_allowed(Fields *f, const json_t *value, ChatTools *out) {
    const json_t *wish = json_object_get(value, "allowed_tools"), *names = json_object_get(wish, "tools");
    const char *mode = json_string_value(json_object_get(wish, "mode"));
    size_t n = json_array_size(names), n_tools = json_array_size(out->list);
    bool required = mode && strcmp(mode, "required") == 0;
    if (n == 0 || !mode || (!required && strcmp(mode, "auto") != 0)) {
        fields_fail(f, "tool_choice", "must have a mode, auto or required, and tools in allowed_tools");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (find_tool(out->list, n_tools, name_of(json_array_get(names, i)))) continue;
        fields_fail(f, "tool_choice", "allows a function that is not among the tools");
        return;
    }
    out->allowed = json_array();
    for (size_t i = 0; i < n_tools; i++) {
        json_t *tool = json_array_get(out->list, i);
        if (find_tool(names, n, name_of(tool))) json_array_append(out->allowed, tool);
    }
    out->list = out->allowed;
    out->choice = required ? TOOL_CHOICE_REQUIRED : TOOL_CHOICE_AUTO;
}

static void read_choice(Fields *f, ChatTools *out) {
    static const char *const words[] = {"auto", "none", "required"}; // in the order of ToolChoice
    const json_t *value = fields_get(f, "tool_choice");
    const char *word = json_string_value(value);
    if (!value) return;
    for (int i = 0; word && i < 3; i++) {
        if (strcmp(word, words[i]) != 0) continue;
        out->choice = (ToolChoice)i;
        if (out->choice == TOOL_CHOICE_REQUIRED && !out->list)
            fields_fail(f, "tool_choice", "cannot be required without tools");
        return;
    }
    if (has_type(value, "allowed_tools"))
        read_allowed(f, value, out);
    else
        read_named(f, value, out);
}

void chat_tools_read(Fields *f, ChatTools *out) {
    bool parallel = true;
    *out = (ChatTools){0};
    read_list(f, out);
    read_choice(f, out);
    fields_bool(f, "parallel_tool_calls", &parallel);
    out->once = !parallel;
    if (out->choice == TOOL_CHOICE_NONE) out->list = NULL;
}

void chat_tools_free(ChatTools *t) {
    json_decref(t->allowed);
}

// ---- calls and results in the messages

typedef struct Place {
    ApiError *e;
    size_t message, call;
} Place;

static bool bad_call(const Place *p, const char *where, const char *what) {
    char place[96];
    snprintf(place, sizeof place, "messages[%zu].tool_calls[%zu]%s", p->message, p->call, where);
    return bad_at(p->e, place, what);
}

static bool bad_message(ApiError *e, size_t i, const char *where, const char *what) {
    char place[96];
    snprintf(place, sizeof place, "messages[%zu]%s", i, where);
    return bad_at(e, place, what);
}

// An id of nine letters and digits, always the same for the same id: Mistral's templates want no other.
static json_t *short_id(Str id) {
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char out[9];
    uint64_t hash = 0xCBF29CE484222325u; // FNV-1a
    bool good = id.len == sizeof out;
    for (size_t i = 0; i < id.len; i++) {
        good = good && isalnum((unsigned char)id.ptr[i]);
        hash = (hash ^ (unsigned char)id.ptr[i]) * 0x100000001B3u;
    }
    if (good) return json_stringn(id.ptr, id.len);
    for (size_t i = 0; i < sizeof out; i++, hash /= 62) out[i] = letters[hash % 62];
    return json_stringn(out, sizeof out);
}

static void prepare_id(const ToolHistory *h, json_t *object, const char *key) {
    if (h->style->tools == TOOL_FORMAT_MISTRAL)
        json_object_set_new(object, key, short_id(json_str(json_object_get(object, key))));
}

// The arguments as an object: they come as text, from some clients as an object. A new reference.
static json_t *read_arguments(const json_t *given) {
    if (json_is_object(given)) return json_deep_copy(given);
    Str text = json_str(given);
    if (!given || json_is_null(given) || (json_is_string(given) && text.len == 0)) return json_object();
    json_t *object = json_is_string(given) ? json_loadb(text.ptr, text.len, JSON_ALLOW_NUL, NULL) : NULL;
    if (json_is_object(object)) return object;
    json_decref(object);
    return NULL;
}

// The text as it came, so that what was said before is said with the same bytes.
static json_t *as_text(const json_t *given, const json_t *object) {
    if (json_string_length(given)) return json_copy((json_t *)given);
    char *text = json_dumps(object, JSON_COMPACT);
    json_t *made = text ? json_string(text) : NULL;
    free(text);
    return made;
}

static bool prepare_arguments(ToolHistory *h, json_t *function, const Place *p) {
    const json_t *given = json_object_get(function, "arguments");
    if (json_is_string(given) && !parse_is_bounded(json_str(given), &h->n_values, p->e)) return false;
    json_t *object = read_arguments(given);
    if (!object) return bad_call(p, ".function.arguments", "must be the text of a JSON object");
    bool as_object = !h->style->text_arguments && h->style->tools != TOOL_FORMAT_GENERIC;
    json_t *wanted = as_object ? json_incref(object) : as_text(given, object);
    json_decref(object);
    return json_object_set_new(function, "arguments", wanted) == 0 ||
           api_error_set(p->e, 503, NULL, NULL, "out of memory");
}

static bool prepare_call(ToolHistory *h, json_t *call, const Place *p) {
    json_t *id = json_object_get(call, "id"), *function = json_object_get(call, "function");
    json_t *name = json_object_get(function, "name");
    if (!json_is_object(call)) return bad_call(p, "", "must be an object");
    if (!json_is_string(id) || json_string_length(id) == 0) return bad_call(p, ".id", "must be a string");
    if (!json_is_object(function)) return bad_call(p, ".function", "must be an object");
    if (!is_tool_name(name)) return bad_call(p, ".function.name", "must be the name of a function");
    if (json_object_setn(h->names, json_string_value(id), json_string_length(id), name) != 0)
        return api_error_set(p->e, 503, NULL, NULL, "out of memory");
    h->any = true;
    if (!json_object_get(call, "type")) json_object_set_new(call, "type", json_string("function"));
    prepare_id(h, call, "id");
    return prepare_arguments(h, function, p);
}

static bool prepare_calls(ToolHistory *h, json_t *message, size_t i, ApiError *e) {
    json_t *calls = json_object_get(message, "tool_calls"), *call;
    size_t k;
    if (!calls) return true;
    if (json_is_null(calls) || (json_is_array(calls) && json_array_size(calls) == 0)) {
        json_object_del(message, "tool_calls"); // templates ask whether it is there
        return true;
    }
    if (!json_is_array(calls)) return bad_message(e, i, ".tool_calls", "must be an array of calls");
    if (h->style->needs_content && json_is_null(json_object_get(message, "content")))
        json_object_set_new(message, "content", json_string(""));
    json_array_foreach(calls, k, call) {
        if (!prepare_call(h, call, &(Place){e, i, k})) return false;
    }
    return true;
}

static bool prepare_result(ToolHistory *h, json_t *message, size_t i, ApiError *e) {
    json_t *id = json_object_get(message, "tool_call_id");
    if (!json_is_string(id)) return bad_message(e, i, ".tool_call_id", "must be the id of a call");
    json_t *name = json_object_getn(h->names, json_string_value(id), json_string_length(id));
    if (!name)
        return bad_message(e, i, ".tool_call_id", "is not the id of a call in an assistant's message before");
    if (!json_object_get(message, "name")) json_object_set(message, "name", name);
    prepare_id(h, message, "tool_call_id");
    return true;
}

bool chat_tools_prepare(ToolHistory *h, json_t *message, size_t i, ApiError *e) {
    const char *role = json_string_value(json_object_get(message, "role"));
    if (!h->names) h->names = json_object();
    if (strcmp(role, "tool") == 0) return prepare_result(h, message, i, e);
    if (strcmp(role, "assistant") == 0) return prepare_calls(h, message, i, e);
    return true;
}

void tool_history_free(ToolHistory *h) {
    json_decref(h->names);
}
