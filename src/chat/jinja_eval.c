#include "chat/jinja_eval.h"

#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

typedef enum Flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } Flow;

static Flow run_block(Jinja *j, const Block *b);

// ---- scopes

void jinja_push_scope(Jinja *j) {
    JScope *s = jinja_alloc(j, sizeof *s);
    s->parent = j->scope;
    s->loop_depth = j->scope ? j->scope->loop_depth : 0;
    j->scope = s;
}

void jinja_pop_scope(Jinja *j) {
    j->scope = j->scope->parent;
}

// An empty scope for the next iteration; the old one stays with the macro that captured it.
static void renew_scope(Jinja *j) {
    if (j->scope->captured) {
        jinja_pop_scope(j);
        jinja_push_scope(j);
    } else {
        jdict_clear(&j->scope->vars);
    }
}

void jinja_set(Jinja *j, Str name, JValue v) {
    jdict_put(j, &j->scope->vars, jv_str(name), v);
}

// ---- assignment

static void assign_attr(Jinja *j, const Expr *target, JValue v) {
    JValue object = jinja_eval(j, target->object);
    if (object.kind != J_NAMESPACE)
        jinja_fail(j, "only a namespace has attributes that can be set, not %s", jv_type_name(object));
    jdict_put(j, object.dict, jv_str(target->attr), v);
}

static void assign(Jinja *j, const Expr *target, JValue v) {
    if (target->kind == E_NAME) {
        jinja_set(j, target->name, v);
        return;
    }
    if (target->kind == E_ATTR) {
        assign_attr(j, target, v);
        return;
    }
    JList *items = jv_items(j, v);
    if (items->n != target->items.n)
        jinja_fail(j, "%zu values cannot be unpacked into %zu names", items->n, target->items.n);
    for (size_t i = 0; i < items->n; i++) assign(j, target->items.at[i], items->at[i]);
}

// ---- for

static JList *filter_items(Jinja *j, const Stmt *s, JList *items) {
    JList *kept = jlist_new(j);
    jinja_push_scope(j);
    for (size_t i = 0; i < items->n; i++) {
        renew_scope(j);
        assign(j, s->loop.target, items->at[i]);
        if (jv_truth(jinja_eval(j, s->loop.filter))) jlist_push(j, kept, items->at[i]);
    }
    jinja_pop_scope(j);
    return kept;
}

static JLoop *new_loop(Jinja *j, const Stmt *s) {
    JLoop *loop = jinja_alloc(j, sizeof *loop);
    JList *items = jv_items(j, jinja_eval(j, s->loop.items));
    loop->items = s->loop.filter ? filter_items(j, s, items) : items;
    return loop;
}

static Flow run_iteration(Jinja *j, const Stmt *s, JLoop *loop) {
    jinja_step(j, 1);
    renew_scope(j);
    jinja_set(j, STR("loop"), (JValue){.kind = J_LOOP, .loop = loop});
    assign(j, s->loop.target, loop->items->at[loop->index0]);
    return run_block(j, &s->loop.body);
}

// The list is walked as it is, so that a body that changes it sees its own changes, as in Python.
// As in Jinja, `else` runs when no iteration reached its end: an empty list, but also one whose
// iterations were all left by continue or the first by break.
static Flow run_for(Jinja *j, const Stmt *s) {
    bool completed = false;
    if (s->loop.recursive) jinja_fail(j, "recursive loops are not supported");
    JLoop *loop = new_loop(j, s);
    jinja_push_scope(j);
    for (; loop->index0 < loop->items->n; loop->index0++) {
        Flow flow = run_iteration(j, s, loop);
        if (flow == FLOW_BREAK) break;
        if (flow == FLOW_ON) completed = true;
    }
    renew_scope(j);
    Flow flow = completed ? FLOW_ON : run_block(j, &s->loop.otherwise);
    jinja_pop_scope(j);
    return flow;
}

// ---- output that goes elsewhere

typedef struct Capture {
    JText text;
    JText *outer;
} Capture;

static void capture_begin(Jinja *j, Capture *c) {
    *c = (Capture){.outer = j->out};
    j->out = &c->text;
}

