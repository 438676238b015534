// /v1/chat/completions: the conversation is chat_request.h's, what choices say is chat_choices.h's.
#include "server/api_constraint.h"
#include "server/api_openai.h"
#include "server/api_stream.h"
#include "server/chat_choices.h"
#include "server/chat_request.h"
#include "server/openai_functions.h"
#include "server/openai_logprobs.h"

// ---- answers

// Was the request in the older words for tools? Then the answer is, too.
static bool says_functions(const Generation *g) {
    return chat_choices_own(g) != NULL;
}

static const char *finish_word(const Generation *g, const Request *choice, size_t n_calls) {
    if (choice->outcome == OUTCOME_STOP && n_calls) return says_functions(g) ? "function_call" : "tool_calls";
    return metrics_outcome_word(choice->outcome);
}

static json_t *calls_json(const json_t *calls) {
    json_t *out = json_array(), *call;
    size_t i;
    json_array_foreach(calls, i, call) {
        json_array_append_new(out,
                              json_pack("{s:O, s:s, s:{s:O, s:O}}", "id", json_object_get(call, "id"), "type",
                                        "function", "function", "name", json_object_get(call, "name"),
                                        "arguments", json_object_get(call, "arguments")));
    }
    return out;
}

static json_t *function_call_json(const json_t *calls) {
    const json_t *call = json_array_get(calls, 0);
    return json_pack("{s:O, s:O}", "name", json_object_get(call, "name"), "arguments",
                     json_object_get(call, "arguments"));
}

static json_t *message_json(const Generation *g, const ChatAnswer *a) {
    size_t n_calls = json_array_size(a->calls);
    Str text = buf_str(&a->text), reasoning = buf_str(&a->reasoning);
    json_t *message = json_pack("{s:s, s:n, s:n}", "role", "assistant", "content", "refusal");
    if (text.len || n_calls == 0) json_object_set_new(message, "content", json_stringn(text.ptr, text.len));
    if (reasoning.len)
        json_object_set_new(message, "reasoning_content", json_stringn(reasoning.ptr, reasoning.len));
    if (n_calls && says_functions(g))
        json_object_set_new(message, "function_call", function_call_json(a->calls));
    else if (n_calls)
        json_object_set_new(message, "tool_calls", calls_json(a->calls));
    return message;
}

static json_t *whole_choice(const Generation *g, const Request *choice, const char **finish) {
    const ChatAnswer *answer = chat_choice_answer(g, choice);
    *finish = finish_word(g, choice, json_array_size(answer->calls));
    return json_pack("{s:o}", "message", message_json(g, answer));
}

static json_t *logprobs(const Generation *g, Request *choice, OpenAiPart part) {
    if (!choice->opened && choice->outcome == OUTCOME_NONE) return NULL;
    return openai_chat_logprobs(g->model->served.service.tokenizer, &choice->log, part.first, part.end);
}

static const OpenAiKind chat_kind = {"chat.completion", "chat.completion.chunk", whole_choice, logprobs,
                                     chat_choices_n_reasoning};

static json_t *whole(const Generation *g) {
    return openai_whole(g, &chat_kind);
}

static json_t *part_json(const ChatPart *part) {
    Str text = part->text;
    switch (part->kind) {
    case CHAT_TEXT: return json_pack("{s:{s:s%}}", "delta", "content", text.ptr, text.len);
    case CHAT_REASONING: return json_pack("{s:{s:s%}}", "delta", "reasoning_content", text.ptr, text.len);
    case CHAT_CALL:
        return json_pack("{s:{s:[{s:i, s:s, s:s, s:{s:s%, s:s}}]}}", "delta", "tool_calls", "index",
                         part->call, "id", part->id, "type", "function", "function", "name", text.ptr,
                         text.len, "arguments", "");
    default:
        return json_pack("{s:{s:[{s:i, s:{s:s%}}]}}", "delta", "tool_calls", "index", part->call, "function",
                         "arguments", text.ptr, text.len);
    }
}

