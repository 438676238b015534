// The methods of lists, tuples, dicts and the loop variable.
//
// Templates may change their own lists and dicts here, which transformers' immutable sandbox
// forbids: some models' templates are written for engines that allow it. What the caller passed in
// is a copy and never changes.
#include "chat/jinja_builtins.h"
#include "chat/jinja_number.h"
#include "chat/jinja_text.h"

// ---- lists and tuples

static JValue list_append(Jinja *j, JCall *c) {
    jlist_push(j, c->self.list, c->arg[0]);
    return jv_none();
}

static JValue list_extend(Jinja *j, JCall *c) {
    JList *items = jv_items(j, c->arg[0]);
    for (size_t i = 0, n = items->n; i < n; i++) jlist_push(j, c->self.list, items->at[i]);
    jinja_step(j, items->n);
    return jv_none();
}

static size_t clamp_position(int64_t at, size_t n) {
    if (at < 0) at += (int64_t)n;
    return at<0 ? 0 : at>(int64_t) n ? n : (size_t)at;
}

static JValue list_insert(Jinja *j, JCall *c) {
    JList *l = c->self.list;
    size_t at = clamp_position(jarg_int(j, c, 0, 0), l->n);
    jinja_step(j, l->n / 16);
    jlist_push(j, l, c->arg[1]);
    memmove(l->at + at + 1, l->at + at, (l->n - 1 - at) * sizeof *l->at);
    l->at[at] = c->arg[1];
    return jv_none();
}

static JValue remove_at(Jinja *j, JList *l, size_t at) {
    JValue v = l->at[at];
    jinja_step(j, l->n / 16);
    memmove(l->at + at, l->at + at + 1, (l->n - at - 1) * sizeof *l->at);
    l->n--;
    return v;
}

static JValue list_pop(Jinja *j, JCall *c) {
    JList *l = c->self.list;
    int64_t at = jarg_int(j, c, 0, -1);
    if (at < 0) at += (int64_t)l->n;
    if (at < 0 || at >= (int64_t)l->n) jinja_fail(j, "pop: the list has no such item");
    return remove_at(j, l, (size_t)at);
}

static int64_t list_position(Jinja *j, const JCall *c) {
    for (size_t i = 0; i < c->self.list->n; i++)
        if (jv_equal(j, c->self.list->at[i], c->arg[0])) return (int64_t)i;
    jinja_fail(j, "%s: the list has no such item", c->fn->name);
}

static JValue list_index(Jinja *j, JCall *c) {
    return jv_int(list_position(j, c));
}

static JValue list_remove(Jinja *j, JCall *c) {
    remove_at(j, c->self.list, (size_t)list_position(j, c));
    return jv_none();
}

static JValue list_count(Jinja *j, JCall *c) {
    int64_t n = 0;
    for (size_t i = 0; i < c->self.list->n; i++) n += jv_equal(j, c->self.list->at[i], c->arg[0]);
    return jv_int(n);
}

static JValue list_copy(Jinja *j, JCall *c) {
    return jv_list(J_LIST, jlist_copy(j, c->self.list, 0, c->self.list->n));
}

static JValue list_clear(Jinja *j, JCall *c) {
    (void)j;
    c->self.list->n = 0;
    return jv_none();
}

static JValue list_reverse(Jinja *j, JCall *c) {
    JList *l = c->self.list;
    JList *old = jlist_copy(j, l, 0, l->n);
    for (size_t i = 0; i < l->n; i++) l->at[i] = old->at[l->n - 1 - i];
    return jv_none();
}

static JValue list_sort(Jinja *j, JCall *c) {
    JSort sort = {.case_sensitive = true, .reverse = jarg_bool(c, 0, false)};
    jinja_sort(j, c->self.list, &sort);
    return jv_none();
}

const JBuiltin jinja_list_methods[] = {
    {"append", "item", list_append}, {"extend", "items", list_extend}, {"insert", "index item", list_insert},
    {"pop", "index?", list_pop},     {"index", "item", list_index},    {"remove", "item", list_remove},
    {"count", "item", list_count},   {"copy", "", list_copy},          {"clear", "", list_clear},
    {"reverse", "", list_reverse},   {"sort", "reverse?", list_sort},  {0},
};

const JBuiltin jinja_tuple_methods[] = {
    {"index", "item", list_index},
    {"count", "item", list_count},
    {0},
};

// ---- dicts