static Str capture_end(Jinja *j, Capture *c) {
    j->out = c->outer;
    return jtext_finish(j, &c->text);
}

static Flow capture_block(Jinja *j, const Block *b, Str *text) {
    Capture c;
    capture_begin(j, &c);
    jinja_push_scope(j);
    Flow flow = run_block(j, b);
    jinja_pop_scope(j);
    *text = capture_end(j, &c);
    return flow;
}

static Flow run_set_block(Jinja *j, const Stmt *s) {
    Str text;
    Flow flow = capture_block(j, &s->set.body, &text);
    if (flow != FLOW_ON) return flow;
    JValue v = jv_str(text);
    if (s->set.filter) v = jinja_eval_filter(j, s->set.filter, v);
    assign(j, s->set.targets.at[0], v);
    return FLOW_ON;
}

static Flow run_filter(Jinja *j, const Stmt *s) {
    Str text;
    Flow flow = capture_block(j, &s->filtered.body, &text);
    if (flow == FLOW_ON) jv_print(j, j->out, jinja_eval_filter(j, s->filtered.filter, jv_str(text)));
    return flow;
}

// ---- scopes in the text

// The values are computed outside, before the first name is set.
static Flow run_with(Jinja *j, const Stmt *s) {
    JList values = {0};
    for (size_t i = 0; i < s->set.values.n; i++) jlist_push(j, &values, jinja_eval(j, s->set.values.at[i]));
    jinja_push_scope(j);
    for (size_t i = 0; i < values.n; i++) assign(j, s->set.targets.at[i], values.at[i]);
    Flow flow = run_block(j, &s->set.body);
    jinja_pop_scope(j);
    return flow;
}

static Flow run_scoped(Jinja *j, const Stmt *s) {
    jinja_push_scope(j);
    Flow flow = run_block(j, &s->set.body);
    jinja_pop_scope(j);
    return flow;
}

static Flow run_if(Jinja *j, const Stmt *s) {
    for (size_t i = 0; i < s->branch.tests.n; i++)
        if (jv_truth(jinja_eval(j, s->branch.tests.at[i]))) return run_block(j, &s->branch.bodies[i]);
    return run_block(j, &s->branch.otherwise);
}

// ---- macros

static JValue new_macro(Jinja *j, const MacroDef *def) {
    JMacro *m = jinja_alloc(j, sizeof *m);
    *m = (JMacro){def, j->scope};
    for (JScope *s = j->scope; s && !s->captured; s = s->parent) s->captured = true;
    return (JValue){.kind = J_MACRO, .macro = m};
}

static bool find_named(const JArgs *args, Str name, JValue *out) {
    for (size_t i = 0; i < args->n_named; i++) {
        if (!str_eq(args->names[i], name)) continue;
        *out = args->named[i];
        return true;
    }
    return false;
}

static bool is_param(const MacroDef *def, Str name, size_t from) {
    for (size_t i = from; i < def->n_params; i++)
        if (str_eq(def->params[i], name)) return true;
    return false;
}

// Named arguments that are no parameters: `caller`, or `kwargs` if the macro speaks of it.
static void bind_extra_named(Jinja *j, const MacroDef *def, const JArgs *args, size_t n_bound) {
    JDict *rest = jdict_new(j);
    JValue caller = jv_undefined(J_MISSING, STR("caller"));
    for (size_t i = 0; i < args->n_named; i++) {
        Str name = args->names[i];
        if (is_param(def, name, n_bound)) continue;
        if (def->uses_caller && str_eq(name, STR("caller")))
            caller = args->named[i];
        else if (def->uses_kwargs)
            jdict_put(j, rest, jv_str(name), args->named[i]);
        else
            jinja_fail(j, "macro '%.*s' takes no argument '%.*s'", jinja_cut(def->name, 60), def->name.ptr,
                       jinja_cut(name, 60), name.ptr);
    }
    if (def->uses_caller && !is_param(def, STR("caller"), 0)) jinja_set(j, STR("caller"), caller);
    if (def->uses_kwargs) jinja_set(j, STR("kwargs"), jv_dict(rest));
}

