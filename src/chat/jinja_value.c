#include "chat/jinja_value.h"

#include "chat/jinja_text.h"

#include <math.h>

static const char *const type_names[J_N_KINDS] = {
    [J_MISSING] = "missing",   [J_UNDEFINED] = "Undefined",
    [J_NONE] = "NoneType",     [J_BOOL] = "bool",
    [J_INT] = "int",           [J_FLOAT] = "float",
    [J_STR] = "str",           [J_LIST] = "list",
    [J_TUPLE] = "tuple",       [J_ITER] = "generator",
    [J_DICT] = "dict",         [J_NAMESPACE] = "Namespace",
    [J_LOOP] = "LoopContext",  [J_MACRO] = "Macro",
    [J_FUNCTION] = "function", [J_METHOD] = "method",
};

const char *jv_type_name(JValue v) {
    return type_names[v.kind];
}

int64_t jv_as_int(JValue v) {
    return v.kind == J_BOOL ? v.b : v.i;
}

double jv_as_float(JValue v) {
    return v.kind == J_FLOAT ? v.f : (double)jv_as_int(v);
}

void jv_fail_undefined(Jinja *j, JValue v) {
    int n = jinja_cut(v.s, 100);
    if (v.owner == J_MISSING) jinja_fail(j, "'%.*s' is undefined", n, v.s.ptr);
    jinja_fail(j, "a %s has no attribute or item '%.*s'", type_names[v.owner], n, v.s.ptr);
}

void jv_need_defined(Jinja *j, JValue v) {
    if (v.kind == J_UNDEFINED) jv_fail_undefined(j, v);
}

// ---- lists

JList *jlist_new(Jinja *j) {
    return jinja_alloc(j, sizeof(JList));
}

void jlist_push(Jinja *j, JList *l, JValue v) {
    l->at = jinja_grow_array(j, l->at, l->n, &l->cap, sizeof *l->at);
    l->at[l->n++] = v;
}

JList *jlist_copy(Jinja *j, const JList *l, size_t from, size_t to) {
    JList *copy = jlist_new(j);
    size_t n = to > from ? to - from : 0;
    jinja_step(j, n / 16);
    copy->at = jinja_alloc_array(j, n, sizeof *copy->at);
    if (n) memcpy(copy->at, l->at + from, n * sizeof *copy->at);
    copy->n = copy->cap = n;
    return copy;
}

JValue jv_pair(Jinja *j, JValue a, JValue b) {
    JList *pair = jlist_new(j);
    jlist_push(j, pair, a);
    jlist_push(j, pair, b);
    return jv_list(J_TUPLE, pair);
}

// ---- dicts

enum { DICT_SMALL = 8 };

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
}

static uint64_t hash_str(Str s) {
    uint64_t h = s.len + 1;
    for (; s.len >= 8; s = str_skip(s, 8)) {
        uint64_t x;
        memcpy(&x, s.ptr, 8);
        h = mix(h, x);
    }
    uint64_t x = 0;
    if (s.len) memcpy(&x, s.ptr, s.len);
    return mix(h, x);
}

// Numbers that are equal hash alike: True, 1 and 1.0 are one key.
static uint64_t hash_number(JValue v) {
    if (v.kind != J_FLOAT) return mix(1, (uint64_t)jv_as_int(v));
    if (v.f == floor(v.f) && fabs(v.f) < 9e18) return mix(1, (uint64_t)(int64_t)v.f);
    uint64_t bits;
    memcpy(&bits, &v.f, sizeof bits);
    return mix(2, bits);
}

bool jv_is_hashable(JValue v) {
    if (v.kind == J_LIST || v.kind == J_DICT) return false;
    if (v.kind != J_TUPLE) return true;
    for (size_t i = 0; i < v.list->n; i++) // tuples nest only as deep as the template's own nesting
        if (!jv_is_hashable(v.list->at[i])) return false;
    return true;
}

static uint64_t hash_value(Jinja *j, JValue v) {
    switch (v.kind) {
    case J_BOOL:
    case J_INT:
    case J_FLOAT: return hash_number(v);
    case J_STR: jinja_step_text(j, v.s.len); return hash_str(v.s);
    case J_LIST:
    case J_DICT: jinja_fail(j, "a %s cannot be a key", jv_type_name(v));
    case J_TUPLE: break;
    default: return v.kind;
    }
    jinja_enter(j, JINJA_MAX_DEPTH);
    uint64_t h = v.list->n;
    for (size_t i = 0; i < v.list->n; i++) h = mix(h, hash_value(j, v.list->at[i]));
    jinja_leave(j);
    return h;
}

