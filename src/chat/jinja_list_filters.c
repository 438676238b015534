// Filters that walk what they are given.
#include "chat/jinja_builtins.h"
#include "chat/jinja_number.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

static JValue filter_join(Jinja *j, JCall *c) {
    Str between = jarg_text(j, c, 0, "");
    JList *items = jv_items(j, c->self);
    JText t = {0};
    for (size_t i = 0; i < items->n; i++) {
        JValue v = items->at[i];
        if (jarg_given(c, 1)) v = jinja_path(j, v, c->arg[1]);
        if (i) jtext_put(j, &t, between);
        jv_print(j, &t, v);
        jinja_step(j, 1);
    }
    return jv_str(jtext_finish(j, &t));
}

// ---- map, select, reject

static const JBuiltin *named_builtin(Jinja *j, const JCall *c, JArgs *rest,
                                     const JBuiltin *(*find)(Str name)) {
    if (rest->pos[0].kind != J_STR) jinja_fail(j, "%s needs the name of a filter or test", c->fn->name);
    const JBuiltin *fn = find(rest->pos[0].s);
    if (!fn)
        jinja_fail(j, "%s: there is no filter or test '%.*s'", c->fn->name, jinja_cut(rest->pos[0].s, 60),
                   rest->pos[0].s.ptr);
    rest->pos++;
    rest->n_pos--;
    return fn;
}

static JValue map_attribute(Jinja *j, JCall *c, JList *items) {
    JList *l = jlist_new(j);
    for (size_t i = 0; i < items->n; i++) {
        JValue v = jinja_path(j, items->at[i], c->arg[0]);
        if (v.kind == J_UNDEFINED && jarg_given(c, 1) && c->arg[1].kind != J_NONE) v = c->arg[1];
        jlist_push(j, l, v);
        jinja_step(j, 1);
    }
    return jv_list(J_ITER, l);
}

// attribute and default are named here, so positional arguments are all in `rest`.
static JValue filter_map(Jinja *j, JCall *c) {
    JArgs rest = c->rest;
    JArgs named = {.names = jinja_alloc_array(j, rest.n_named, sizeof(Str)),
                   .named = jinja_alloc_array(j, rest.n_named, sizeof(JValue))};
    for (size_t i = 0; i < rest.n_named; i++) {
        bool attribute = !rest.n_pos && str_eq(rest.names[i], STR("attribute"));
        bool otherwise = !rest.n_pos && str_eq(rest.names[i], STR("default"));
        if (attribute)
            c->arg[0] = rest.named[i];
        else if (otherwise)
            c->arg[1] = rest.named[i];
        else {
            named.names[named.n_named] = rest.names[i];
            named.named[named.n_named++] = rest.named[i];
        }
    }
    JList *items = jv_truth(c->self) ? jv_items(j, c->self) : jlist_new(j);
    if (jarg_given(c, 0)) return map_attribute(j, c, items);
    if (!rest.n_pos) jinja_fail(j, "map needs the name of a filter, or attribute=");
    const JBuiltin *fn = named_builtin(j, c, &rest, jinja_find_filter);
    named.pos = rest.pos;
    named.n_pos = rest.n_pos;
    JList *l = jlist_new(j);
    for (size_t i = 0; i < items->n; i++) {
        jlist_push(j, l, jinja_apply(j, fn, items->at[i], &named));
        jinja_step(j, 1);
    }
    return jv_list(J_ITER, l);
}

static JValue select_items(Jinja *j, JCall *c, bool by_attribute, bool wanted) {
    JList *kept = jlist_new(j);
    if (!jv_truth(c->self)) return jv_list(J_ITER, kept);
    JList *items = jv_items(j, c->self);
    JArgs rest = c->rest;
    const JBuiltin *test = rest.n_pos ? named_builtin(j, c, &rest, jinja_find_test) : NULL;
    for (size_t i = 0; i < items->n; i++) {
        JValue v = by_attribute ? jinja_path(j, items->at[i], c->arg[0]) : items->at[i];
        bool passes = test ? jv_truth(jinja_apply(j, test, v, &rest)) : jv_truth(v);
        if (passes == wanted) jlist_push(j, kept, items->at[i]);
        jinja_step(j, 1);
    }
    return jv_list(J_ITER, kept);
}

