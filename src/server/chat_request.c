#include "server/chat_request.h"

#include "chat/tool_generic.h"
#include "chat/tool_grammar.h"
#include "server/parse.h"

#include <stdio.h>

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
    result = text.failed ? NULL : json_stringn(buf_str(&text).ptr, text.len);
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

static bool out_of_memory(ApiError *e) {
    return api_error_set(e, 503, NULL, NULL, "out of memory");
}

static bool append_message(json_t *out, const json_t *message, size_t i, ToolHistory *h, ApiError *e) {
    json_t *one = read_message(message, i, e);
    if (!one) return false;
    if (json_array_append_new(out, one) != 0) return out_of_memory(e);
    return chat_tools_prepare(h, one, i, e);
}

// The conversation for the template: checked, flattened, a new reference.
static json_t *read_messages(const json_t *list, const ChatStyle *style, const json_t *tools, ApiError *e) {
    ToolHistory history = {.style = style};
    json_t *out = json_array();
    const json_t *message;
    size_t i;
    bool ok = true;
    json_array_foreach(list, i, message) {
        ok = append_message(out, message, i, &history, e);
        if (!ok) break;
    }
    if (ok && style->tools == TOOL_FORMAT_GENERIC && (tools || history.any))
        ok = tool_generic_apply(out, tools) || out_of_memory(e);
    tool_history_free(&history);
    if (ok) return out;
    json_decref(out);
    return NULL;
}

// ---- the prompt

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
static bool may_fit(const Served *served, const ChatRequest *chat, ApiError *e) {
    const json_t *messages = chat->messages;
    size_t context = (size_t)served->context, n = json_array_size(messages);
    if (n > context)
        return api_error_set(e, 400, "context_length_exceeded", "messages",
                             "%zu messages are more than the context of %zu tokens can hold", n, context);
    return served_admits_text(served, "messages", text_bytes(messages), e) &&
           served_admits_text(served, "tools", text_bytes(chat->tools.list), e);
}

static json_t *make_variables(const ChatStyle *style, const ChatRequest *chat, ApiError *e) {
    const json_t *tools = chat->tools.list;
    json_t *messages = read_messages(chat->messages, style, tools, e);
    if (!messages) return NULL;
    json_t *variables = chat->variables ? json_deep_copy(chat->variables) : json_object();
    bool in_template = tools && style->tools != TOOL_FORMAT_GENERIC;
    json_object_set_new(variables, "messages", messages);
    json_object_set_new(variables, "tools", in_template ? json_deep_copy(tools) : json_null());
    json_object_set_new(variables, "add_generation_prompt",
                        json_boolean(chat->add_generation_prompt && !chat->continue_final_message));
    json_object_set_new(variables, "continue_final_message", json_boolean(chat->continue_final_message));
    if (!variables) out_of_memory(e);
    return variables;
}

static const json_t *last_of(const json_t *messages) {
    return json_array_get(messages, json_array_size(messages) - 1);
}

bool chat_messages_continue(const json_t *messages) {
    const json_t *last = last_of(messages);
    const char *role = json_string_value(json_object_get(last, "role"));
    const json_t *content = json_object_get(last, "content");
    return role && strcmp(role, "assistant") == 0 && !calls_tools(last) &&
           (json_is_string(content) || json_is_array(content));
}

ChatRequest chat_request_default(const Served *served) {
    return (ChatRequest){.add_generation_prompt = true, .raw_reasoning = served->config->raw_reasoning};
}

// What the template is given. NULL with *e filled otherwise.
static json_t *checked_variables(const Served *served, const ChatRequest *chat, ApiError *e) {
    if (!served->service.chat_template)
        api_error_set(e, 400, NULL, "messages",
                      "messages need a chat template, and this model has none; use /v1/completions");
    else if (!json_is_array(chat->messages) || json_array_size(chat->messages) == 0)
        api_error_set(e, 400, NULL, "messages", "messages must be an array with at least one message");
    else if (chat->continue_final_message && !chat_messages_continue(chat->messages))
        api_error_set(e, 400, NULL, "continue_final_message",
                      "continue_final_message needs a last message of the assistant, with text and no calls");
    else if (may_fit(served, chat, e))
        return make_variables(&served->style, chat, e);
    return NULL;
}

bool chat_request_encode(const Served *served, const ChatRequest *chat, TokenList *out, ApiError *e) {
    Err err = {0};
    json_t *variables = checked_variables(served, chat, e);
    if (!variables) return false;
    bool ok = prompt_encode_chat(served->prompts, served->service.chat_template, variables, out, &err);
    json_decref(variables);
    return ok || api_error_from(e, &err, "messages");
}

