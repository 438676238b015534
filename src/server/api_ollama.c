#include "server/api_ollama.h"

#include "base/clock.h"
#include "server/api_openai.h"
#include "server/api_stream.h"
#include "server/api_texts.h"
#include "server/chat_choices.h"
#include "server/ollama_request.h"
#include "server/openai_logprobs.h"
#include "server/parse.h"

#include <stdlib.h>

// What the answers of a request must know: the route's form, and of a stream the call that is coming.
typedef struct Form {
    bool generates; // /api/generate
    json_t *call;   // without its arguments; NULL: none is coming
    Buf arguments;
} Form;

static Form *form_new(bool generates) {
    Form *f = calloc(1, sizeof *f);
    if (f) f->generates = generates;
    return f;
}

static void form_free(void *form) {
    Form *f = form;
    if (!f) return;
    json_decref(f->call);
    buf_free(&f->arguments);
    free(f);
}

// ---- answers

static json_t *head_json(const Generation *g) {
    return json_pack("{s:s, s:o}", "model", g->model->served.model_id, "created_at", api_time_json(time(NULL)));
}

// Text and thinking of a reply or a line, in the route's place. NULL: there is none.
static json_t *said_json(const Generation *g, Str text, Str thinking, json_t *calls) {
    const Form *f = chat_choices_own(g);
    json_t *reply = head_json(g), *said = f->generates ? reply : json_pack("{s:s}", "role", "assistant");
    json_object_set_new(said, f->generates ? "response" : "content", json_stringn(text.ptr, text.len));
    if (thinking.len) json_object_set_new(said, "thinking", json_stringn(thinking.ptr, thinking.len));
    if (json_array_size(calls)) json_object_set(said, "tool_calls", calls);
    json_decref(calls);
    if (!f->generates) json_object_set_new(reply, "message", said);
    json_object_set_new(reply, "done", json_false());
    return reply;
}

// Of the tokens that are shown and have not been told yet. Adds nothing where there are none.
static void add_logprobs(json_t *reply, const Generation *g, Request *choice) {
    int32_t first = choice->log.n_told, end = choice->log.n_shown;
    if (!g->params.logprobs || first >= end) return;
    choice->log.n_told = end;
    json_t *all = openai_chat_logprobs(g->model->served.service.tokenizer, &choice->log, first, end);
    json_object_set(reply, "logprobs", json_object_get(all, "content"));
    json_decref(all);
}

// The last line has the figures, in nanoseconds.
static void add_figures(json_t *reply, const Request *choice) {
    int64_t first = choice->n_generated ? choice->first_ns : choice->end_ns;
    json_t *figures = json_pack(
        "{s:b, s:s, s:I, s:i, s:i, s:I, s:i, s:I}", "done", 1, "done_reason",
        metrics_outcome_word(choice->outcome), "total_duration",
        (json_int_t)(choice->end_ns - choice->start_ns), "load_duration", 0, "prompt_eval_count",
        (int)choice->n_prompt, "prompt_eval_duration", (json_int_t)(first - choice->start_ns), "eval_count",
        (int)choice->n_generated, "eval_duration", (json_int_t)(choice->end_ns - first));
    json_object_update(reply, figures);
    json_decref(figures);
}

// Takes the references of id and name.
static json_t *call_json(json_t *id, int index, json_t *name) {
    return json_pack("{s:o, s:{s:i, s:o}}", "id", id, "function", "index", index, "name", name);
}

// Arguments that are no object, as when the answer was cut off, are nothing.
static void set_arguments(json_t *call, Str arguments) {
    json_t *object = json_loadb(arguments.ptr, arguments.len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_object();
    }
    json_object_set_new(json_object_get(call, "function"), "arguments", object);
}

static json_t *calls_json(const json_t *calls) {
    json_t *out = json_array(), *call;
    size_t i;
    json_array_foreach(calls, i, call) {
        json_t *one = call_json(json_incref(json_object_get(call, "id")), (int)i,
                                json_incref(json_object_get(call, "name")));
        set_arguments(one, json_str(json_object_get(call, "arguments")));
        json_array_append_new(out, one);
    }
    return out;
}

static json_t *whole(const Generation *g) {
    Request *choice = g->choices[0];
    const ChatAnswer *answer = chat_choice_answer(g, choice);
    json_t *reply =
        said_json(g, buf_str(&answer->text), buf_str(&answer->reasoning), calls_json(answer->calls));
    add_logprobs(reply, g, choice);
    add_figures(reply, choice);
    return reply;
}

// ---- streamed