static JValue filter_select(Jinja *j, JCall *c) {
    return select_items(j, c, false, true);
}

static JValue filter_reject(Jinja *j, JCall *c) {
    return select_items(j, c, false, false);
}

static JValue filter_selectattr(Jinja *j, JCall *c) {
    return select_items(j, c, true, true);
}

static JValue filter_rejectattr(Jinja *j, JCall *c) {
    return select_items(j, c, true, false);
}

// ---- order

static JList *copy_items(Jinja *j, JValue v) {
    JList *items = jv_items(j, v);
    return jlist_copy(j, items, 0, items->n);
}

static JValue filter_sort(Jinja *j, JCall *c) {
    JSort sort = {
        .reverse = jarg_bool(c, 0, false), .case_sensitive = jarg_bool(c, 1, false), .path = c->arg[2]};
    JList *l = copy_items(j, c->self);
    // Several attributes: by the last first, since the sort is stable.
    if (sort.path.kind == J_STR && jstr_find(j, sort.path.s, STR(","), 0) >= 0) {
        for (Str rest = sort.path.s; rest.len;) {
            ptrdiff_t comma = jstr_rfind(j, rest, STR(","));
            sort.path = jv_str(str_skip(rest, (size_t)(comma + 1)));
            jinja_sort(j, l, &sort);
            rest = comma < 0 ? STR("") : str_sub(rest, 0, (size_t)comma);
        }
    } else {
        jinja_sort(j, l, &sort);
    }
    return jv_list(J_LIST, l);
}

static JValue filter_unique(Jinja *j, JCall *c) {
    JSort sort = {.case_sensitive = jarg_bool(c, 0, false), .path = c->arg[1]};
    JList *items = jv_items(j, c->self), *kept = jlist_new(j);
    JDict *seen = jdict_new(j);
    for (size_t i = 0; i < items->n; i++) {
        JValue key = jinja_sort_key(j, items->at[i], &sort);
        if (jdict_find(j, seen, key)) continue;
        jdict_put(j, seen, key, jv_none());
        jlist_push(j, kept, items->at[i]);
    }
    return jv_list(J_ITER, kept);
}

static JValue filter_reverse(Jinja *j, JCall *c) {
    if (c->self.kind == J_STR) return jinja_slice(j, c->self, jv_none(), jv_none(), jv_int(-1));
    JList *l = copy_items(j, c->self);
    for (size_t a = 0, b = l->n; a + 1 < b; a++) {
        JValue swap = l->at[a];
        l->at[a] = l->at[--b];
        l->at[b] = swap;
    }
    return jv_list(J_ITER, l);
}

static JValue extreme(Jinja *j, JCall *c, int sign) {
    JSort sort = {.case_sensitive = jarg_bool(c, 0, false), .path = c->arg[1]};
    JList *items = jv_items(j, c->self);
    if (!items->n) return jv_undefined(J_MISSING, STR("the extreme of nothing"));
    JValue best = items->at[0], best_key = jinja_sort_key(j, best, &sort);
    for (size_t i = 1; i < items->n; i++) {
        JValue key = jinja_sort_key(j, items->at[i], &sort);
        if (sign * jv_compare(j, key, best_key, sign < 0 ? "<" : ">") <= 0) continue;
        best = items->at[i];
        best_key = key;
    }
    return best;
}

static JValue filter_min(Jinja *j, JCall *c) {
    return extreme(j, c, -1);
}

static JValue filter_max(Jinja *j, JCall *c) {
    return extreme(j, c, 1);
}