JDict *jdict_new(Jinja *j) {
    return jinja_alloc(j, sizeof(JDict));
}

// Every probe is a step: keys that were chosen to collide run into the limit, not into the clock.
static JEntry *dict_entry(Jinja *j, JDict *d, JValue key, uint64_t hash) {
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++)
            if (d->at[i].hash == hash && jv_equal(j, d->at[i].key, key)) return &d->at[i];
        return NULL;
    }
    for (size_t slot = hash & (d->index_cap - 1); d->index[slot]; slot = (slot + 1) & (d->index_cap - 1)) {
        jinja_step(j, 1);
        JEntry *e = &d->at[d->index[slot] - 1];
        if (e->hash == hash && jv_equal(j, e->key, key)) return e;
    }
    return NULL;
}

static void index_entry(JDict *d, size_t i) {
    size_t slot = d->at[i].hash & (d->index_cap - 1);
    while (d->index[slot]) slot = (slot + 1) & (d->index_cap - 1);
    d->index[slot] = (uint32_t)(i + 1);
}

static void dict_reindex(Jinja *j, JDict *d) {
    if (d->n < DICT_SMALL) {
        d->index = NULL;
        d->index_cap = 0;
        return;
    }
    jinja_step(j, d->n);
    if (d->index_cap < 2 * (d->n + 1)) {
        d->index_cap = d->index_cap ? d->index_cap * 2 : 32;
        d->index = jinja_alloc_array(j, d->index_cap, sizeof *d->index);
    } else {
        memset(d->index, 0, d->index_cap * sizeof *d->index);
    }
    for (size_t i = 0; i < d->n; i++) index_entry(d, i);
}

JValue *jdict_find(Jinja *j, JDict *d, JValue key) {
    JEntry *e = dict_entry(j, d, key, hash_value(j, key));
    return e ? &e->value : NULL;
}

JValue *jdict_find_str(Jinja *j, JDict *d, Str key) {
    return d->n ? jdict_find(j, d, jv_str(key)) : NULL;
}

void jdict_put(Jinja *j, JDict *d, JValue key, JValue value) {
    uint64_t hash = hash_value(j, key);
    JEntry *e = dict_entry(j, d, key, hash);
    if (e) {
        e->value = value;
        return;
    }
    d->at = jinja_grow_array(j, d->at, d->n, &d->cap, sizeof *d->at);
    d->at[d->n++] = (JEntry){key, value, hash};
    if (d->n < DICT_SMALL) return;
    if (!d->index || d->index_cap < 2 * d->n)
        dict_reindex(j, d);
    else
        index_entry(d, d->n - 1);
}

bool jdict_remove(Jinja *j, JDict *d, JValue key) {
    JEntry *e = dict_entry(j, d, key, hash_value(j, key));
    if (!e) return false;
    size_t i = (size_t)(e - d->at);
    jinja_step(j, d->n);
    memmove(e, e + 1, (d->n - i - 1) * sizeof *e);
    d->n--;
    dict_reindex(j, d);
    return true;
}

void jdict_clear(JDict *d) {
    d->n = 0;
    d->index = NULL;
    d->index_cap = 0;
}

// ---- truth, equality, order

bool jv_truth(JValue v) {
    switch (v.kind) {
    case J_MISSING:
    case J_UNDEFINED:
    case J_NONE: return false;
    case J_BOOL: return v.b;
    case J_INT: return v.i != 0;
    case J_FLOAT: return v.f != 0;
    case J_STR: return v.s.len > 0;
    case J_LIST:
    case J_TUPLE: return v.list->n > 0;
    case J_DICT: return v.dict->n > 0;
    default: return true;
    }
}

static bool lists_equal(Jinja *j, const JList *a, const JList *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++)
        if (!jv_equal(j, a->at[i], b->at[i])) return false;
    return true;
}

static bool dicts_equal(Jinja *j, JDict *a, JDict *b) {
    if (a->n != b->n) return false;
    for (size_t i = 0; i < a->n; i++) {
        JEntry *other = dict_entry(j, b, a->at[i].key, a->at[i].hash);
        if (!other || !jv_equal(j, a->at[i].value, other->value)) return false;
    }
    return true;
}

