// The evaluator's half for expressions.
#include "chat/jinja_eval.h"

#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

static JValue lookup(Jinja *j, Str name) {
    for (JScope *s = j->scope; s; s = s->parent) {
        JValue *v = jdict_find_str(j, &s->vars, name);
        if (v) return *v;
    }
    const JBuiltin *fn = jinja_find_global(name);
    return fn ? (JValue){.kind = J_FUNCTION, .function = fn} : jv_undefined(J_MISSING, name);
}

// ---- literals

static JValue eval_list(Jinja *j, const Expr *e, JKind kind) {
    JList *l = jlist_new(j);
    for (size_t i = 0; i < e->items.n; i++) jlist_push(j, l, jinja_eval(j, e->items.at[i]));
    return jv_list(kind, l);
}

static JValue eval_dict(Jinja *j, const Expr *e) {
    JDict *d = jdict_new(j);
    for (size_t i = 0; i < e->items.n; i += 2) {
        JValue key = jinja_eval(j, e->items.at[i]);
        jdict_put(j, d, key, jinja_eval(j, e->items.at[i + 1]));
    }
    return jv_dict(d);
}

// ---- operators

// The value that decides, as in Python: `x or 'default'` is x or 'default', not a bool.
static JValue eval_logic(Jinja *j, const Expr *e, bool stop_on) {
    JValue v = jv_none();
    for (size_t i = 0; i < e->items.n; i++) {
        v = jinja_eval(j, e->items.at[i]);
        if (jv_truth(v) == stop_on) break;
    }
    return v;
}

static JValue eval_math(Jinja *j, const Expr *e) {
    JValue v = jinja_eval(j, e->items.at[0]);
    for (size_t i = 1; i < e->items.n; i++)
        v = jinja_math(j, e->ops[i - 1], v, jinja_eval(j, e->items.at[i]));
    return v;
}

static JValue eval_concat(Jinja *j, const Expr *e) {
    Str s = STR("");
    for (size_t i = 0; i < e->items.n; i++)
        s = jinja_concat(j, s, jv_to_str(j, jinja_eval(j, e->items.at[i])));
    return jv_str(s);
}

static JValue eval_comparison(Jinja *j, const Expr *e) {
    JValue left = jinja_eval(j, e->items.at[0]);
    for (size_t i = 1; i < e->items.n; i++) {
        JValue right = jinja_eval(j, e->items.at[i]);
        if (!jinja_compare(j, e->ops[i - 1], left, right)) return jv_bool(false);
        left = right;
    }
    return jv_bool(true);
}

static JValue eval_cond(Jinja *j, const Expr *e) {
    if (jv_truth(jinja_eval(j, e->test))) return jinja_eval(j, e->yes);
    return e->no ? jinja_eval(j, e->no) : jv_undefined(J_MISSING, STR("the value without an else"));
}

static JValue eval_positive(Jinja *j, JValue v) {
    if (!jv_is_number(v)) jinja_negate(j, v); // fails with the right words
    return v.kind == J_BOOL ? jv_int(v.b) : v;
}

static JValue eval_slice(Jinja *j, const Expr *e) {
    JValue object = jinja_eval(j, e->object), part[3];
    for (int i = 0; i < 3; i++) part[i] = e->part[i] ? jinja_eval(j, e->part[i]) : jv_none();
    return jinja_slice(j, object, part[0], part[1], part[2]);
}

// ---- calls

static void push_named(Jinja *j, JArgs *out, size_t *cap_names, size_t *cap_values, Str name, JValue v) {
    for (size_t i = 0; i < out->n_named; i++)
        if (str_eq(out->names[i], name))
            jinja_fail(j, "argument '%.*s' is given twice", jinja_cut(name, 60), name.ptr);
    out->names = jinja_grow_array(j, out->names, out->n_named, cap_names, sizeof *out->names);
    out->named = jinja_grow_array(j, out->named, out->n_named, cap_values, sizeof *out->named);
    out->names[out->n_named] = name;
    out->named[out->n_named++] = v;
    jinja_step(j, out->n_named);
}

