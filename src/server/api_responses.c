#include "server/api_responses.h"

#include "server/api_stream.h"
#include "server/chat_choices.h"
#include "server/parse.h"
#include "server/responses_request.h"

#include <stdio.h>
#include <stdlib.h>

// What a response must know while it is made. Of a stream one item at a time is open.
typedef struct Response {
    json_t *echo;   // of the request
    json_t *output; // items that are complete
    int64_t n_events;
    bool open; // an item is:
    ChatPartKind kind;
    char id[64];
    Buf text;            // its text, or its arguments
    json_t *name, *call; // of a call; its call_id
} Response;

static Response *response_new(const json_t *body, const SamplingDefaults *defaults) {
    Response *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->echo = responses_echo(body, defaults);
    r->output = json_array();
    return r;
}

static void response_free(void *response) {
    Response *r = response;
    if (!r) return;
    json_decref(r->echo);
    json_decref(r->output);
    json_decref(r->name);
    json_decref(r->call);
    buf_free(&r->text);
    free(r);
}

// ---- items

static json_t *text_part(ChatPartKind kind, Str text) {
    if (kind == CHAT_REASONING)
        return json_pack("{s:s, s:s%}", "type", "reasoning_text", "text", text.ptr, text.len);
    return json_pack("{s:s, s:s%, s:[], s:[]}", "type", "output_text", "text", text.ptr, text.len,
                     "annotations", "logprobs");
}

// The open item as it stands; before it is complete, without content.
static json_t *item_json(const Response *r, const char *status, bool complete) {
    Str text = complete ? buf_str(&r->text) : (Str){"", 0};
    if (r->kind == CHAT_CALL)
        return json_pack("{s:s, s:s, s:O, s:O, s:s%, s:s}", "type", "function_call", "id", r->id, "call_id",
                         r->call, "name", r->name, "arguments", text.ptr, text.len, "status", status);
    json_t *content = json_array();
    if (complete) json_array_append_new(content, text_part(r->kind, text));
    if (r->kind == CHAT_REASONING)
        return json_pack("{s:s, s:s, s:[], s:o, s:s}", "type", "reasoning", "id", r->id, "summary", "content",
                         content, "status", status);
    return json_pack("{s:s, s:s, s:s, s:o, s:s}", "type", "message", "id", r->id, "role", "assistant",
                     "content", content, "status", status);
}

// An id of its own for each item: the response's letters and the item's number.
static void begin_item(const Generation *g, Response *r, const ChatPart *part) {
    static const char *const prefixes[] = {[CHAT_TEXT] = "msg", [CHAT_REASONING] = "rs", [CHAT_CALL] = "fc"};
    const char *letters = strchr(g->id, '_') + 1;
    r->open = true;
    r->kind = part->kind;
    snprintf(r->id, sizeof r->id, "%s_%s%02zx", prefixes[part->kind], letters, json_array_size(r->output));
    buf_clear(&r->text);
    if (part->kind != CHAT_CALL) return;
    json_decref(r->name);
    json_decref(r->call);
    r->name = json_stringn(part->text.ptr, part->text.len);
    r->call = json_string(part->id);
}

static const char *item_status(const Request *choice, bool last) {
    return last && choice->outcome == OUTCOME_LENGTH ? "incomplete" : "completed";
}

// ---- the response

static json_t *usage_json(const Generation *g) {
    GenUsage u = generation_usage(g);
    return json_pack("{s:I, s:{s:I, s:i}, s:I, s:{s:I}, s:I}", "input_tokens", (json_int_t)u.n_prompt,
                     "input_tokens_details", "cached_tokens", (json_int_t)u.n_cached, "cache_write_tokens", 0,
                     "output_tokens", (json_int_t)u.n_generated, "output_tokens_details", "reasoning_tokens",
                     (json_int_t)chat_choices_n_reasoning(g), "total_tokens",
                     (json_int_t)(u.n_prompt + u.n_generated));
}

