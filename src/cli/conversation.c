#include "cli/conversation.h"

#include "base/buf.h"
#include "base/utf8.h"

static bool no_memory(Err *err) {
    return err_set(err, ERR_NOMEM, "out of memory");
}

bool conversation_start(Conversation *c, const char *system, Err *err) {
    c->messages = json_array();
    if (!c->messages) return no_memory(err);
    return !system[0] || conversation_add(c, "system", str_from(system), err);
}

void conversation_end(Conversation *c) {
    json_decref(c->messages);
    c->messages = NULL;
}

bool conversation_add(Conversation *c, const char *role, Str content, Err *err) {
    Buf clean = {0};
    utf8_sanitize(content, &clean);
    Str text = buf_str(&clean);
    json_t *message =
        clean.failed ? NULL : json_pack("{s:s, s:s%}", "role", role, "content", text.ptr, text.len);
    bool ok = message && json_array_append_new(c->messages, message) == 0;
    buf_free(&clean);
    return ok || no_memory(err);
}

void conversation_drop_last(Conversation *c) {
    size_t n = json_array_size(c->messages);
    if (n > 0) json_array_remove(c->messages, n - 1);
}

static const char *text_of(const json_t *message, const char *key) {
    const char *text = json_string_value(json_object_get(message, key));
    return text ? text : "";
}

static bool begins_with_system(const Conversation *c) {
    return strcmp(text_of(json_array_get(c->messages, 0), "role"), "system") == 0;
}

const char *conversation_system(const Conversation *c) {
    return begins_with_system(c) ? text_of(json_array_get(c->messages, 0), "content") : "";
}

bool conversation_set_system(Conversation *c, const char *system, Err *err) {
    Conversation changed;
    bool ok = conversation_start(&changed, system, err);
    for (size_t i = begins_with_system(c); ok && i < json_array_size(c->messages); i++)
        ok = json_array_append(changed.messages, json_array_get(c->messages, i)) == 0 || no_memory(err);
    if (ok) {
        json_t *old = c->messages;
        c->messages = changed.messages;
        changed.messages = old;
    }
    conversation_end(&changed);
    return ok;
}

static bool is_message(const json_t *m, bool first) {
    const char *role = text_of(m, "role");
    bool known =
        strcmp(role, "user") == 0 || strcmp(role, "assistant") == 0 || (first && strcmp(role, "system") == 0);
    return known && json_is_string(json_object_get(m, "content"));
}

bool conversation_replace(Conversation *c, json_t *messages, Err *err) {
    bool ok = json_is_array(messages);
    for (size_t i = 0; ok && i < json_array_size(messages); i++)
        ok = is_message(json_array_get(messages, i), i == 0);
    if (!ok) {
        json_decref(messages);
        return err_set(err, ERR_INVALID,
                       "that is no conversation: messages with a role and a content are wanted");
    }
    json_decref(c->messages);
    c->messages = messages;
    return true;
}

bool conversation_encode(const Conversation *c, const ChatTemplate *t, const PromptEncoder *prompts,
                         const char *think, TokenList *out, Err *err) {
    // The encoder changes what it is given.
    json_t *variables =
        json_pack("{s:o, s:b}", "messages", json_deep_copy(c->messages), "add_generation_prompt", 1);
    if (!variables) return no_memory(err);
    if (strcmp(think, "auto") != 0)
        json_object_set_new(variables, "enable_thinking", json_boolean(strcmp(think, "on") == 0));
    bool ok = prompt_encode_chat(prompts, t, variables, out, err);
    json_decref(variables);
    return ok;
}
