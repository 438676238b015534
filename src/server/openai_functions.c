#include "server/openai_functions.h"

#include <stdio.h>

static json_t *given(const json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

static bool has_role_function(const json_t *message) {
    const char *role = json_string_value(json_object_get(message, "role"));
    return role && strcmp(role, "function") == 0;
}

bool openai_functions_offered(const json_t *body) {
    return given(body, "functions") || given(body, "function_call");
}

bool openai_functions_used(const json_t *body) {
    const json_t *message;
    size_t i;
    if (openai_functions_offered(body)) return true;
    json_array_foreach(json_object_get(body, "messages"), i, message) {
        if (given(message, "function_call") || has_role_function(message)) return true;
    }
    return false;
}

// ---- what is offered and wanted

static bool read_offer(const json_t *body, json_t *chat, ApiError *e) {
    const json_t *list = given(body, "functions");
    json_t *function, *tools;
    size_t i;
    if (!list) return true;
    if (!json_is_array(list)) return api_error_set(e, 400, NULL, "functions", "functions must be an array");
    json_object_set_new(chat, "tools", tools = json_array());
    json_array_foreach(list, i, function) {
        json_array_append_new(tools, json_pack("{s:s, s:O}", "type", "function", "function", function));
    }
    return true;
}

// "none", "auto", or {"name": …}.
static bool read_wish(const json_t *body, json_t *chat, ApiError *e) {
    json_t *wish = given(body, "function_call"), *name = json_object_get(wish, "name");
    json_object_set_new(chat, "parallel_tool_calls", json_false());
    if (!wish) return true;
    if (json_is_string(name))
        return json_object_set_new(
                   chat, "tool_choice",
                   json_pack("{s:s, s:{s:O}}", "type", "function", "function", "name", name)) == 0;
    const char *word = json_string_value(wish);
    if (word && (strcmp(word, "none") == 0 || strcmp(word, "auto") == 0))
        return json_object_set(chat, "tool_choice", wish) == 0;
    return api_error_set(e, 400, NULL, "function_call",
                         "function_call must be none, auto or an object with the name of a function");
}

// ---- messages

// Calls had no ids: they are numbered, and a result answers the latest.
static json_t *call_id(int number) {
    return json_sprintf("call_%d", number);
}

static void change_call(json_t *message, int number) {
    json_t *call = json_pack("{s:o, s:s, s:O}", "id", call_id(number), "type", "function", "function",
                             json_object_get(message, "function_call"));
    json_object_del(message, "function_call");
    json_object_set_new(message, "tool_calls", json_pack("[o]", call));
}

static void change_result(json_t *message, int number) {
    json_object_set_new(message, "role", json_string("tool"));
    json_object_set_new(message, "tool_call_id", call_id(number));
}

static json_t *changed_message(const json_t *given_message, size_t i, int *n_calls, ApiError *e) {
    char place[48];
    json_t *message = json_copy((json_t *)given_message);
    snprintf(place, sizeof place, "messages[%zu]", i);
    if (given(message, "function_call")) {
        change_call(message, (*n_calls)++);
    } else if (has_role_function(message) && *n_calls > 0) {
        change_result(message, *n_calls - 1);
    } else if (has_role_function(message)) {
        api_error_set(e, 400, NULL, place,
                      "%s has the role function, but no message before it a function_call", place);
        json_decref(message);
        return NULL;
    }
    return message;
}

static bool change_messages(const json_t *body, json_t *chat, ApiError *e) {
    const json_t *list = json_object_get(body, "messages"), *message;
    int n_calls = 0;
    size_t i;
    if (!json_is_array(list)) return true; // whoever reads it says so
    json_t *out = json_array();
    json_object_set_new(chat, "messages", out);
    json_array_foreach(list, i, message) {
        json_t *changed = changed_message(message, i, &n_calls, e);
        if (!changed) return false;
        json_array_append_new(out, changed);
    }
    return true;
}

json_t *openai_functions_to_tools(const json_t *body, ApiError *e) {
    json_t *chat = json_copy((json_t *)body);
    if (openai_functions_offered(body) && (given(body, "tools") || given(body, "tool_choice"))) {
        api_error_set(e, 400, NULL, "functions",
                      "functions and function_call are older words for tools and tool_choice, and cannot be "
                      "combined with them");
    } else if (change_messages(body, chat, e) &&
               (!openai_functions_offered(body) || (read_offer(body, chat, e) && read_wish(body, chat, e)))) {
        return chat;
    }
    json_decref(chat);
    return NULL;
}