static void bind_varargs(Jinja *j, const MacroDef *def, const JArgs *args) {
    if (!def->uses_varargs) {
        if (args->n_pos > def->n_params)
            jinja_fail(j, "macro '%.*s' takes at most %zu arguments, not %zu", jinja_cut(def->name, 60),
                       def->name.ptr, def->n_params, args->n_pos);
        return;
    }
    JList *rest = jlist_new(j);
    for (size_t i = def->n_params; i < args->n_pos; i++) jlist_push(j, rest, args->pos[i]);
    jinja_set(j, STR("varargs"), jv_list(J_TUPLE, rest));
}

static void bind_macro(Jinja *j, const MacroDef *def, const JArgs *args) {
    size_t n_bound = args->n_pos < def->n_params ? args->n_pos : def->n_params;
    bind_varargs(j, def, args);
    bind_extra_named(j, def, args, n_bound);
    for (size_t i = 0; i < def->n_params; i++) {
        JValue v;
        if (i < n_bound)
            v = args->pos[i];
        else if (find_named(args, def->params[i], &v)) {
        } else if (def->defaults[i])
            v = jinja_eval(j, def->defaults[i]);
        else
            v = jv_undefined(J_MISSING, def->params[i]);
        jinja_set(j, def->params[i], v);
    }
}

Str jinja_run_macro(Jinja *j, const JMacro *m, const JArgs *args) {
    Capture c;
    JScope *outer = j->scope;
    int line = j->line;
    jinja_enter(j, JINJA_MAX_DEPTH);
    j->scope = m->scope;
    jinja_push_scope(j);
    bind_macro(j, m->def, args);
    capture_begin(j, &c);
    run_block(j, &m->def->body);
    j->scope = outer;
    j->line = line;
    jinja_leave(j);
    return capture_end(j, &c);
}

static void define_macro(Jinja *j, const Stmt *s) {
    jinja_set(j, s->macro.def.name, new_macro(j, &s->macro.def));
}

static void run_call_block(Jinja *j, const Stmt *s) {
    JArgs args;
    const Expr *call = s->macro.call;
    JValue callee = jinja_eval(j, call->subject);
    jinja_eval_args(j, &call->args, &args);
    Str *names = jinja_alloc_array(j, args.n_named + 1, sizeof *names);
    JValue *named = jinja_alloc_array(j, args.n_named + 1, sizeof *named);
    for (size_t i = 0; i < args.n_named; i++) names[i] = args.names[i], named[i] = args.named[i];
    names[args.n_named] = STR("caller");
    named[args.n_named++] = new_macro(j, &s->macro.def);
    args.names = names;
    args.named = named;
    jv_print(j, j->out, jinja_call(j, callee, &args));
}

// ---- dispatch

static Flow run_statement(Jinja *j, const Stmt *s) {
    switch (s->kind) {
    case S_TEXT: jtext_put(j, j->out, s->text); return FLOW_ON;
    case S_OUTPUT: jv_print(j, j->out, jinja_eval(j, s->output)); return FLOW_ON;
    case S_IF: return run_if(j, s);
    case S_FOR: return run_for(j, s);
    case S_SET: assign(j, s->set.targets.at[0], jinja_eval(j, s->set.values.at[0])); return FLOW_ON;
    case S_SET_BLOCK: return run_set_block(j, s);
    case S_WITH: return run_with(j, s);
    case S_MACRO: define_macro(j, s); return FLOW_ON;
    case S_CALL: run_call_block(j, s); return FLOW_ON;
    case S_FILTER: return run_filter(j, s);
    case S_SCOPED: return run_scoped(j, s);
    case S_BREAK: return FLOW_BREAK;
    case S_CONTINUE: return FLOW_CONTINUE;
    }
    return FLOW_ON;
}

static Flow run_block(Jinja *j, const Block *b) {
    Flow flow = FLOW_ON;
    jinja_enter(j, JINJA_MAX_DEPTH);
    for (size_t i = 0; i < b->n && flow == FLOW_ON; i++) {
        j->line = b->at[i]->line;
        jinja_step(j, 1);
        flow = run_statement(j, b->at[i]);
    }
    jinja_leave(j);
    return flow;
}

void jinja_run_block(Jinja *j, const Block *b) {
    run_block(j, b);
}