static json_t *response_json(const Generation *g, const char *status, json_t *usage) {
    const Response *r = chat_choices_own(g);
    bool cut = strcmp(status, "incomplete") == 0;
    json_t *reply = json_pack("{s:s, s:s, s:I, s:s, s:n, s:s, s:O, s:n, s:b, s:o}", "id", g->id, "object",
                              "response", "created_at", (json_int_t)g->created, "status", status, "error",
                              "model", g->model->served.model_id, "output", r->output, "previous_response_id",
                              "store", 0, "usage", usage);
    json_object_set_new(reply, "incomplete_details",
                        cut ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null());
    json_object_update(reply, r->echo);
    return reply;
}

static const char *final_status(const Generation *g) {
    return g->choices[0]->outcome == OUTCOME_LENGTH ? "incomplete" : "completed";
}

// ---- whole

static void add_item(const Generation *g, Response *r, const ChatPart *part, Str text, const char *status) {
    begin_item(g, r, part);
    buf_put(&r->text, text);
    json_array_append_new(r->output, item_json(r, status, true));
}

static void add_calls(const Generation *g, Response *r, const json_t *calls) {
    const json_t *call;
    size_t i, n = json_array_size(calls);
    json_array_foreach(calls, i, call) {
        ChatPart part = {CHAT_CALL, (int)i, json_string_value(json_object_get(call, "id")),
                         json_str(json_object_get(call, "name"))};
        Str arguments = json_str(json_object_get(call, "arguments"));
        add_item(g, r, &part, arguments, item_status(g->choices[0], i + 1 == n));
    }
}

static json_t *whole(const Generation *g) {
    const Request *choice = g->choices[0];
    Response *r = chat_choices_own(g);
    const ChatAnswer *answer = chat_choice_answer(g, choice);
    bool calls = json_array_size(answer->calls) > 0, thinks = answer->reasoning.len;
    bool says = answer->text.len || (!calls && !thinks); // something there always is
    if (thinks)
        add_item(g, r, &(ChatPart){.kind = CHAT_REASONING}, buf_str(&answer->reasoning),
                 item_status(choice, !says && !calls));
    if (says)
        add_item(g, r, &(ChatPart){.kind = CHAT_TEXT}, buf_str(&answer->text), item_status(choice, !calls));
    if (calls) add_calls(g, r, answer->calls);
    return response_json(g, final_status(g), usage_json(g));
}

// ---- streamed

static bool send(Generation *g, const char *event, json_t *value) {
    Response *r = chat_choices_own(g);
    if (value) {
        json_object_set_new(value, "type", json_string(event));
        json_object_set_new(value, "sequence_number", json_integer(r->n_events++));
    }
    return stream_named_event(g, event, value);
}

static bool send_response(Generation *g, const char *event, const char *status, json_t *usage) {
    return send(g, event, json_pack("{s:o}", "response", response_json(g, status, usage)));
}

// An event inside the open item. Takes `more`, what is its own.
static bool send_in_item(Generation *g, const char *event, json_t *more) {
    const Response *r = chat_choices_own(g);
    json_t *value =
        json_pack("{s:s, s:i}", "item_id", r->id, "output_index", (int)json_array_size(r->output));
    if (r->kind != CHAT_CALL) json_object_set_new(value, "content_index", json_integer(0));
    json_object_update(value, more);
    json_decref(more);
    return send(g, event, value);
}

static json_t *text_json(const Response *r, const char *key, Str text) {
    json_t *value = json_pack("{s:s%}", key, text.ptr, text.len);
    if (r->kind == CHAT_TEXT) json_object_set_new(value, "logprobs", json_array());
    return value;
}

// The events of an item's content, by its kind.
static const char *delta_event(ChatPartKind kind) {
    static const char *const events[] = {[CHAT_TEXT] = "response.output_text.delta",
                                         [CHAT_REASONING] = "response.reasoning_text.delta",
                                         [CHAT_CALL] = "response.function_call_arguments.delta"};
    return events[kind];
}

static const char *done_event(ChatPartKind kind) {
    static const char *const events[] = {[CHAT_TEXT] = "response.output_text.done",
                                         [CHAT_REASONING] = "response.reasoning_text.done",
                                         [CHAT_CALL] = "response.function_call_arguments.done"};
    return events[kind];
}