static json_t *function_part_json(const ChatPart *part) {
    if (part->kind == CHAT_CALL)
        return json_pack("{s:{s:{s:s%, s:s}}}", "delta", "function_call", "name", part->text.ptr,
                         part->text.len, "arguments", "");
    return json_pack("{s:{s:{s:s%}}}", "delta", "function_call", "arguments", part->text.ptr, part->text.len);
}

static void send_part(void *user, const ChatPart *part) {
    Request *choice = user;
    Generation *g = choice->user;
    bool of_call = part->kind == CHAT_CALL || part->kind == CHAT_ARGUMENTS;
    json_t *own = of_call && says_functions(g) ? function_part_json(part) : part_json(part);
    openai_send(g, &chat_kind, choice, own, NULL);
}

// The first chunk of a choice carries the role.
static void open_choice(Generation *g, Request *choice) {
    json_t *own = json_pack("{s:{s:s, s:s}}", "delta", "role", "assistant", "content", "");
    openai_send(g, &chat_kind, choice, own, NULL);
    choice->opened = true;
}

static void delta(Generation *g, Request *choice, Str text) {
    if (!choice->opened) open_choice(g, choice);
    if (!chat_choice_push(g, choice, text, send_part) || choice->outcome == OUTCOME_NONE) return;
    const char *finish = finish_word(g, choice, chat_choice_n_calls(g, choice));
    openai_send(g, &chat_kind, choice, json_pack("{s:{}}", "delta"), finish);
}

static void end(Generation *g) {
    openai_end(g, &chat_kind);
}

// ---- the request

static bool is_text_only(const json_t *value) {
    const char *word = json_string_value(json_array_get(value, 0));
    return json_array_size(value) == 1 && word && strcmp(word, "text") == 0;
}

static const Unsupported chat_unsupported[] = {
    {"modalities", is_text_only}, {"audio", openai_is_empty},         {"web_search_options", NULL},
    {"moderation", NULL},         {"chat_template", openai_is_empty},
};

static void read_reasoning_format(Fields *f, ChatRequest *chat) {
    Str word = {0};
    fields_str(f, "reasoning_format", &word);
    if (!word.ptr) return;
    chat->raw_reasoning = str_eq(word, STR("none"));
    if (!chat->raw_reasoning && !str_eq(word, STR("auto")))
        fields_fail(f, "reasoning_format", "must be auto or none");
}

static void read_logprobs(Fields *f, GenParams *p) {
    int64_t n_top = 0;
    fields_bool(f, "logprobs", &p->logprobs);
    fields_int(f, "top_logprobs", 0, LOGPROBS_MAX_TOP, &n_top);
    if (n_top > 0 && !p->logprobs) fields_fail(f, "top_logprobs", "needs logprobs to be true");
    p->n_top = (int32_t)n_top;
}

static void set_default(json_t *variables, const char *name, json_t *value) {
    if (json_object_get(variables, name))
        json_decref(value);
    else
        json_object_set_new(variables, name, value);
}

// Templates have three names for thinking or not. What chat_template_kwargs says comes first. A constrained
// answer has no place for thoughts, so its prompt is to ask for none.
static void read_thinking(Fields *f, json_t *variables) {
    Str effort = {0};
    bool constrained = api_constraint_is_wanted(f);
    bool thinks = !constrained;
    fields_str(f, "reasoning_effort", &effort);
    if (effort.ptr) {
        thinks = !str_eq(effort, STR("none"));
        if (thinks) set_default(variables, "reasoning_effort", json_stringn(effort.ptr, effort.len));
    }
    fields_bool(f, "enable_thinking", &thinks);
    if (!constrained && !effort.ptr && !fields_get(f, "enable_thinking")) return;
    set_default(variables, "enable_thinking", json_boolean(thinks));
    set_default(variables, "thinking", json_boolean(thinks));
}

