#include "chat/chat_reader.h"

#include <stdlib.h>

struct ChatReader {
    const ChatForm *form;
    ChatPartSink *sink;
    void *user;
    ReasoningSplitter thinking;
    ToolParser *tools; // NULL: none are told apart
    int n_calls, n_ended;
    bool failed;
};

void chat_form_free(ChatForm *f) {
    json_decref(f->tools);
    *f = (ChatForm){0};
}

static void tell(ChatReader *r, ChatPartKind kind, int call, Str text) {
    char id[TOOL_ID_LEN + 1];
    if (r->form->one_call && (call > 0 || (kind == CHAT_TEXT && r->n_calls))) return;
    if (kind == CHAT_CALL) {
        tool_call_make_id(id);
        r->n_calls++;
    }
    r->sink(r->user, &(ChatPart){kind, call, kind == CHAT_CALL ? id : NULL, text});
}

static void on_tool_event(void *user, const ToolEvent *e) {
    ChatReader *r = user;
    switch (e->kind) {
    case TOOL_TEXT: tell(r, CHAT_TEXT, 0, e->text); break;
    case TOOL_BEGIN: tell(r, CHAT_CALL, e->index, e->text); break;
    case TOOL_ARGUMENTS: tell(r, CHAT_ARGUMENTS, e->index, e->text); break;
    case TOOL_END: r->n_ended++; break;
    }
}

static void on_answer_text(ChatReader *r, Str text) {
    if (r->tools)
        r->failed |= !tool_parser_push(r->tools, text);
    else
        tell(r, CHAT_TEXT, 0, text);
}

static void on_thinking(void *user, bool is_reasoning, Str text) {
    if (is_reasoning)
        tell(user, CHAT_REASONING, 0, text);
    else
        on_answer_text(user, text);
}

ChatReader *chat_reader_new(const ChatForm *form, ChatPartSink *sink, void *user) {
    ChatReader *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->form = form;
    r->sink = sink;
    r->user = user;
    if (form->reasoning) reasoning_init(&r->thinking, form->reasoning, form->reasoning_open, on_thinking, r);
    if (!form->has_tools) return r;
    r->tools = tool_parser_new(form->format, form->tools, on_tool_event, r);
    if (r->tools) return r;
    chat_reader_free(r);
    return NULL;
}

void chat_reader_free(ChatReader *r) {
    if (!r) return;
    reasoning_free(&r->thinking);
    tool_parser_free(r->tools);
    free(r);
}

bool chat_reader_push(ChatReader *r, Str text) {
    if (text.len == 0) return !r->failed;
    if (r->form->reasoning)
        r->failed |= !reasoning_push(&r->thinking, text);
    else
        on_answer_text(r, text);
    return !r->failed;
}

bool chat_reader_finish(ChatReader *r) {
    if (r->form->reasoning) r->failed |= !reasoning_finish(&r->thinking);
    if (r->tools) r->failed |= !tool_parser_finish(r->tools);
    return !r->failed;
}

int chat_reader_n_calls(const ChatReader *r) {
    return r->n_calls;
}

bool chat_reader_thinks(const ChatReader *r) {
    return r->form->reasoning && reasoning_is_inside(&r->thinking);
}

bool chat_reader_is_done(const ChatReader *r) {
    return r->form->one_call && r->n_ended > 0;
}

// ---- whole answers

static void end_call(ChatAnswer *a) {
    json_t *call = json_array_get(a->calls, json_array_size(a->calls) - 1);
    if (!call) return;
    json_t *arguments = json_stringn(buf_str(&a->arguments).ptr, a->arguments.len);
    a->failed |= json_object_set_new(call, "arguments", arguments) != 0 || a->arguments.failed;
    buf_clear(&a->arguments);
}

static void begin_call(ChatAnswer *a, const ChatPart *part) {
    end_call(a);
    if (!a->calls) a->calls = json_array();
    json_t *call = json_pack("{s:s, s:s%}", "id", part->id, "name", part->text.ptr, part->text.len);
    a->failed |= json_array_append_new(a->calls, call) != 0;
}

void chat_answer_add(ChatAnswer *a, const ChatPart *part) {
    switch (part->kind) {
    case CHAT_TEXT: buf_put(&a->text, part->text); break;
    case CHAT_REASONING: buf_put(&a->reasoning, part->text); break;
    case CHAT_ARGUMENTS: buf_put(&a->arguments, part->text); break;
    case CHAT_CALL: begin_call(a, part); break;
    }
}

bool chat_answer_finish(ChatAnswer *a) {
    end_call(a);
    return !a->failed && !a->text.failed && !a->reasoning.failed;
}

void chat_answer_free(ChatAnswer *a) {
    buf_free(&a->text);
    buf_free(&a->reasoning);
    buf_free(&a->arguments);
    json_decref(a->calls);
}
