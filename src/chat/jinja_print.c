// Values as text: Python's str() and repr(), and JSON in both directions.
#include "chat/jinja_text.h"
#include "chat/jinja_value.h"

#include "base/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// ---- numbers

// The shortest decimal digits that read back as the same double, laid out as Python's repr does:
// positional for exponents -4 … 15, else scientific.
static void print_float(Jinja *j, JText *t, double f) {
    char digits[40];
    int precision = 0;
    if (!isfinite(f)) {
        jtext_puts(j, t, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    do snprintf(digits, sizeof digits, "%.*e", precision, f);
    while (strtod(digits, NULL) != f && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent >= -4 && exponent < 16) {
        snprintf(digits, sizeof digits, "%.*f", precision > exponent ? precision - exponent : 1, f);
        jtext_puts(j, t, digits);
        if (!strchr(digits, '.')) jtext_puts(j, t, ".0");
    } else {
        jtext_puts(j, t, digits);
    }
}

// ---- str and repr

static void repr_char(Jinja *j, JText *t, int32_t cp, char quote) {
    if (cp == quote || cp == '\\')
        jtext_printf(j, t, "\\%c", (char)cp);
    else if (cp == '\n')
        jtext_puts(j, t, "\\n");
    else if (cp == '\r')
        jtext_puts(j, t, "\\r");
    else if (cp == '\t')
        jtext_puts(j, t, "\\t");
    else if (jchar_is_printable(cp))
        jtext_put_code_point(j, t, cp);
    else if (cp < 0x100)
        jtext_printf(j, t, "\\x%02x", (unsigned)cp);
    else if (cp < 0x10000)
        jtext_printf(j, t, "\\u%04x", (unsigned)cp);
    else
        jtext_printf(j, t, "\\U%08x", (unsigned)cp);
}

static void repr_str(Jinja *j, JText *t, Str s) {
    bool has_single = s.len && memchr(s.ptr, '\'', s.len);
    bool has_double = s.len && memchr(s.ptr, '"', s.len);
    char quote = has_single && !has_double ? '"' : '\'';
    jtext_putc(j, t, quote);
    for (size_t at = 0; at < s.len;) repr_char(j, t, jstr_next(s, &at), quote);
    jtext_putc(j, t, quote);
    jinja_step_text(j, s.len * 4);
}

static void repr_items(Jinja *j, JText *t, JValue v) {
    bool tuple = v.kind == J_TUPLE;
    jtext_putc(j, t, tuple ? '(' : '[');
    for (size_t i = 0; i < v.list->n; i++) {
        if (i) jtext_puts(j, t, ", ");
        jv_repr(j, t, v.list->at[i]);
    }
    if (tuple && v.list->n == 1) jtext_putc(j, t, ',');
    jtext_putc(j, t, tuple ? ')' : ']');
}

static void repr_dict(Jinja *j, JText *t, const JDict *d) {
    jtext_putc(j, t, '{');
    for (size_t i = 0; i < d->n; i++) {
        if (i) jtext_puts(j, t, ", ");
        jv_repr(j, t, d->at[i].key);
        jtext_puts(j, t, ": ");
        jv_repr(j, t, d->at[i].value);
    }
    jtext_putc(j, t, '}');
}

static void repr_container(Jinja *j, JText *t, JValue v) {
    jinja_enter(j, JINJA_MAX_DEPTH); // a list may have been put into itself
    if (v.kind == J_NAMESPACE) jtext_puts(j, t, "<Namespace ");
    if (jv_is_sequence(v))
        repr_items(j, t, v);
    else
        repr_dict(j, t, v.dict);
    if (v.kind == J_NAMESPACE) jtext_putc(j, t, '>');
    jinja_leave(j);
}

void jv_repr(Jinja *j, JText *t, JValue v) {
    jinja_step(j, 1);
    switch (v.kind) {
    case J_MISSING: break;
    case J_UNDEFINED: jtext_puts(j, t, "Undefined"); break;
    case J_NONE: jtext_puts(j, t, "None"); break;
    case J_BOOL: jtext_puts(j, t, v.b ? "True" : "False"); break;
    case J_INT: jtext_printf(j, t, "%lld", (long long)v.i); break;
    case J_FLOAT: print_float(j, t, v.f); break;
    case J_STR: repr_str(j, t, v.s); break;
    case J_LIST:
    case J_TUPLE:
    case J_DICT:
    case J_NAMESPACE: repr_container(j, t, v); break;
    case J_LOOP: jtext_printf(j, t, "<LoopContext %zu/%zu>", v.loop->index0 + 1, v.loop->items->n); break;
    default: jtext_printf(j, t, "<%s>", jv_type_name(v)); break;
    }
}

void jv_print(Jinja *j, JText *t, JValue v) {
    if (v.kind == J_STR)
        jtext_put(j, t, v.s);
    else if (v.kind != J_UNDEFINED)
        jv_repr(j, t, v);
}

Str jv_to_str(Jinja *j, JValue v) {
    if (v.kind == J_STR) return v.s;
    JText t = {0};
    jv_print(j, &t, v);
    return jtext_finish(j, &t);
}

// ---- to JSON, as Python's json.dumps writes it

static void json_unicode_escape(Jinja *j, JText *t, int32_t cp) {
    if (cp < 0x10000) {
        jtext_printf(j, t, "\\u%04x", (unsigned)cp);
        return;
    }
    unsigned above = (unsigned)cp - 0x10000;
    jtext_printf(j, t, "\\u%04x\\u%04x", 0xD800 + (above >> 10), 0xDC00 + (above & 0x3FF));
}

static void json_char(Jinja *j, JText *t, int32_t cp, bool ensure_ascii) {
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *p = named; *p; p += 2) {
        if (*p != cp) continue;
        jtext_printf(j, t, "\\%c", p[1]);
        return;
    }
    if (cp < 0x20 || (ensure_ascii && cp > 0x7E))
        json_unicode_escape(j, t, cp);
    else
        jtext_put_code_point(j, t, cp);
}

static void json_str(Jinja *j, JText *t, Str s, bool ensure_ascii) {
    jtext_putc(j, t, '"');
    for (size_t at = 0; at < s.len;) json_char(j, t, jstr_next(s, &at), ensure_ascii);
    jtext_putc(j, t, '"');
    jinja_step_text(j, s.len * 4);
}

static void json_float(Jinja *j, JText *t, double f) {
    if (isnan(f))
        jtext_puts(j, t, "NaN");
    else if (isinf(f))
        jtext_puts(j, t, f < 0 ? "-Infinity" : "Infinity");
    else
        print_float(j, t, f);
}

static void json_newline(Jinja *j, JText *t, const JsonStyle *style, int level) {
    if (!style->indent) return;
    jtext_putc(j, t, '\n');
    for (int i = 0; i < level; i++) jtext_put(j, t, (Str){style->indent, style->indent_len});
}

static void json_value(Jinja *j, JText *t, JValue v, const JsonStyle *style, int level);

static void json_list(Jinja *j, JText *t, const JList *l, const JsonStyle *style, int level) {
    jtext_putc(j, t, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i) jtext_put(j, t, style->item_separator);
        json_newline(j, t, style, level + 1);
        json_value(j, t, l->at[i], style, level + 1);
    }
    if (l->n) json_newline(j, t, style, level);
    jtext_putc(j, t, ']');
}

