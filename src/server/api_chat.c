// /v1/chat/completions: the conversation is chat_request.h's, the answers are openai_answer.h's.
#include "server/api_openai.h"
#include "server/chat_request.h"

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

static const OpenAiKind chat_kind = {"chat.completion", "chat.completion.chunk", chat_opening, chat_piece,
                                     chat_whole};

static json_t *whole(const Generation *g) {
    return openai_whole(g, &chat_kind);
}

static void delta(Generation *g, Request *choice, Str text) {
    openai_delta(g, &chat_kind, choice, text);
}

static void end(Generation *g) {
    openai_end(g, &chat_kind);
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

static bool read_conversation(const Served *served, Fields *f, TokenList *prompt) {
    ChatRequest chat = {.messages = fields_get(f, "messages"),
                        .variables = fields_get(f, "chat_template_kwargs"),
                        .add_generation_prompt = true};
    fields_bool(f, "add_generation_prompt", &chat.add_generation_prompt);
    if (chat.variables && !json_is_object(chat.variables))
        fields_fail(f, "chat_template_kwargs", "must be an object, not %s", json_kind(chat.variables));
    if (!prompt) fields_fail(f, "messages", "do not fit into memory");
    return f->ok && chat_request_encode(served, &chat, prompt, f->error);
}

static bool read(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    plan->params = gen_params_default(DIALECT_OPENAI, served->config);
    openai_read_common(served, &f, &plan->params);
    openai_refuse(&f, chat_unsupported, sizeof chat_unsupported / sizeof chat_unsupported[0]);
    return f.ok && read_conversation(served, &f, gen_plan_add_prompt(plan));
}

void api_chat_completions(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {DIALECT_OPENAI, "chatcmpl-", read, NULL,
                                       whole,          delta,       end,  openai_fail};
    (void)tail;
    generation_handle(app, x, &dialect);
}
