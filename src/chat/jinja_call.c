// Binding of arguments to the parameters of built-in functions, and calls in general.
#include "chat/jinja_eval.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

// ---- parameters of a table line

typedef struct Params {
    Str name[JINJA_MAX_PARAMS];
    bool optional[JINJA_MAX_PARAMS];
    int n;
    bool rest; // "*"
} Params;

static Params read_params(const char *spec) {
    Params p = {0};
    while (*spec) {
        size_t len = strcspn(spec, " ");
        if (spec[0] == '*') {
            p.rest = true;
        } else {
            CHECK(p.n < JINJA_MAX_PARAMS);
            p.optional[p.n] = spec[len - 1] == '?';
            p.name[p.n] = (Str){spec, len - p.optional[p.n]};
            p.n++;
        }
        spec += len + (spec[len] == ' ');
    }
    return p;
}

static int find_param(const Params *p, Str name) {
    for (int i = 0; i < p->n; i++)
        if (str_eq(p->name[i], name)) return i;
    return -1;
}

static void bind_positional(Jinja *j, JCall *c, const Params *p, const JArgs *args) {
    size_t n = args->n_pos < (size_t)p->n ? args->n_pos : (size_t)p->n;
    for (size_t i = 0; i < n; i++) c->arg[i] = args->pos[i];
    if (args->n_pos == n) return;
    if (!p->rest) jinja_fail(j, "%s takes at most %d arguments, not %zu", c->fn->name, p->n, args->n_pos);
    c->rest.pos = args->pos + n;
    c->rest.n_pos = args->n_pos - n;
}

static void bind_named(Jinja *j, JCall *c, const Params *p, const JArgs *args) {
    c->rest.names = jinja_alloc_array(j, args->n_named, sizeof *c->rest.names);
    c->rest.named = jinja_alloc_array(j, args->n_named, sizeof *c->rest.named);
    for (size_t i = 0; i < args->n_named; i++) {
        Str name = args->names[i];
        int param = find_param(p, name);
        if (param < 0 && p->rest) {
            c->rest.names[c->rest.n_named] = name;
            c->rest.named[c->rest.n_named++] = args->named[i];
            continue;
        }
        if (param < 0)
            jinja_fail(j, "%s takes no argument '%.*s'", c->fn->name, jinja_cut(name, 60), name.ptr);
        if (jarg_given(c, param))
            jinja_fail(j, "%s got '%.*s' twice", c->fn->name, jinja_cut(name, 60), name.ptr);
        c->arg[param] = args->named[i];
    }
}

static void need_params(Jinja *j, const JCall *c, const Params *p) {
    for (int i = 0; i < p->n; i++)
        if (!p->optional[i] && !jarg_given(c, i))
            jinja_fail(j, "%s needs an argument '%.*s'", c->fn->name, (int)p->name[i].len, p->name[i].ptr);
}

JValue jinja_apply(Jinja *j, const JBuiltin *fn, JValue self, const JArgs *args) {
    JCall c = {.fn = fn, .self = self};
    Params p = read_params(fn->params);
    bind_positional(j, &c, &p, args);
    if (args->n_named) bind_named(j, &c, &p, args);
    need_params(j, &c, &p);
    return fn->run(j, &c);
}

JValue jinja_call(Jinja *j, JValue callee, const JArgs *args) {
    switch (callee.kind) {
    case J_FUNCTION: return jinja_apply(j, callee.function, jv_none(), args);
    case J_METHOD: return jinja_apply(j, callee.method->function, callee.method->self, args);
    case J_MACRO: return jv_str(jinja_run_macro(j, callee.macro, args));
    default: break;
    }
    jv_need_defined(j, callee);
    jinja_fail(j, "a %s cannot be called", jv_type_name(callee));
}

// ---- arguments by kind

Str jarg_str(Jinja *j, const JCall *c, int i) {
    JValue v = c->arg[i];
    if (v.kind == J_STR) return v.s;
    jv_need_defined(j, v);
    jinja_fail(j, "%s needs a text, not %s", c->fn->name, jv_type_name(v));
}

Str jarg_text(Jinja *j, const JCall *c, int i, const char *otherwise) {
    return jarg_given(c, i) ? jv_to_str(j, c->arg[i]) : str_from(otherwise);
}

int64_t jarg_int(Jinja *j, const JCall *c, int i, int64_t otherwise) {
    JValue v = c->arg[i];
    if (!jarg_given(c, i)) return otherwise;
    if (jv_is_integral(v)) return jv_as_int(v);
    jv_need_defined(j, v);
    jinja_fail(j, "%s needs an integer, not %s", c->fn->name, jv_type_name(v));
}

bool jarg_bool(const JCall *c, int i, bool otherwise) {
    return jarg_given(c, i) ? jv_truth(c->arg[i]) : otherwise;
}

// ---- the tables

static const JBuiltin *find_in(const JBuiltin *table, Str name) {
    for (; table->name; table++)
        if (str_eq(name, str_from(table->name))) return table;
    return NULL;
}

const JBuiltin *jinja_find_filter(Str name) {
    const JBuiltin *const tables[] = {jinja_text_filters, jinja_value_filters, jinja_list_filters};
    for (size_t i = 0; i < 3; i++) {
        const JBuiltin *fn = find_in(tables[i], name);
        if (fn) return fn;
    }
    return NULL;
}

const JBuiltin *jinja_find_test(Str name) {
    return find_in(jinja_tests, name);
}

const JBuiltin *jinja_find_global(Str name) {
    return find_in(jinja_globals, name);
}

const JBuiltin *jinja_find_method(JKind kind, Str name) {
    static const JBuiltin *const tables[J_N_KINDS] = {
        [J_STR] = jinja_str_methods,   [J_LIST] = jinja_list_methods, [J_TUPLE] = jinja_tuple_methods,
        [J_DICT] = jinja_dict_methods, [J_LOOP] = jinja_loop_methods,
    };
    return tables[kind] ? find_in(tables[kind], name) : NULL;
}