static void json_key(Jinja *j, JText *t, JValue key, const JsonStyle *style) {
    if (key.kind == J_STR) {
        json_str(j, t, key.s, style->ensure_ascii);
        return;
    }
    if (!jv_is_number(key) && key.kind != J_NONE)
        jinja_fail(j, "tojson: a key must be text or a number, not %s", jv_type_name(key));
    jtext_putc(j, t, '"');
    json_value(j, t, key, style, 0);
    jtext_putc(j, t, '"');
}

// Order of the entries by key: insertion sort is enough for the keys of a JSON object in a prompt,
// and the steps bound it otherwise.
static size_t *sorted_order(Jinja *j, const JDict *d) {
    size_t *order = jinja_alloc_array(j, d->n, sizeof *order);
    for (size_t i = 0; i < d->n; i++) {
        size_t at = i;
        while (at && jv_compare(j, d->at[order[at - 1]].key, d->at[i].key, "<") > 0) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    return order;
}

static void json_dict(Jinja *j, JText *t, const JDict *d, const JsonStyle *style, int level) {
    size_t *order = style->sort_keys ? sorted_order(j, d) : NULL;
    jtext_putc(j, t, '{');
    for (size_t i = 0; i < d->n; i++) {
        const JEntry *e = &d->at[order ? order[i] : i];
        if (i) jtext_put(j, t, style->item_separator);
        json_newline(j, t, style, level + 1);
        json_key(j, t, e->key, style);
        jtext_put(j, t, style->key_separator);
        json_value(j, t, e->value, style, level + 1);
    }
    if (d->n) json_newline(j, t, style, level);
    jtext_putc(j, t, '}');
}

static void json_value(Jinja *j, JText *t, JValue v, const JsonStyle *style, int level) {
    jinja_step(j, 1);
    jinja_enter(j, JINJA_MAX_DEPTH);
    switch (v.kind) {
    case J_NONE: jtext_puts(j, t, "null"); break;
    case J_BOOL: jtext_puts(j, t, v.b ? "true" : "false"); break;
    case J_INT: jtext_printf(j, t, "%lld", (long long)v.i); break;
    case J_FLOAT: json_float(j, t, v.f); break;
    case J_STR: json_str(j, t, v.s, style->ensure_ascii); break;
    case J_LIST:
    case J_TUPLE: json_list(j, t, v.list, style, level); break;
    case J_DICT: json_dict(j, t, v.dict, style, level); break;
    case J_UNDEFINED: jv_fail_undefined(j, v);
    default: jinja_fail(j, "tojson: a %s cannot be written as JSON", jv_type_name(v));
    }
    jinja_leave(j);
}

void jv_print_json(Jinja *j, JText *t, JValue v, const JsonStyle *style) {
    json_value(j, t, v, style, 0);
}

// ---- from JSON

static JValue from_array(Jinja *j, json_t *array) {
    JList *l = jlist_new(j);
    for (size_t i = 0; i < json_array_size(array); i++)
        jlist_push(j, l, jv_from_json(j, json_array_get(array, i)));
    return jv_list(J_LIST, l);
}

static JValue from_object(Jinja *j, json_t *object) {
    JDict *d = jdict_new(j);
    for (void *it = json_object_iter(object); it; it = json_object_iter_next(object, it)) {
        JValue key = jv_str((Str){json_object_iter_key(it), json_object_iter_key_len(it)});
        jdict_put(j, d, key, jv_from_json(j, json_object_iter_value(it)));
    }
    return jv_dict(d);
}

static JValue from_container(Jinja *j, json_t *json) {
    jinja_enter(j, JINJA_MAX_NESTING);
    JValue v = json_is_array(json) ? from_array(j, json) : from_object(j, json);
    jinja_leave(j);
    return v;
}

JValue jv_from_json(Jinja *j, json_t *json) {
    jinja_step(j, 1);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
    case JSON_ARRAY: return from_container(j, json);
    case JSON_STRING: return jv_str((Str){json_string_value(json), json_string_length(json)});
    case JSON_INTEGER: return jv_int(json_integer_value(json));
    case JSON_REAL: return jv_float(json_real_value(json));
    case JSON_TRUE: return jv_bool(true);
    case JSON_FALSE: return jv_bool(false);
    case JSON_NULL: break;
    }
    return jv_none();
}
