// /v1/chat/completions: from messages to a prompt by the model's own template; the answers are in
// api_openai.c.
#include "server/api_openai.h"

#include <stdio.h>

// ---- answers

static json_t *chat_opening(void) {
    return json_pack("{s:{s:s, s:s}}", "delta", "role", "assistant", "content", "");
}

static json_t *chat_piece(Str text) {
    if (text.len == 0) return json_pack("{s:{}}", "delta");
    return json_pack("{s:{s:s%}}", "delta", "content", text.ptr, text.len);
}

static json_t *chat_whole(Str text) {
    return json_pack("{s:{s:s, s:s%, s:n}}", "message", "role", "assistant", "content", text.ptr, text.len,
                     "refusal");
}

static const OpenAiKind chat_kind = {
    "chatcmpl-", "chat.completion", "chat.completion.chunk", chat_opening, chat_piece, chat_whole,
};

// ---- messages

// Failures here name the place: messages[3].content[0].type.
static bool bad(ApiError *e, size_t i, const char *where, const char *what) {
    char param[96];
    snprintf(param, sizeof param, "messages[%zu]%s", i, where);
    return api_error_set(e, 400, NULL, param, "%s %s", param, what);
}

// developer is OpenAI's newer word for system; templates know system.
static const char *template_role(const char *role) {
    static const char *const known[] = {"system", "user", "assistant", "tool"};
    if (!role) return NULL;
    if (strcmp(role, "developer") == 0) return "system";
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(role, known[i]) == 0) return known[i];
    return NULL;
}

// Text parts, one after the other. NULL with *e filled otherwise.
static json_t *flatten_parts(const json_t *parts, size_t i, ApiError *e) {
    Buf text = {0};
    json_t *result = NULL;
    const json_t *part;
    size_t j;
    json_array_foreach(parts, j, part) {
        char where[48];
        const json_t *words = json_object_get(part, "text");
        const char *type = json_string_value(json_object_get(part, "type"));
        snprintf(where, sizeof where, ".content[%zu]", j);
        if (!type || strcmp(type, "text") != 0) {
            bad(e, i, where, "must have type \"text\"; this model reads nothing else");
            goto free_text;
        }
        if (!json_is_string(words)) {
            bad(e, i, where, "must have a string in text");
            goto free_text;
        }
        buf_put(&text, (Str){json_string_value(words), json_string_length(words)});
    }
    result = json_stringn(buf_str(&text).ptr, text.len);
    if (!result) api_error_set(e, 503, NULL, NULL, "out of memory");
free_text:
    buf_free(&text);
    return result;
}

static bool calls_tools(const json_t *message) {
    return json_array_size(json_object_get(message, "tool_calls")) > 0;
}

// content as the template gets it: a string, or null beside tool_calls. A new reference.
static json_t *read_content(const json_t *message, size_t i, ApiError *e) {
    json_t *content = json_object_get(message, "content");
    if (json_is_string(content)) return json_incref(content);
    if (json_is_array(content)) return flatten_parts(content, i, e);
    if ((!content || json_is_null(content)) && calls_tools(message)) return json_null();
    bad(e, i, ".content", "must be a string or an array of text parts");
    return NULL;
}

static json_t *read_message(const json_t *message, size_t i, ApiError *e) {
    if (!json_is_object(message)) {
        bad(e, i, "", "must be an object with role and content");
        return NULL;
    }
    const char *role = template_role(json_string_value(json_object_get(message, "role")));
    if (!role) {
        bad(e, i, ".role", "must be system, developer, user, assistant or tool");
        return NULL;
    }
    json_t *content = read_content(message, i, e);
    json_t *copy = content ? json_deep_copy(message) : NULL;
    if (!copy) {
        if (content) api_error_set(e, 503, NULL, NULL, "out of memory");
        json_decref(content);
        return NULL;
    }
    json_object_set_new(copy, "role", json_string(role));
    json_object_set_new(copy, "content", content);
    return copy;
}

// The conversation for the template: checked, flattened, owned by the caller.
static json_t *read_messages(Fields *f) {
    json_t *list = fields_get(f, "messages"), *out;
    const json_t *message;
    size_t i;
    if (!list || !json_is_array(list) || json_array_size(list) == 0) {
        fields_fail(f, "messages", "must be an array with at least one message");
        return NULL;
    }
    out = json_array();
    json_array_foreach(list, i, message) {
        json_t *one = read_message(message, i, f->error);
        if (one) {
            json_array_append_new(out, one);
            continue;
        }
        f->ok = false;
        json_decref(out);
        return NULL;
    }
    return out;
}