static bool send_line(Generation *g, Str text, Str thinking, json_t *calls) {
    json_t *line = said_json(g, text, thinking, calls);
    add_logprobs(line, g, g->choices[0]);
    return stream_line(g, line);
}

static bool flush_call(Generation *g, Form *f) {
    if (!f->call) return true;
    set_arguments(f->call, buf_str(&f->arguments));
    json_t *calls = json_pack("[o]", f->call);
    f->call = NULL;
    buf_clear(&f->arguments);
    return send_line(g, (Str){"", 0}, (Str){0}, calls);
}

static void send_part(void *user, const ChatPart *part) {
    Request *choice = user;
    Generation *g = choice->user;
    Form *f = chat_choices_own(g);
    bool thinks = part->kind == CHAT_REASONING;
    if (part->kind == CHAT_ARGUMENTS) {
        buf_put(&f->arguments, part->text);
        return;
    }
    if (!flush_call(g, f)) return;
    if (part->kind == CHAT_CALL)
        f->call = call_json(json_string(part->id), part->call, json_stringn(part->text.ptr, part->text.len));
    else
        send_line(g, thinks ? (Str){"", 0} : part->text, thinks ? part->text : (Str){0}, NULL);
}

static void delta(Generation *g, Request *choice, Str text) {
    chat_choice_push(g, choice, text, send_part);
}

static void end(Generation *g) {
    if (!flush_call(g, chat_choices_own(g))) return;
    json_t *last = said_json(g, (Str){"", 0}, (Str){0}, NULL);
    add_logprobs(last, g, g->choices[0]);
    add_figures(last, g->choices[0]);
    if (stream_line(g, last)) stream_end(g, false);
}

static void fail(Generation *g, const ApiError *e) {
    if (stream_line(g, api_error_json(e, DIALECT_OLLAMA))) stream_end(g, true);
}

// ---- requests

// Without anything to answer, clients mean: load the model. By now it is.
static bool answer_load(const Served *served, bool generates, GenPlan *plan) {
    json_t *reply = json_pack("{s:s, s:o, s:b, s:s}", "model", served->model_id, "created_at",
                              api_time_json(time(NULL)), "done", 1, "done_reason", "load");
    if (generates)
        json_object_set_new(reply, "response", json_string(""));
    else
        json_object_set_new(reply, "message", json_pack("{s:s, s:s}", "role", "assistant", "content", ""));
    plan->reply = reply;
    return true;
}

// The text of /api/generate as it is.
static bool read_raw(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    return chat_choices_read_text(
        served, ollama_generate_to_completion(body, gen_sampling_defaults(served->config), e), plan,
        (ChatOwn){form_new(true), form_free}, e);
}

static bool read_generate(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    Str prompt = {0};
    bool raw = false;
    fields_str(&f, "prompt", &prompt);
    fields_bool(&f, "raw", &raw);
    if (!f.ok) return false;
    if (prompt.len == 0) return answer_load(served, true, plan);
    if (raw) return read_raw(served, body, plan, e);
    return chat_choices_read(served, ollama_generate_to_chat(body, gen_sampling_defaults(served->config), e),
                             plan, (ChatOwn){form_new(true), form_free}, e);
}

static bool read_chat(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    const json_t *messages = fields_get(&f, "messages");
    if (messages && !json_is_array(messages))
        return fields_fail(&f, "messages", "must be an array, not %s", json_kind(messages));
    if (json_array_size(messages) == 0) return answer_load(served, false, plan);
    return chat_choices_read(served, ollama_chat_to_chat(body, gen_sampling_defaults(served->config), e),
                             plan, (ChatOwn){form_new(false), form_free}, e);
}

void api_ollama_chat(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_OLLAMA,
                                       .id_prefix = "chat-",
                                       .read = read_chat,
                                       .free_state = chat_choices_free,
                                       .whole = whole,
                                       .hear = chat_choice_hear,
                                       .delta = delta,
                                       .end = end,
                                       .fail = fail,
                                       .stream_type = "application/x-ndjson"};
    (void)tail;
    generation_handle(app, x, &dialect);
}

void api_ollama_generate(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_OLLAMA,
                                       .id_prefix = "gen-",
                                       .read = read_generate,
                                       .free_state = chat_choices_free,
                                       .whole = whole,
                                       .hear = chat_choice_hear,
                                       .delta = delta,
                                       .end = end,
                                       .fail = fail,
                                       .stream_type = "application/x-ndjson"};
    (void)tail;
    generation_handle(app, x, &dialect);
}
