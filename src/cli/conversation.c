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

bool conversation_encode(const Conversation *c, const ChatTemplate *t, const PromptEncoder *prompts,
                         TokenList *out, Err *err) {
    // The encoder changes what it is given.
    json_t *variables =
        json_pack("{s:o, s:b}", "messages", json_deep_copy(c->messages), "add_generation_prompt", 1);
    if (!variables) return no_memory(err);
    bool ok = prompt_encode_chat(prompts, t, variables, out, err);
    json_decref(variables);
    return ok;
}
