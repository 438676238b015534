// Filters on single values: defaults, numbers, sizes, JSON.
#include "chat/jinja_builtins.h"
#include "chat/jinja_number.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static JValue filter_default(Jinja *j, JCall *c) {
    (void)j;
    bool replace = c->self.kind == J_UNDEFINED || (jarg_bool(c, 1, false) && !jv_truth(c->self));
    if (!replace) return c->self;
    return jarg_given(c, 0) ? c->arg[0] : jv_str(STR(""));
}

// ---- numbers

static JValue filter_int(Jinja *j, JCall *c) {
    JValue otherwise = jarg_given(c, 0) ? c->arg[0] : jv_int(0);
    int64_t i;
    double f;
    if (jv_is_integral(c->self)) return jv_int(jv_as_int(c->self));
    if (c->self.kind == J_FLOAT) {
        f = c->self.f;
    } else {
        jv_need_defined(j, c->self);
        if (c->self.kind != J_STR) return otherwise;
        if (jinja_parse_int(c->self.s, jarg_int(j, c, 1, 10), &i)) return jv_int(i);
        if (!jinja_parse_float(c->self.s, &f)) return otherwise;
    }
    if (!isfinite(f)) return otherwise;
    if (fabs(f) >= 9.2e18) jinja_fail(j, "int: the number is too large");
    return jv_int((int64_t)f);
}

static JValue filter_float(Jinja *j, JCall *c) {
    double f;
    if (jv_is_number(c->self)) return jv_float(jv_as_float(c->self));
    jv_need_defined(j, c->self);
    if (c->self.kind == J_STR && jinja_parse_float(c->self.s, &f)) return jv_float(f);
    return jarg_given(c, 0) ? c->arg[0] : jv_float(0);
}

static void need_number(Jinja *j, const JCall *c) {
    if (jv_is_number(c->self)) return;
    jv_need_defined(j, c->self);
    jinja_fail(j, "%s needs a number, not %s", c->fn->name, jv_type_name(c->self));
}

static JValue filter_abs(Jinja *j, JCall *c) {
    need_number(j, c);
    if (c->self.kind == J_FLOAT) return jv_float(fabs(c->self.f));
    int64_t i = jv_as_int(c->self);
    return i < 0 ? jinja_negate(j, jv_int(i)) : jv_int(i);
}

// Through decimal digits, which is how Python rounds: exactly, halves to even.
static double round_decimal(double f, int places) {
    char digits[400];
    if (places < 0) {
        double scale = pow(10, -places);
        return nearbyint(f / scale) * scale;
    }
    snprintf(digits, sizeof digits, "%.*f", places, f);
    return strtod(digits, NULL);
}

static JValue filter_round(Jinja *j, JCall *c) {
    need_number(j, c);
    Str method = jarg_text(j, c, 1, "common");
    int64_t places = jarg_int(j, c, 0, 0);
    if (places < -30 || places > 30) jinja_fail(j, "round: the precision must lie between -30 and 30");
    double f = jv_as_float(c->self), scale = pow(10, (double)places);
    if (str_eq(method, STR("ceil"))) return jv_float(ceil(f * scale) / scale);
    if (str_eq(method, STR("floor"))) return jv_float(floor(f * scale) / scale);
    if (!str_eq(method, STR("common"))) jinja_fail(j, "round: the method must be common, ceil or floor");
    if (jv_is_integral(c->self) && places >= 0) return jv_int(jv_as_int(c->self));
    double rounded = isfinite(f) ? round_decimal(f, (int)places) : f;
    return jv_is_integral(c->self) ? jv_int((int64_t)rounded) : jv_float(rounded);
}

// ---- sizes and ends

static JValue filter_length(Jinja *j, JCall *c) {
    switch (c->self.kind) {
    case J_UNDEFINED: return jv_int(0);
    case J_STR: jinja_step_text(j, c->self.s.len); return jv_int((int64_t)jstr_count(c->self.s));
    case J_LIST:
    case J_TUPLE: return jv_int((int64_t)c->self.list->n);
    case J_DICT: return jv_int((int64_t)c->self.dict->n);
    case J_LOOP: return jv_int((int64_t)c->self.loop->items->n);
    default: jinja_fail(j, "%s: a %s has no length", c->fn->name, jv_type_name(c->self));
    }
}

static JValue filter_first(Jinja *j, JCall *c) {
    JList *items = jv_items(j, c->self);
    if (!items->n) return jv_undefined(J_MISSING, STR("the first item of nothing"));
    JValue first = items->at[0];
    if (c->self.kind == J_ITER)
        *c->self.list = *jlist_copy(j, items, 1, items->n); // the rest can still be walked
    return first;
}

