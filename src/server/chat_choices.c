#include "server/chat_choices.h"

#include "server/api_openai.h"
#include "server/api_stream.h"

#include <stdlib.h>

ChatChoices *chat_choices_new(int32_t n) {
    ChatChoices *c = calloc(1, sizeof *c + (size_t)n * sizeof c->of[0]);
    if (c) c->n = n;
    return c;
}

void chat_choices_free(void *choices) {
    ChatChoices *c = choices;
    for (int32_t i = 0; i < c->n; i++) {
        chat_reader_free(c->of[i].reader);
        chat_answer_free(&c->of[i].answer);
    }
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

static ChatChoice *choice_of(const Generation *g, const Request *choice) {
    return &((ChatChoices *)g->state)->of[choice->index];
}

// Thinking counts until its closing mark is complete.
static bool push(ChatChoice *c, Request *choice, Str text) {
    bool thought = chat_reader_thinks(c->reader);
    if (!chat_reader_push(c->reader, text)) return false;
    if (thought || chat_reader_thinks(c->reader)) c->n_reasoning = choice->n_generated;
    choice->enough = chat_reader_is_done(c->reader);
    return choice->outcome == OUTCOME_NONE || chat_reader_finish(c->reader);
}

bool chat_choice_push(Generation *g, Request *choice, Str text, ChatPartSink *sink) {
    ChatChoice *c = choice_of(g, choice);
    if (!c->reader) c->reader = chat_reader_new(&((ChatChoices *)g->state)->form, sink, choice);
    return (c->reader && push(c, choice, text)) || stream_no_memory(g);
}

static void keep_part(void *user, const ChatPart *part) {
    Request *choice = user;
    chat_answer_add(&choice_of(choice->user, choice)->answer, part);
}

void chat_choice_hear(Generation *g, Request *choice, Str text) {
    if (!chat_choice_push(g, choice, text, keep_part) || choice->outcome == OUTCOME_NONE) return;
    if (!chat_answer_finish(&choice_of(g, choice)->answer)) stream_no_memory(g);
}

const ChatAnswer *chat_choice_answer(const Generation *g, const Request *choice) {
    return &choice_of(g, choice)->answer;
}

size_t chat_choice_n_calls(const Generation *g, const Request *choice) {
    const ChatReader *reader = choice_of(g, choice)->reader;
    return reader ? (size_t)chat_reader_n_calls(reader) : 0;
}

int64_t chat_choices_n_reasoning(const Generation *g) {
    int64_t n = 0;
    for (int32_t i = 0; i < g->n_choices; i++) n += ((const ChatChoices *)g->state)->of[i].n_reasoning;
    return n;
}