static bool close_item(Generation *g, bool last) {
    Response *r = chat_choices_own(g);
    if (!r->open) return true;
    Str text = buf_str(&r->text);
    bool call = r->kind == CHAT_CALL;
    if (!send_in_item(g, done_event(r->kind), text_json(r, call ? "arguments" : "text", text))) return false;
    if (!call &&
        !send_in_item(g, "response.content_part.done", json_pack("{s:o}", "part", text_part(r->kind, text))))
        return false;
    json_t *item = item_json(r, item_status(g->choices[0], last), true);
    int index = (int)json_array_size(r->output);
    r->open = false;
    json_array_append(r->output, item);
    return send(g, "response.output_item.done", json_pack("{s:i, s:o}", "output_index", index, "item", item));
}

static bool open_item(Generation *g, const ChatPart *part) {
    Response *r = chat_choices_own(g);
    begin_item(g, r, part);
    json_t *added = json_pack("{s:i, s:o}", "output_index", (int)json_array_size(r->output), "item",
                              item_json(r, "in_progress", false));
    if (!send(g, "response.output_item.added", added)) return false;
    return r->kind == CHAT_CALL || send_in_item(g, "response.content_part.added",
                                                json_pack("{s:o}", "part", text_part(r->kind, (Str){"", 0})));
}

static void send_part(void *user, const ChatPart *part) {
    Request *choice = user;
    Generation *g = choice->user;
    Response *r = chat_choices_own(g);
    bool continues =
        part->kind == CHAT_ARGUMENTS || (r->open && part->kind == r->kind && part->kind != CHAT_CALL);
    if (!continues && (!close_item(g, false) || !open_item(g, part))) return;
    if (part->kind == CHAT_CALL) return;
    buf_put(&r->text, part->text);
    send_in_item(g, delta_event(r->kind), text_json(r, "delta", part->text));
}

static bool open_stream(Generation *g, Request *choice) {
    choice->opened = true;
    return send_response(g, "response.created", "in_progress", json_null()) &&
           send_response(g, "response.in_progress", "in_progress", json_null());
}

// Its readers know no event for this one, and some count events only, not comments.
static void ping(Generation *g) {
    Request *choice = g->choices[0];
    if (choice->opened)
        send_response(g, "response.in_progress", "in_progress", json_null());
    else
        open_stream(g, choice);
}

static void delta(Generation *g, Request *choice, Str text) {
    if (!choice->opened && !open_stream(g, choice)) return;
    chat_choice_push(g, choice, text, send_part);
}

static void end(Generation *g) {
    const Response *r = chat_choices_own(g);
    const char *status = final_status(g);
    if (!r->open && json_array_size(r->output) == 0 && !open_item(g, &(ChatPart){.kind = CHAT_TEXT})) return;
    if (!close_item(g, true)) return;
    const char *event =
        g->choices[0]->outcome == OUTCOME_LENGTH ? "response.incomplete" : "response.completed";
    if (send_response(g, event, status, usage_json(g))) stream_end(g, false);
}

static void fail(Generation *g, const ApiError *e) {
    json_t *response = response_json(g, "failed", json_null());
    json_object_set_new(response, "error",
                        json_pack("{s:s, s:s}", "code", "server_error", "message", e->message));
    if (send(g, "response.failed", json_pack("{s:o}", "response", response))) stream_end(g, true);
}

// ---- requests

static bool read(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    ChatOwn own = {response_new(body, gen_sampling_defaults(served->config)), response_free};
    return chat_choices_read(served, responses_to_chat(body, e), plan, own, e);
}

void api_responses(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_OPENAI,
                                       .id_prefix = "resp_",
                                       .read = read,
                                       .free_state = chat_choices_free,
                                       .whole = whole,
                                       .hear = chat_choice_hear,
                                       .delta = delta,
                                       .end = end,
                                       .fail = fail,
                                       .ping = ping};
    (void)tail;
    generation_handle(app, x, &dialect);
}