bool jv_same(JValue a, JValue b) {
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case J_NONE: return true;
    case J_BOOL: return a.b == b.b;
    case J_INT: return a.i == b.i;
    case J_FLOAT: return a.f == b.f;
    case J_STR: return str_eq(a.s, b.s);
    case J_MISSING:
    case J_UNDEFINED: return false;
    default: return a.list == b.list; // any pointer of the union
    }
}

static bool containers_equal(Jinja *j, JValue a, JValue b) {
    if (a.list == b.list) return true;
    jinja_enter(j, JINJA_MAX_DEPTH);
    bool equal = a.kind == J_DICT ? dicts_equal(j, a.dict, b.dict) : lists_equal(j, a.list, b.list);
    jinja_leave(j);
    return equal;
}

bool jv_equal(Jinja *j, JValue a, JValue b) {
    jinja_step(j, 1);
    if (jv_is_number(a) && jv_is_number(b)) {
        if (a.kind == J_FLOAT || b.kind == J_FLOAT) return jv_as_float(a) == jv_as_float(b);
        return jv_as_int(a) == jv_as_int(b);
    }
    if (a.kind != b.kind) return false;
    if (a.kind == J_STR) jinja_step_text(j, a.s.len);
    if (a.kind == J_UNDEFINED) return true;
    if (jv_is_sequence(a) || a.kind == J_DICT) return containers_equal(j, a, b);
    return jv_same(a, b);
}

static int compare_lists(Jinja *j, const JList *a, const JList *b, const char *op) {
    jinja_enter(j, JINJA_MAX_DEPTH);
    int order = 0;
    for (size_t i = 0; i < a->n && i < b->n && !order; i++)
        if (!jv_equal(j, a->at[i], b->at[i])) order = jv_compare(j, a->at[i], b->at[i], op);
    jinja_leave(j);
    return order ? order : (a->n > b->n) - (a->n < b->n);
}

int jv_compare(Jinja *j, JValue a, JValue b, const char *op) {
    jinja_step(j, 1);
    jv_need_defined(j, a);
    jv_need_defined(j, b);
    if (jv_is_integral(a) && jv_is_integral(b)) {
        int64_t x = jv_as_int(a), y = jv_as_int(b);
        return (x > y) - (x < y);
    }
    if (jv_is_number(a) && jv_is_number(b)) {
        double x = jv_as_float(a), y = jv_as_float(b);
        return (x > y) - (x < y);
    }
    if (a.kind == J_STR && b.kind == J_STR) {
        jinja_step_text(j, a.s.len);
        return jstr_compare(a.s, b.s);
    }
    if (jv_is_sequence(a) && a.kind == b.kind) return compare_lists(j, a.list, b.list, op);
    jinja_fail(j, "'%s' is not possible between %s and %s", op, jv_type_name(a), jv_type_name(b));
}

bool jv_is_callable(JValue v) {
    return v.kind == J_MACRO || v.kind == J_FUNCTION || v.kind == J_METHOD || v.kind == J_UNDEFINED ||
           v.kind == J_LOOP;
}

// ---- walking

bool jv_is_iterable(JValue v) {
    return v.kind == J_UNDEFINED || v.kind == J_STR || v.kind == J_LIST || v.kind == J_TUPLE ||
           v.kind == J_ITER || v.kind == J_DICT || v.kind == J_LOOP;
}

static JList *characters(Jinja *j, Str s) {
    JList *l = jlist_new(j);
    for (size_t at = 0, from = 0; at < s.len; from = at) {
        jstr_next(s, &at);
        jinja_step(j, 1);
        jlist_push(j, l, jv_str(jstr_sub(s, from, at)));
    }
    return l;
}

static JList *keys(Jinja *j, const JDict *d) {
    JList *l = jlist_new(j);
    jinja_step(j, d->n);
    for (size_t i = 0; i < d->n; i++) jlist_push(j, l, d->at[i].key);
    return l;
}

JList *jv_items(Jinja *j, JValue v) {
    switch (v.kind) {
    case J_UNDEFINED: return jlist_new(j);
    case J_STR: return characters(j, v.s);
    case J_DICT: return keys(j, v.dict);
    case J_LIST:
    case J_TUPLE: return v.list;
    case J_ITER: {
        JList *taken = jlist_new(j);
        *taken = *v.list;
        *v.list = (JList){0};
        return taken;
    }
    default: jinja_fail(j, "a %s cannot be walked: expected a list, a mapping or a text", jv_type_name(v));
    }
}
