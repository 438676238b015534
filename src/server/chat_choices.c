#include "server/chat_choices.h"

#include "base/shortage.h"
#include "server/api_openai.h"
#include "server/api_stream.h"

#include <stdlib.h>

ChatChoices *chat_choices_new(int32_t n) {
    ChatChoices *c = calloc(1, sizeof *c + (size_t)n * sizeof c->readers[0]);
    if (c) c->n = n;
    return c;
}

void chat_choices_free(void *choices) {
    ChatChoices *c = choices;
    for (int32_t i = 0; i < c->n; i++) chat_reader_free(c->readers[i]);
    chat_form_free(&c->form);
    if (c->own.free) c->own.free(c->own.data);
    free(c);
}

// The end of reading: hangs what must live as long as the plan on it.
static bool keep(json_t *body, GenPlan *plan, ChatOwn own, bool ok, ApiError *e) {
    ChatChoices *c = plan->state;
    if (ok && own.free && !own.data) ok = api_error_set(e, 503, NULL, NULL, "out of memory");
    if (c)
        c->own = own;
    else if (own.free)
        own.free(own.data);
    if (body) {
        json_decref(plan->body);
        plan->body = body;
    }
    return ok;
}

bool chat_choices_read(const Served *served, json_t *chat, GenPlan *plan, ChatOwn own, ApiError *e) {
    return keep(chat, plan, own, chat && openai_read_chat(served, chat, plan, e), e);
}

bool chat_choices_read_text(const Served *served, json_t *text, GenPlan *plan, ChatOwn own, ApiError *e) {
    bool ok = text && openai_read_completion(served, text, plan, e);
    if (ok && !(plan->state = chat_choices_new(plan->params.n)))
        ok = api_error_set(e, 503, NULL, NULL, "out of memory");
    return keep(text, plan, own, ok, e);
}

void *chat_choices_own(const Generation *g) {
    return ((const ChatChoices *)g->state)->own.data;
}

bool chat_choice_push(Generation *g, Request *choice, Str text, ChatPartSink *sink) {
    ChatChoices *c = g->state;
    ChatReader **reader = &c->readers[choice->index];
    if (!*reader) *reader = chat_reader_new(&c->form, sink, choice);
    bool ended = choice->outcome != OUTCOME_NONE;
    if (*reader && chat_reader_push(*reader, text) && (!ended || chat_reader_finish(*reader))) return true;
    return stream_no_memory(g);
}

size_t chat_choice_n_calls(const Generation *g, const Request *choice) {
    const ChatReader *reader = ((const ChatChoices *)g->state)->readers[choice->index];
    return reader ? (size_t)chat_reader_n_calls(reader) : 0;
}

bool chat_choice_answer(const Generation *g, const Request *choice, ChatAnswer *out) {
    const ChatChoices *c = g->state;
    if (chat_answer_read(&c->form, buf_str(&choice->text), out)) return true;
    shortage_note();
    return false;
}
