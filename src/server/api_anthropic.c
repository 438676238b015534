#include "server/api_anthropic.h"

#include "server/anthropic_request.h"
#include "server/api_openai.h"
#include "server/api_stream.h"
#include "server/chat_choices.h"

#include <stdlib.h>

// What stands open in a stream: blocks are numbered, and one at a time is open.
typedef struct Blocks {
    int next;          // the number of the next block
    bool open;         // block next - 1 is
    ChatPartKind kind; // of the open one
} Blocks;

// ---- what both forms tell

static json_t *usage_json(const Generation *g, bool with_output) {
    GenUsage u = generation_usage(g);
    return json_pack("{s:I, s:I, s:i, s:I, s:{s:I}}", "input_tokens", (json_int_t)(u.n_prompt - u.n_cached),
                     "cache_read_input_tokens", (json_int_t)u.n_cached, "cache_creation_input_tokens", 0,
                     "output_tokens", (json_int_t)(with_output ? u.n_generated : 0), "output_tokens_details",
                     "thinking_tokens", (json_int_t)(with_output ? chat_choices_n_reasoning(g) : 0));
}

static const char *stop_reason(const Request *choice, size_t n_calls) {
    if (choice->outcome == OUTCOME_LENGTH) return "max_tokens";
    if (request_stop(choice).ptr) return "stop_sequence";
    return n_calls ? "tool_use" : "end_turn";
}

static json_t *stop_sequence(const Request *choice) {
    Str stop = request_stop(choice);
    return stop.ptr ? json_stringn(stop.ptr, stop.len) : json_null();
}

static json_t *message_json(const Generation *g, json_t *content, const char *reason, json_t *sequence,
                            bool with_output) {
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s?, s:o, s:o}", "id", g->id, "type", "message", "role",
                     "assistant", "model", g->model->served.model_id, "content", content, "stop_reason", reason,
                     "stop_sequence", sequence, "usage", usage_json(g, with_output));
}

static json_t *thinking_json(Str text) {
    return json_pack("{s:s, s:s%, s:s}", "type", "thinking", "thinking", text.ptr, text.len, "signature", "");
}

static json_t *text_json(Str text) {
    return json_pack("{s:s, s:s%}", "type", "text", "text", text.ptr, text.len);
}

// ---- whole

// The arguments of a call as the object that they are the text of; what is none, as when the answer was
// cut off, as nothing.
static json_t *input_json(const json_t *arguments) {
    json_t *input =
        json_loadb(json_string_value(arguments), json_string_length(arguments), JSON_ALLOW_NUL, NULL);
    if (json_is_object(input)) return input;
    json_decref(input);
    return json_object();
}

static json_t *content_json(const ChatAnswer *a) {
    Str thinking = buf_str(&a->reasoning), text = buf_str(&a->text);
    json_t *content = json_array(), *call;
    size_t i;
    if (thinking.len) json_array_append_new(content, thinking_json(thinking));
    if (text.len) json_array_append_new(content, text_json(text));
    json_array_foreach(a->calls, i, call) {
        json_array_append_new(content,
                              json_pack("{s:s, s:O, s:O, s:o}", "type", "tool_use", "id",
                                        json_object_get(call, "id"), "name", json_object_get(call, "name"),
                                        "input", input_json(json_object_get(call, "arguments"))));
    }
    return content;
}

static json_t *whole(const Generation *g) {
    const Request *choice = g->choices[0];
    const ChatAnswer *answer = chat_choice_answer(g, choice);
    return message_json(g, content_json(answer), stop_reason(choice, json_array_size(answer->calls)),
                        stop_sequence(choice), true);
}

// ---- streamed

static bool send(Generation *g, const char *event, json_t *value) {
    if (value) json_object_set_new(value, "type", json_string(event));
    return stream_named_event(g, event, value);
}

static bool close_block(Generation *g, Blocks *b) {
    if (!b->open) return true;
    b->open = false;
    return send(g, "content_block_stop", json_pack("{s:i}", "index", b->next - 1));
}

