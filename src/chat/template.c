#include "chat/template.h"

#include "chat/jinja_eval.h"
#include "chat/jinja_parse.h"

#include <stdlib.h>

struct ChatTemplate {
    Jinja arena; // owns the source and the tree; not touched by renders
    Str source;
    Block body;
};

static void parse(Jinja *j, void *ctx) {
    ChatTemplate *t = ctx;
    if (t->source.len > JINJA_MAX_SOURCE)
        jinja_fail(j, "the template is larger than %d bytes", JINJA_MAX_SOURCE);
    char *copy = jinja_alloc(j, t->source.len);
    if (t->source.len) memcpy(copy, t->source.ptr, t->source.len);
    t->source.ptr = copy;
    t->body = jinja_parse(j, t->source);
}

ChatTemplate *chat_template_parse(Str source, Err *err) {
    ChatTemplate *t = calloc(1, sizeof *t);
    if (!t) {
        err_set(err, ERR_NOMEM, "out of memory for a chat template");
        return NULL;
    }
    jinja_init(&t->arena);
    t->source = source;
    if (jinja_guard(&t->arena, parse, t, err)) return t;
    chat_template_free(t);
    return NULL;
}

void chat_template_free(ChatTemplate *t) {
    if (!t) return;
    jinja_release(&t->arena);
    free(t);
}

Str chat_template_source(const ChatTemplate *t) {
    return t->source;
}

typedef struct Render {
    const ChatTemplate *template;
    json_t *variables;
    JText text;
} Render;

static void render(Jinja *j, void *ctx) {
    Render *r = ctx;
    if (!json_is_object(r->variables)) jinja_fail(j, "the variables must be a JSON object");
    jinja_push_scope(j);
    j->scope->vars = *jv_from_json(j, r->variables).dict;
    j->out = &r->text;
    jinja_run_block(j, &r->template->body);
}

bool chat_template_render(const ChatTemplate *t, json_t *variables, Buf *out, Err *err) {
    Jinja j;
    Render r = {.template = t, .variables = variables};
    jinja_init(&j);
    bool ok = jinja_guard(&j, render, &r, err);
    if (ok) buf_put(out, (Str){r.text.ptr, r.text.len});
    jinja_release(&j);
    if (ok && out->failed) return err_set(err, ERR_NOMEM, "out of memory for the prompt");
    return ok;
}