static void spread_named(Jinja *j, JArgs *out, size_t *cap_names, size_t *cap_values, JValue v) {
    if (v.kind != J_DICT) jinja_fail(j, "'**' needs a mapping, not %s", jv_type_name(v));
    for (size_t i = 0; i < v.dict->n; i++) {
        if (v.dict->at[i].key.kind != J_STR) jinja_fail(j, "'**' needs names as keys");
        push_named(j, out, cap_names, cap_values, v.dict->at[i].key.s, v.dict->at[i].value);
    }
}

void jinja_eval_args(Jinja *j, const CallArgs *a, JArgs *out) {
    JList pos = {0};
    size_t cap_names = 0, cap_values = 0;
    *out = (JArgs){0};
    for (size_t i = 0; i < a->pos.n; i++) jlist_push(j, &pos, jinja_eval(j, a->pos.at[i]));
    for (size_t i = 0; i < a->named.n; i++)
        push_named(j, out, &cap_names, &cap_values, a->names[i], jinja_eval(j, a->named.at[i]));
    if (a->star) {
        JList *rest = jv_items(j, jinja_eval(j, a->star));
        jinja_step(j, rest->n);
        for (size_t i = 0; i < rest->n; i++) jlist_push(j, &pos, rest->at[i]);
    }
    if (a->star_star) spread_named(j, out, &cap_names, &cap_values, jinja_eval(j, a->star_star));
    out->pos = pos.at;
    out->n_pos = pos.n;
}

static JValue eval_call(Jinja *j, const Expr *e) {
    JArgs args;
    JValue callee = jinja_eval(j, e->subject);
    jinja_eval_args(j, &e->args, &args);
    return jinja_call(j, callee, &args);
}

static const JBuiltin *need_builtin(Jinja *j, const Expr *e) {
    const char *what = e->kind == E_FILTER ? "filter" : "test";
    int n = jinja_cut(e->called, 60);
    if (!e->builtin) jinja_fail(j, "there is no %s '%.*s'", what, n, e->called.ptr);
    return e->builtin;
}

static JValue apply_builtin(Jinja *j, const Expr *e, JValue subject) {
    JArgs args;
    const JBuiltin *fn = need_builtin(j, e);
    jinja_eval_args(j, &e->args, &args);
    return jinja_apply(j, fn, subject, &args);
}

JValue jinja_eval_filter(Jinja *j, const Expr *e, JValue innermost) {
    // A chain in a filter block is as high as its tree, so the recursion is bounded by the parser.
    JValue subject = e->subject ? jinja_eval_filter(j, e->subject, innermost) : innermost;
    j->line = e->line;
    return apply_builtin(j, e, subject);
}

// ---- dispatch

static JValue eval_node(Jinja *j, const Expr *e) {
    switch (e->kind) {
    case E_CONST: return e->value;
    case E_NAME: return lookup(j, e->name);
    case E_LIST: return eval_list(j, e, J_LIST);
    case E_TUPLE: return eval_list(j, e, J_TUPLE);
    case E_DICT: return eval_dict(j, e);
    case E_AND: return eval_logic(j, e, false);
    case E_OR: return eval_logic(j, e, true);
    case E_CONCAT: return eval_concat(j, e);
    case E_NOT: return jv_bool(!jv_truth(jinja_eval(j, e->operand)));
    case E_NEG: return jinja_negate(j, jinja_eval(j, e->operand));
    case E_POS: return eval_positive(j, jinja_eval(j, e->operand));
    case E_MATH: return eval_math(j, e);
    case E_COMPARE: return eval_comparison(j, e);
    case E_COND: return eval_cond(j, e);
    case E_ATTR: return jinja_attr(j, jinja_eval(j, e->object), e->attr);
    case E_ITEM: {
        JValue object = jinja_eval(j, e->object);
        return jinja_item(j, object, jinja_eval(j, e->index));
    }
    case E_SLICE: return eval_slice(j, e);
    case E_CALL: return eval_call(j, e);
    case E_FILTER:
    case E_TEST: return apply_builtin(j, e, jinja_eval(j, e->subject));
    }
    return jv_none();
}

JValue jinja_eval(Jinja *j, const Expr *e) {
    int line = j->line;
    j->line = e->line;
    jinja_step(j, 1);
    jinja_enter(j, JINJA_MAX_DEPTH);
    JValue v = eval_node(j, e);
    jinja_leave(j);
    j->line = line;
    return v;
}