static bool open_block(Generation *g, Blocks *b, const ChatPart *part) {
    json_t *block;
    if (!close_block(g, b)) return false;
    if (part->kind == CHAT_CALL)
        block = json_pack("{s:s, s:s, s:s%, s:{}}", "type", "tool_use", "id", part->id, "name",
                          part->text.ptr, part->text.len, "input");
    else
        block = part->kind == CHAT_TEXT ? text_json((Str){"", 0}) : thinking_json((Str){"", 0});
    b->open = true;
    b->kind = part->kind;
    return send(g, "content_block_start",
                json_pack("{s:i, s:o}", "index", b->next++, "content_block", block));
}

static void send_part(void *user, const ChatPart *part) {
    static const struct {
        const char *type, *key;
    } deltas[] = {
        [CHAT_TEXT] = {"text_delta", "text"},
        [CHAT_REASONING] = {"thinking_delta", "thinking"},
        [CHAT_ARGUMENTS] = {"input_json_delta", "partial_json"},
    };
    Request *choice = user;
    Generation *g = choice->user;
    Blocks *b = chat_choices_own(g);
    bool continues = b->open && (part->kind == b->kind || part->kind == CHAT_ARGUMENTS);
    if ((!continues || part->kind == CHAT_CALL) && !open_block(g, b, part)) return;
    if (part->kind == CHAT_CALL) return;
    json_t *delta = json_pack("{s:s, s:s%}", "type", deltas[part->kind].type, deltas[part->kind].key,
                              part->text.ptr, part->text.len);
    send(g, "content_block_delta", json_pack("{s:i, s:o}", "index", b->next - 1, "delta", delta));
}

static bool open_stream(Generation *g, Request *choice) {
    choice->opened = true;
    json_t *message = message_json(g, json_array(), NULL, json_null(), false);
    return send(g, "message_start", json_pack("{s:o}", "message", message)) && send(g, "ping", json_object());
}

static void ping(Generation *g) {
    Request *choice = g->choices[0];
    if (choice->opened)
        send(g, "ping", json_object());
    else
        open_stream(g, choice);
}

static void delta(Generation *g, Request *choice, Str text) {
    if (!choice->opened && !open_stream(g, choice)) return;
    chat_choice_push(g, choice, text, send_part);
}

static void end(Generation *g) {
    const Request *choice = g->choices[0];
    Blocks *b = chat_choices_own(g);
    const char *reason = stop_reason(choice, chat_choice_n_calls(g, choice));
    if (!close_block(g, b)) return;
    json_t *last = json_pack("{s:{s:s, s:o}, s:o}", "delta", "stop_reason", reason, "stop_sequence",
                             stop_sequence(choice), "usage", usage_json(g, true));
    if (send(g, "message_delta", last) && send(g, "message_stop", json_object())) stream_end(g, false);
}

static void fail(Generation *g, const ApiError *e) {
    if (stream_named_event(g, "error", api_error_json(e, DIALECT_ANTHROPIC))) stream_end(g, true);
}

// ---- requests

static bool read(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Blocks *blocks = calloc(1, sizeof *blocks);
    json_t *chat = anthropic_to_chat(body, false, e);
    return chat_choices_read(served, chat, plan, (ChatOwn){blocks, free}, e);
}

void api_messages(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_ANTHROPIC,
                                       .id_prefix = "msg_",
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

// ---- /v1/messages/count_tokens

typedef struct CountJob {
    Job job;
    size_t n;
} CountJob;

static void count_run(Job *job) {
    ApiError *e = &job->error;
    json_t *chat = anthropic_to_chat(job->json, true, e);
    TokenList prompt = {0};
    if (chat && openai_encode_chat(job->served, chat, &prompt, e)) ((CountJob *)job)->n = prompt.n;
    token_list_free(&prompt);
    json_decref(chat);
}

static void count_done(Job *job) {
    json_t *reply = json_pack("{s:I}", "input_tokens", (json_int_t)((CountJob *)job)->n);
    api_reply_json(job->x, job->dialect, 200, reply);
}

static void count_clear(Job *job) {
    (void)job;
}

void api_count_tokens(App *app, HttpExchange *x, Str tail) {
    static const JobKind kind = {sizeof(CountJob), count_run, count_done, count_clear};
    (void)tail;
    Job *job = preparer_new_job(app, x, &kind, DIALECT_ANTHROPIC);
    if (job) preparer_start(job);
}
