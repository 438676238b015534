#include "chat/chat_reader.h"

#include <stdlib.h>

struct ChatReader {
    const ChatForm *form;
    ChatPartSink *sink;
    void *user;
    ReasoningSplitter thinking;
    ToolParser *tools; // NULL: none are told apart
    int n_calls;
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
    switch (e->kind) {
    case TOOL_TEXT: tell(user, CHAT_TEXT, 0, e->text); break;
    case TOOL_BEGIN: tell(user, CHAT_CALL, e->index, e->text); break;
    case TOOL_ARGUMENTS: tell(user, CHAT_ARGUMENTS, e->index, e->text); break;
    case TOOL_END: break;
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

// ---- whole answers

typedef struct Gathering {
    ChatAnswer *answer;
    Buf arguments; // of the latest call
    bool failed;
} Gathering;

static void end_call(Gathering *g) {
    json_t *call = json_array_get(g->answer->calls, json_array_size(g->answer->calls) - 1);
    if (!call) return;
    json_t *arguments = json_stringn(buf_str(&g->arguments).ptr, g->arguments.len);
    g->failed |= json_object_set_new(call, "arguments", arguments) != 0 || g->arguments.failed;
    buf_clear(&g->arguments);
}

static void gather(void *user, const ChatPart *part) {
    Gathering *g = user;
    switch (part->kind) {
    case CHAT_TEXT: buf_put(&g->answer->text, part->text); break;
    case CHAT_REASONING: buf_put(&g->answer->reasoning, part->text); break;
    case CHAT_ARGUMENTS: buf_put(&g->arguments, part->text); break;
    case CHAT_CALL:
        end_call(g);
        g->failed |= json_array_append_new(g->answer->calls, json_pack("{s:s, s:s%}", "id", part->id, "name",
                                                                       part->text.ptr, part->text.len)) != 0;
        break;
    }
}

bool chat_answer_read(const ChatForm *form, Str text, ChatAnswer *out) {
    Gathering g = {.answer = out};
    *out = (ChatAnswer){.calls = json_array()};
    ChatReader *r = out->calls ? chat_reader_new(form, gather, &g) : NULL;
    bool ok = r && chat_reader_push(r, text) && chat_reader_finish(r);
    end_call(&g);
    chat_reader_free(r);
    buf_free(&g.arguments);
    return ok && !g.failed && !out->text.failed && !out->reasoning.failed;
}

void chat_answer_free(ChatAnswer *a) {
    buf_free(&a->text);
    buf_free(&a->reasoning);
    json_decref(a->calls);
}