static JValue filter_sum(Jinja *j, JCall *c) {
    JValue sum = jarg_given(c, 1) ? c->arg[1] : jv_int(0);
    JList *items = jv_items(j, c->self);
    for (size_t i = 0; i < items->n; i++) {
        JValue v = items->at[i];
        if (jarg_given(c, 0) && c->arg[0].kind != J_NONE) v = jinja_path(j, v, c->arg[0]);
        sum = jinja_math(j, T_ADD, sum, v);
        jinja_step(j, 1);
    }
    return sum;
}

// ---- parts

static JValue filter_batch(Jinja *j, JCall *c) {
    JList *items = jv_items(j, c->self), *batches = jlist_new(j);
    int64_t size = jarg_int(j, c, 0, 1);
    if (size < 1 || size > JINJA_MAX_RANGE)
        jinja_fail(j, "batch: the count must lie between 1 and %d", JINJA_MAX_RANGE);
    for (size_t i = 0; i < items->n; i += (size_t)size) {
        size_t to = items->n - i < (size_t)size ? items->n : i + (size_t)size;
        JList *part = jlist_copy(j, items, i, to);
        bool fill = jarg_given(c, 1) && c->arg[1].kind != J_NONE;
        while (fill && part->n < (size_t)size) jlist_push(j, part, c->arg[1]);
        jlist_push(j, batches, jv_list(J_LIST, part));
    }
    return jv_list(J_ITER, batches);
}

static JValue filter_slice(Jinja *j, JCall *c) {
    JList *items = jv_items(j, c->self), *slices = jlist_new(j);
    int64_t n = jarg_int(j, c, 0, 1);
    if (n < 1 || n > JINJA_MAX_RANGE)
        jinja_fail(j, "slice: the count must lie between 1 and %d", JINJA_MAX_RANGE);
    size_t each = items->n / (size_t)n, extra = items->n % (size_t)n, at = 0;
    for (size_t i = 0; i < (size_t)n; i++) {
        size_t size = each + (i < extra);
        JList *part = jlist_copy(j, items, at, at + size);
        bool fill = i >= extra && jarg_given(c, 1) && c->arg[1].kind != J_NONE;
        if (fill) jlist_push(j, part, c->arg[1]);
        jlist_push(j, slices, jv_list(J_LIST, part));
        at += size;
    }
    return jv_list(J_ITER, slices);
}

static JValue filter_groupby(Jinja *j, JCall *c) {
    JSort sort = {.case_sensitive = jarg_bool(c, 2, false), .path = c->arg[0]};
    JList *l = copy_items(j, c->self), *groups = jlist_new(j), *group = NULL;
    JValue last = jv_none();
    jinja_sort(j, l, &sort);
    for (size_t i = 0; i < l->n; i++) {
        JValue key = jinja_sort_key(j, l->at[i], &sort);
        if (!group || !jv_equal(j, key, last)) {
            group = jlist_new(j);
            JValue label = jinja_path(j, l->at[i], c->arg[0]);
            jlist_push(j, groups, jv_pair(j, label, jv_list(J_LIST, group)));
        }
        jlist_push(j, group, l->at[i]);
        last = key;
    }
    return jv_list(J_LIST, groups);
}

const JBuiltin jinja_list_filters[] = {
    {"join", "d? attribute?", filter_join},
    {"map", "*", filter_map},
    {"select", "*", filter_select},
    {"reject", "*", filter_reject},
    {"selectattr", "attribute *", filter_selectattr},
    {"rejectattr", "attribute *", filter_rejectattr},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"unique", "case_sensitive? attribute?", filter_unique},
    {"reverse", "", filter_reverse},
    {"min", "case_sensitive? attribute?", filter_min},
    {"max", "case_sensitive? attribute?", filter_max},
    {"sum", "attribute? start?", filter_sum},
    {"batch", "linecount fill_with?", filter_batch},
    {"slice", "slices fill_with?", filter_slice},
    {"groupby", "attribute default? case_sensitive?", filter_groupby},
    {0},
};