static JValue dict_get(Jinja *j, JCall *c) {
    JValue *v = jdict_find(j, c->self.dict, c->arg[0]);
    if (v) return *v;
    return jarg_given(c, 1) ? c->arg[1] : jv_none();
}

static JValue dict_keys(Jinja *j, JCall *c) {
    return jv_list(J_LIST, jv_items(j, c->self));
}

static JValue dict_values(Jinja *j, JCall *c) {
    JList *l = jlist_new(j);
    jinja_step(j, c->self.dict->n);
    for (size_t i = 0; i < c->self.dict->n; i++) jlist_push(j, l, c->self.dict->at[i].value);
    return jv_list(J_LIST, l);
}

static JValue dict_items(Jinja *j, JCall *c) {
    JList *l = jlist_new(j);
    const JDict *d = c->self.dict;
    jinja_step(j, d->n);
    for (size_t i = 0; i < d->n; i++) jlist_push(j, l, jv_pair(j, d->at[i].key, d->at[i].value));
    return jv_list(J_LIST, l);
}

static void put_all(Jinja *j, JDict *d, const JCall *c) {
    if (c->arg[0].kind == J_DICT) {
        const JDict *from = c->arg[0].dict;
        for (size_t i = 0, n = from->n; i < n; i++) jdict_put(j, d, from->at[i].key, from->at[i].value);
        jinja_step(j, from->n);
    } else if (jarg_given(c, 0)) {
        JList *pairs = jv_items(j, c->arg[0]);
        for (size_t i = 0; i < pairs->n; i++) {
            JList *pair = jv_items(j, pairs->at[i]);
            if (pair->n != 2) jinja_fail(j, "%s needs pairs of key and value", c->fn->name);
            jdict_put(j, d, pair->at[0], pair->at[1]);
        }
    }
    for (size_t i = 0; i < c->rest.n_named; i++) jdict_put(j, d, jv_str(c->rest.names[i]), c->rest.named[i]);
}

static JValue dict_update(Jinja *j, JCall *c) {
    put_all(j, c->self.dict, c);
    return jv_none();
}

static JValue dict_pop(Jinja *j, JCall *c) {
    JValue *v = jdict_find(j, c->self.dict, c->arg[0]);
    if (!v && !jarg_given(c, 1)) jinja_fail(j, "pop: the mapping has no such key");
    JValue popped = v ? *v : c->arg[1];
    jdict_remove(j, c->self.dict, c->arg[0]);
    return popped;
}

static JValue dict_setdefault(Jinja *j, JCall *c) {
    JValue *v = jdict_find(j, c->self.dict, c->arg[0]);
    if (v) return *v;
    JValue value = jarg_given(c, 1) ? c->arg[1] : jv_none();
    jdict_put(j, c->self.dict, c->arg[0], value);
    return value;
}

static JValue dict_copy(Jinja *j, JCall *c) {
    JDict *d = jdict_new(j);
    c->arg[0] = c->self;
    put_all(j, d, c);
    return jv_dict(d);
}

static JValue dict_clear(Jinja *j, JCall *c) {
    (void)j;
    jdict_clear(c->self.dict);
    return jv_none();
}

const JBuiltin jinja_dict_methods[] = {
    {"get", "key default?", dict_get},
    {"keys", "", dict_keys},
    {"values", "", dict_values},
    {"items", "", dict_items},
    {"update", "other? *", dict_update},
    {"pop", "key default?", dict_pop},
    {"setdefault", "key default?", dict_setdefault},
    {"copy", "", dict_copy},
    {"clear", "", dict_clear},
    {0},
};

// ---- loop

static JValue loop_cycle(Jinja *j, JCall *c) {
    if (!c->rest.n_pos) jinja_fail(j, "loop.cycle needs at least one value");
    return c->rest.pos[c->self.loop->index0 % c->rest.n_pos];
}

static JValue loop_changed(Jinja *j, JCall *c) {
    JLoop *loop = c->self.loop;
    JList *now = jlist_new(j);
    for (size_t i = 0; i < c->rest.n_pos; i++) jlist_push(j, now, c->rest.pos[i]);
    JValue seen = jv_list(J_TUPLE, now);
    bool changed = loop->last_changed.kind == J_MISSING || !jv_equal(j, loop->last_changed, seen);
    loop->last_changed = seen;
    return jv_bool(changed);
}

const JBuiltin jinja_loop_methods[] = {
    {"cycle", "*", loop_cycle},
    {"changed", "*", loop_changed},
    {0},
};