bool chat_request_render(const Served *served, const ChatRequest *chat, Buf *out, ApiError *e) {
    Err err = {0};
    json_t *variables = checked_variables(served, chat, e);
    if (!variables) return false;
    bool ok = prompt_render_chat(served->prompts, served->service.chat_template, variables, out, &err);
    json_decref(variables);
    return ok || api_error_from(e, &err, "messages");
}

// ---- the answers

// Does the prompt end in the mark that opens the thinking?
static bool opens_thinking(const Served *served, const TokenList *prompt) {
    enum { LAST_TOKENS = 16 };
    Buf text = {0};
    for (size_t i = prompt->n > LAST_TOKENS ? prompt->n - LAST_TOKENS : 0; i < prompt->n; i++)
        tokenizer_decode_token(served->service.tokenizer, prompt->ids[i], true, &text);
    bool open = reasoning_is_open(served->style.reasoning, buf_str(&text));
    buf_free(&text);
    return open;
}

// Does the message that is to be continued end in its thinking?
static bool goes_on_thinking(const ChatRequest *chat, const ReasoningMarks *marks) {
    ApiError ignored;
    json_t *content = read_content(last_of(chat->messages), 0, &ignored);
    bool inside = content && reasoning_is_unfinished(marks, json_str(content));
    json_decref(content);
    return inside;
}

bool chat_request_form(const Served *served, const ChatRequest *chat, const TokenList *prompt, ChatForm *out,
                       const TokenList **shown) {
    const ChatStyle *style = &served->style;
    bool continues = chat->continue_final_message; // so the beginning, where thinking stands, is behind it
    bool thinks =
        style->reasoning && !chat->raw_reasoning && (!continues || goes_on_thinking(chat, style->reasoning));
    *out =
        (ChatForm){.reasoning = thinks ? style->reasoning : NULL,
                   .has_tools = chat->tools.list != NULL || (thinks && tool_format_has_frames(style->tools)),
                   .format = style->tools,
                   .one_call = chat->tools.once};
    if (thinks) out->reasoning_open = continues || opens_thinking(served, prompt);
    if (chat->tools.list) out->tools = json_deep_copy(chat->tools.list);
    *shown = thinks || out->has_tools ? &served->marks : NULL;
    return !chat->tools.list || out->tools;
}

// Calls, or else `text`; NULL: nothing else.
static bool compile_calls(const Served *served, const ChatTools *tools, json_t *text, GenParams *p,
                          ApiError *e) {
    Err err = {0};
    ToolGrammar g = {
        .tools = tools->list, .only = tools->name, .once = tools->once || tools->choice == TOOL_CHOICE_NAMED};
    json_t *shape = tool_grammar_shape(&served->style, &g);
    if (text) shape = json_pack("{s:[o, O]}", "any", shape, text);
    GrammarSpec spec = {.kind = GRAMMAR_SHAPE, .value = shape};
    shared_grammar_release(p->grammar);
    p->grammar = NULL;
    if (shape) p->grammar = grammar_store_get(served->service.grammars, &spec, &err);
    json_decref(shape);
    if (p->grammar) return true;
    if (!shape) return out_of_memory(e);
    return api_error_set(e, api_status_of(err.code), NULL, "tools", "tools: the parameters of %s", err.msg);
}

// A grammar holds behind the thinking, where its marks are single tokens; else there is no thinking.
static void place_grammar(const Served *served, ChatForm *form, GenParams *p) {
    const ReasoningMarks *m = form->reasoning;
    p->thinks_first =
        m && !m->again &&
        late_marks_find(served->service.tokenizer, m->open[0], m->close, form->reasoning_open, &p->thinking);
    if (!p->thinks_first) form->reasoning = NULL;
}

bool chat_request_hold(const Served *served, const ChatRequest *chat, ChatForm *form, GenParams *p,
                       ApiError *e) {
    static const char field[] = "tool_choice";
    bool forced = chat->tools.choice == TOOL_CHOICE_REQUIRED || chat->tools.choice == TOOL_CHOICE_NAMED;
    bool calls = forced || (chat->tools.list && chat->text);
    if (forced && p->grammar && !chat->text)
        return api_error_set(e, 400, NULL, field, "%s: the answer is held to something else", field);
    if (forced && (!served->service.grammars || p->ignore_eos))
        return api_error_set(e, 400, NULL, field, "%s may be none or auto here", field);
    if (!calls) form->has_tools = form->has_tools && !p->grammar; // the text is what was asked for
    if (calls && !compile_calls(served, &chat->tools, forced ? NULL : chat->text, p, e)) return false;
    if (p->grammar) place_grammar(served, form, p);
    return true;
}