static JValue filter_last(Jinja *j, JCall *c) {
    if (c->self.kind == J_ITER)
        jinja_fail(j, "last: a generator cannot be walked backwards; use |list first");
    JList *items = jv_items(j, c->self);
    return items->n ? items->at[items->n - 1] : jv_undefined(J_MISSING, STR("the last item of nothing"));
}

static JValue filter_list(Jinja *j, JCall *c) {
    JList *items = jv_items(j, c->self);
    return jv_list(J_LIST, jlist_copy(j, items, 0, items->n));
}

// ---- mappings and attributes

static JList *pairs(Jinja *j, const JDict *d) {
    JList *l = jlist_new(j);
    jinja_step(j, d->n);
    for (size_t i = 0; i < d->n; i++) jlist_push(j, l, jv_pair(j, d->at[i].key, d->at[i].value));
    return l;
}

static void need_mapping(Jinja *j, const JCall *c) {
    if (c->self.kind == J_DICT) return;
    jv_need_defined(j, c->self);
    jinja_fail(j, "%s needs a mapping, not %s", c->fn->name, jv_type_name(c->self));
}

static JValue filter_items(Jinja *j, JCall *c) {
    if (c->self.kind == J_UNDEFINED) return jv_list(J_ITER, jlist_new(j));
    need_mapping(j, c);
    return jv_list(J_ITER, pairs(j, c->self.dict));
}

static JValue filter_dictsort(Jinja *j, JCall *c) {
    need_mapping(j, c);
    Str by = jarg_text(j, c, 1, "key");
    bool by_value = str_eq(by, STR("value"));
    if (!by_value && !str_eq(by, STR("key"))) jinja_fail(j, "dictsort: 'by' must be key or value");
    JSort sort = {.path = jv_int(by_value),
                  .case_sensitive = jarg_bool(c, 0, false),
                  .reverse = jarg_bool(c, 2, false)};
    JList *l = pairs(j, c->self.dict);
    jinja_sort(j, l, &sort);
    return jv_list(J_LIST, l);
}

static JValue filter_attr(Jinja *j, JCall *c) {
    JValue v = jinja_attr(j, c->self, jarg_str(j, c, 0));
    bool item = v.kind != J_METHOD && c->self.kind == J_DICT; // attributes only, never items
    return item ? jv_undefined(J_DICT, c->arg[0].s) : v;
}

// ---- JSON

static void read_indent(Jinja *j, const JCall *c, JsonStyle *style) {
    static const char spaces[] = "                ";
    JValue v = c->arg[1];
    if (v.kind == J_MISSING || v.kind == J_NONE) return;
    if (v.kind == J_STR) {
        style->indent = v.s.ptr;
        style->indent_len = v.s.len;
    } else {
        int64_t n = jarg_int(j, c, 1, 0);
        if (n > (int64_t)sizeof spaces - 1) jinja_fail(j, "tojson: indent is at most %zu", sizeof spaces - 1);
        style->indent = spaces;
        style->indent_len = n > 0 ? (size_t)n : 0;
    }
    style->item_separator = STR(",");
}

static JValue filter_tojson(Jinja *j, JCall *c) {
    JsonStyle style = {.ensure_ascii = jarg_bool(c, 0, false),
                       .sort_keys = jarg_bool(c, 3, false),
                       .item_separator = STR(", "),
                       .key_separator = STR(": ")};
    read_indent(j, c, &style);
    if (jarg_given(c, 2) && c->arg[2].kind != J_NONE) {
        JValue s = c->arg[2];
        bool good =
            jv_is_sequence(s) && s.list->n == 2 && s.list->at[0].kind == J_STR && s.list->at[1].kind == J_STR;
        if (!good) jinja_fail(j, "tojson: separators must be two texts");
        style.item_separator = s.list->at[0].s;
        style.key_separator = s.list->at[1].s;
    }
    JText t = {0};
    jv_print_json(j, &t, c->self, &style);
    return jv_str(jtext_finish(j, &t));
}

const JBuiltin jinja_value_filters[] = {
    {"default", "default_value? boolean?", filter_default},
    {"d", "default_value? boolean?", filter_default},
    {"int", "default? base?", filter_int},
    {"float", "default?", filter_float},
    {"abs", "", filter_abs},
    {"round", "precision? method?", filter_round},
    {"length", "", filter_length},
    {"count", "", filter_length},
    {"first", "", filter_first},
    {"last", "", filter_last},
    {"list", "", filter_list},
    {"items", "", filter_items},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"attr", "name", filter_attr},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
    {0},
};