// chat_template_kwargs go to the template as they are (enable_thinking and the like), below the
// variables that are the server's.
static json_t *read_variables(Fields *f) {
    bool add_generation_prompt = true;
    json_t *extra = fields_get(f, "chat_template_kwargs");
    fields_bool(f, "add_generation_prompt", &add_generation_prompt);
    if (extra && !json_is_object(extra))
        fields_fail(f, "chat_template_kwargs", "must be an object, not %s", json_kind(extra));
    json_t *messages = f->ok ? read_messages(f) : NULL;
    if (!messages) return NULL;
    json_t *variables = extra ? json_deep_copy(extra) : json_object();
    json_object_set_new(variables, "messages", messages);
    json_object_set_new(variables, "tools", json_null());
    json_object_set_new(variables, "add_generation_prompt", json_boolean(add_generation_prompt));
    return variables;
}

// Bytes of all strings in a value; as deep as parse_body lets it be.
static size_t text_bytes(const json_t *value) {
    size_t i, n = 0;
    const char *key;
    json_t *item;
    if (json_is_string(value)) return json_string_length(value);
    if (json_is_array(value)) {
        json_array_foreach(value, i, item) n += text_bytes(item);
    } else if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, item) n += text_bytes(item);
    }
    return n;
}

// Before anything is copied or rendered. A template may leave parts out (earlier thinking), so a
// conversation far beyond the context is refused even where the rest of it would fit.
static bool may_fit(const App *app, Fields *f) {
    const json_t *messages = fields_get(f, "messages");
    size_t context = (size_t)engine_max_sequence(app->service.engine), n = json_array_size(messages);
    if (n > context)
        return api_error_set(f->error, 400, "context_length_exceeded", "messages",
                             "%zu messages are more than the context of %zu tokens can hold", n, context);
    return app_admits_text(app, "messages", text_bytes(messages), f->error);
}

// ---- the request

static bool is_unforced(const json_t *value) {
    const char *word = json_string_value(value);
    return word && (strcmp(word, "none") == 0 || strcmp(word, "auto") == 0);
}

static bool is_text_only(const json_t *value) {
    const char *word = json_string_value(json_array_get(value, 0));
    return json_array_size(value) == 1 && word && strcmp(word, "text") == 0;
}

static const Unsupported chat_unsupported[] = {
    {"logprobs", openai_is_empty},
    {"top_logprobs", openai_is_empty},
    {"tools", openai_is_empty},
    {"tool_choice", is_unforced},
    {"functions", openai_is_empty},
    {"function_call", is_unforced},
    {"modalities", is_text_only},
    {"audio", openai_is_empty},
    {"continue_final_message", openai_is_empty},
    {"chat_template", openai_is_empty},
};

static bool encode_chat(App *app, Fields *f, TokenList *prompt) {
    Err err = {0};
    if (!app->service.chat_template)
        return fields_fail(f, "messages",
                           "need a chat template, and this model has none; use /v1/completions");
    if (!may_fit(app, f)) return false;
    json_t *variables = read_variables(f);
    if (!variables) return false;
    bool ok = prompt_encode_chat(app->prompts, app->service.chat_template, variables, prompt, &err);
    json_decref(variables);
    return ok || api_error_from(f->error, &err, "messages");
}

static bool chat(App *app, HttpExchange *x, const json_t *body, ApiError *e) {
    Fields f = fields_of(body, e);
    GenParams params = gen_params_default(DIALECT_OPENAI, app->config);
    TokenList prompt = {0};
    openai_read_common(app, &f, &params);
    openai_refuse(&f, chat_unsupported, sizeof chat_unsupported / sizeof chat_unsupported[0]);
    bool ok = f.ok && encode_chat(app, &f, &prompt) && openai_start(app, x, &chat_kind, &params, &prompt, e);
    token_list_free(&prompt);
    gen_params_free(&params);
    return ok;
}

void api_chat_completions(App *app, HttpExchange *x, Str tail) {
    (void)tail;
    ApiError e = {0};
    json_t *body = parse_body(http_body(x), &e);
    if (!body || !chat(app, x, body, &e)) api_error_reply(x, DIALECT_OPENAI, &e);
    json_decref(body);
}