// A new reference; NULL: f has failed, or no memory, and then nothing is set.
static json_t *read_variables(Fields *f) {
    json_t *given = fields_get(f, "chat_template_kwargs");
    if (given && !json_is_object(given))
        fields_fail(f, "chat_template_kwargs", "must be an object, not %s", json_kind(given));
    json_t *variables = f->ok ? json_object() : NULL;
    if (given) json_object_update(variables, given);
    read_thinking(f, variables);
    return variables;
}

static void read_chat(Fields *f, ChatRequest *chat) {
    chat->messages = fields_get(f, "messages");
    fields_bool(f, "add_generation_prompt", &chat->add_generation_prompt);
    fields_bool(f, "continue_final_message", &chat->continue_final_message);
    if (chat->continue_final_message && json_is_true(fields_get(f, "add_generation_prompt")))
        fields_fail(f, "continue_final_message", "cannot be combined with add_generation_prompt");
    read_reasoning_format(f, chat);
    chat_tools_read(f, &chat->tools);
}

static bool read_conversation(const Served *served, Fields *f, GenPlan *plan) {
    ChatRequest chat = chat_request_default(served);
    TokenList *prompt = gen_plan_add_prompt(plan);
    ChatChoices *choices = plan->state = chat_choices_new(plan->params.n);
    if (!prompt || !choices) fields_fail(f, "messages", "do not fit into memory");
    read_chat(f, &chat);
    json_t *variables = read_variables(f), *text = api_constraint_text(f);
    chat.variables = variables;
    chat.text = text;
    bool ok = f->ok && chat_request_encode(served, &chat, prompt, f->error) &&
              (chat_request_form(served, &chat, prompt, &choices->form, &plan->params.shown) ||
               fields_fail(f, "tools", "do not fit into memory")) &&
              chat_request_hold(served, &chat, &choices->form, &plan->params, f->error);
    json_decref(variables);
    json_decref(text);
    chat_tools_free(&chat.tools);
    return ok;
}

// What makes the prompt, and nothing else. *variables is a new reference, of which chat has a view.
static bool read_prompt(const Served *served, const json_t *body, ChatRequest *chat, json_t **variables,
                        ApiError *e) {
    Fields f = fields_of(body, e);
    *chat = chat_request_default(served);
    read_chat(&f, chat);
    chat->variables = *variables = read_variables(&f);
    return f.ok;
}

bool openai_encode_chat(const Served *served, const json_t *body, TokenList *out, ApiError *e) {
    ChatRequest chat;
    json_t *variables;
    bool ok = read_prompt(served, body, &chat, &variables, e) && chat_request_encode(served, &chat, out, e);
    json_decref(variables);
    chat_tools_free(&chat.tools);
    return ok;
}

bool openai_render_chat(const Served *served, const json_t *body, Buf *out, ApiError *e) {
    ChatRequest chat;
    json_t *variables;
    bool ok = read_prompt(served, body, &chat, &variables, e) && chat_request_render(served, &chat, out, e);
    json_decref(variables);
    chat_tools_free(&chat.tools);
    return ok;
}

bool openai_read_chat(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    plan->params = gen_params_default(DIALECT_OPENAI, served->config);
    openai_read_common(served, &f, &plan->params);
    read_logprobs(&f, &plan->params);
    openai_refuse(&f, chat_unsupported, sizeof chat_unsupported / sizeof chat_unsupported[0]);
    return f.ok && read_conversation(served, &f, plan);
}

static bool read(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    static const bool functions = true;
    if (!openai_functions_used(body)) return openai_read_chat(served, body, plan, e);
    ChatOwn own = {openai_functions_offered(body) ? (void *)&functions : NULL, NULL};
    return chat_choices_read(served, openai_functions_to_tools(body, e), plan, own, e);
}

void api_chat_completions(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_OPENAI,
                                       .id_prefix = "chatcmpl-",
                                       .read = read,
                                       .free_state = chat_choices_free,
                                       .whole = whole,
                                       .hear = chat_choice_hear,
                                       .delta = delta,
                                       .end = end,
                                       .fail = openai_fail,
                                       .ping = stream_comment};
    (void)tail;
    generation_handle(app, x, &dialect);
}
