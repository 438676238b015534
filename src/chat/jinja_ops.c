#include "chat/jinja_ops.h"

#include "chat/jinja_eval.h"
#include "chat/jinja_format.h"
#include "chat/jinja_text.h"

#include <math.h>
#include <stdlib.h>

// ---- arithmetic

static _Noreturn void fail_operands(Jinja *j, JTokenKind op, JValue a, JValue b) {
    jv_need_defined(j, a);
    jv_need_defined(j, b);
    jinja_fail(j, "%s is not possible between %s and %s", jinja_token_name(op), jv_type_name(a),
               jv_type_name(b));
}

static JValue checked(Jinja *j, bool overflow, int64_t result) {
    if (overflow) jinja_fail(j, "an integer grows too large");
    return jv_int(result);
}

static JValue power_int(Jinja *j, int64_t base, int64_t exponent) {
    int64_t result = 1;
    bool overflow = false;
    if (exponent > 64 && base != 0 && base != 1 && base != -1) overflow = true;
    if (exponent > 64) exponent = 64 + (exponent & 1); // only 0, 1 and -1 are left
    for (; exponent > 0 && !overflow; exponent--) overflow = __builtin_mul_overflow(result, base, &result);
    return checked(j, overflow, result);
}

static void need_divisor(Jinja *j, bool zero) {
    if (zero) jinja_fail(j, "division by zero");
}

// Python rounds a quotient down, C towards zero.
static JValue divide_floor(Jinja *j, int64_t a, int64_t b) {
    need_divisor(j, b == 0);
    if (b == -1) return checked(j, a == INT64_MIN, a == INT64_MIN ? 0 : -a);
    return jv_int(a / b - (a % b != 0 && (a < 0) != (b < 0)));
}

static JValue modulo(Jinja *j, int64_t a, int64_t b) {
    need_divisor(j, b == 0);
    if (b == -1) return jv_int(0);
    int64_t r = a % b;
    return jv_int(r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

static JValue math_int(Jinja *j, JTokenKind op, int64_t a, int64_t b) {
    int64_t r;
    bool overflow;
    switch (op) {
    case T_ADD: overflow = __builtin_add_overflow(a, b, &r); return checked(j, overflow, r);
    case T_SUB: overflow = __builtin_sub_overflow(a, b, &r); return checked(j, overflow, r);
    case T_MUL: overflow = __builtin_mul_overflow(a, b, &r); return checked(j, overflow, r);
    case T_DIV: need_divisor(j, b == 0); return jv_float((double)a / (double)b);
    case T_FLOORDIV: return divide_floor(j, a, b);
    case T_MOD: return modulo(j, a, b);
    default: break;
    }
    if (b >= 0) return power_int(j, a, b);
    need_divisor(j, a == 0);
    return jv_float(pow((double)a, (double)b));
}

static JValue math_float(Jinja *j, JTokenKind op, double a, double b) {
    switch (op) {
    case T_ADD: return jv_float(a + b);
    case T_SUB: return jv_float(a - b);
    case T_MUL: return jv_float(a * b);
    case T_POW:
        need_divisor(j, a == 0 && b < 0);
        if (a < 0 && b != floor(b)) jinja_fail(j, "a negative number has no real power of a fraction");
        return jv_float(pow(a, b));
    default: break;
    }
    need_divisor(j, b == 0);
    if (op == T_DIV) return jv_float(a / b);
    double r = fmod(a, b);
    if (r != 0 && (r < 0) != (b < 0)) r += b;
    if (op == T_MOD) return jv_float(r == 0 ? copysign(0.0, b) : r);
    return jv_float(r == 0 && a == 0 ? copysign(0.0, a / b) : round((a - r) / b));
}

static JValue repeat_text(Jinja *j, Str s, int64_t times) {
    if (s.len && times > (int64_t)(JINJA_MAX_STRING / s.len))
        jinja_fail(j, "a text grows beyond %d MiB", JINJA_MAX_STRING >> 20);
    JText t = {0};
    for (int64_t i = 0; i < times && s.len; i++) jtext_put(j, &t, s);
    jinja_step(j, times > 0 && s.len ? (size_t)times / 16 : 0);
    return jv_str(jtext_finish(j, &t));
}

static JValue repeat_list(Jinja *j, JValue v, int64_t times) {
    JList *l = jlist_new(j);
    for (int64_t i = 0; i < times && v.list->n; i++) {
        jinja_step(j, v.list->n);
        for (size_t k = 0; k < v.list->n; k++) jlist_push(j, l, v.list->at[k]);
    }
    return jv_list(v.kind, l);
}

static JValue join_lists(Jinja *j, JValue a, JValue b) {
    JList *l = jlist_copy(j, a.list, 0, a.list->n);
    for (size_t i = 0; i < b.list->n; i++) jlist_push(j, l, b.list->at[i]);
    jinja_step(j, b.list->n / 16);
    return jv_list(a.kind, l);
}

JValue jinja_math(Jinja *j, JTokenKind op, JValue a, JValue b) {
    if (a.kind == J_STR && b.kind == J_STR && op == T_ADD) return jv_str(jinja_concat(j, a.s, b.s));
    if (a.kind == J_STR && op == T_MOD) return jv_str(jinja_format_percent(j, a.s, b));
    if (jv_is_integral(a) && jv_is_integral(b)) return math_int(j, op, jv_as_int(a), jv_as_int(b));
    if (jv_is_number(a) && jv_is_number(b)) return math_float(j, op, jv_as_float(a), jv_as_float(b));
    if (op == T_ADD && jv_is_sequence(a) && a.kind == b.kind) return join_lists(j, a, b);
    if (op == T_MUL && jv_is_integral(a)) { // 3 * "ab" is "ab" * 3
        JValue swap = a;
        a = b;
        b = swap;
    }
    if (op == T_MUL && jv_is_integral(b) && a.kind == J_STR) return repeat_text(j, a.s, jv_as_int(b));
    if (op == T_MUL && jv_is_integral(b) && jv_is_sequence(a)) return repeat_list(j, a, jv_as_int(b));
    fail_operands(j, op, a, b);
}

JValue jinja_negate(Jinja *j, JValue v) {
    if (v.kind == J_FLOAT) return jv_float(-v.f);
    if (jv_is_integral(v)) return math_int(j, T_SUB, 0, jv_as_int(v));
    jv_need_defined(j, v);
    jinja_fail(j, "a %s has no negative", jv_type_name(v));
}

// ---- comparison

bool jinja_contains(Jinja *j, JValue container, JValue v) {
    if (container.kind == J_STR) {
        if (v.kind != J_STR) jinja_fail(j, "'in' a text needs a text on its left, not %s", jv_type_name(v));
        return jstr_find(j, container.s, v.s, 0) >= 0;
    }
    if (container.kind == J_DICT) return jdict_find(j, container.dict, v) != NULL;
    JList *items = jv_items(j, container);
    for (size_t i = 0; i < items->n; i++)
        if (jv_equal(j, items->at[i], v)) return true;
    return false;
}

static bool unordered(JValue a, JValue b) { // NaN
    return (a.kind == J_FLOAT && isnan(a.f)) || (b.kind == J_FLOAT && isnan(b.f));
}

bool jinja_compare(Jinja *j, JTokenKind op, JValue a, JValue b) {
    switch (op) {
    case T_EQ: return jv_equal(j, a, b);
    case T_NE: return !jv_equal(j, a, b);
    case T_IN: return jinja_contains(j, b, a);
    case T_NOT_IN: return !jinja_contains(j, b, a);
    default: break;
    }
    char sign[3] = {0}; // the operator without its quotes
    const char *quoted = jinja_token_name(op);
    memcpy(sign, quoted + 1, strlen(quoted) - 2);
    int order = jv_compare(j, a, b, sign);
    if (unordered(a, b)) return false;
    if (op == T_LT) return order < 0;
    if (op == T_LE) return order <= 0;
    return op == T_GT ? order > 0 : order >= 0;
}

// ---- attributes and items

static JValue loop_neighbour(const JLoop *l, size_t i, const char *missing) {
    return i < l->items->n ? l->items->at[i] : jv_undefined(J_MISSING, str_from(missing));
}

static JValue loop_attr(const JLoop *l, Str name) {
    int64_t i = (int64_t)l->index0, n = (int64_t)l->items->n;
    const struct {
        const char *name;
        JValue value;
    } attrs[] = {
        {"index", jv_int(i + 1)},
        {"index0", jv_int(i)},
        {"revindex", jv_int(n - i)},
        {"revindex0", jv_int(n - i - 1)},
        {"first", jv_bool(i == 0)},
        {"last", jv_bool(i + 1 == n)},
        {"length", jv_int(n)},
        {"depth", jv_int(l->depth0 + 1)},
        {"depth0", jv_int(l->depth0)},
        {"previtem", loop_neighbour(l, l->index0 - 1, "there is no previous item")},
        {"nextitem", loop_neighbour(l, l->index0 + 1, "there is no next item")},
    };
    for (size_t k = 0; k < sizeof attrs / sizeof *attrs; k++)
        if (str_eq(name, str_from(attrs[k].name))) return attrs[k].value;
    return jv_undefined(J_LOOP, name);
}

static bool find_method(Jinja *j, JValue v, Str name, JValue *out) {
    const JBuiltin *fn = jinja_find_method(v.kind, name);
    if (!fn) return false;
    JMethod *m = jinja_alloc(j, sizeof *m);
    *m = (JMethod){fn, v};
    *out = (JValue){.kind = J_METHOD, .method = m};
    return true;
}

static JValue dict_attr(Jinja *j, JValue v, Str name) {
    JValue *found = jdict_find_str(j, v.dict, name);
    return found ? *found : jv_undefined(v.kind, name);
}

JValue jinja_attr(Jinja *j, JValue v, Str name) {
    JValue method;
    jv_need_defined(j, v);
    if (find_method(j, v, name, &method)) return method;
    if (v.kind == J_DICT || v.kind == J_NAMESPACE) return dict_attr(j, v, name);
    if (v.kind == J_LOOP) return loop_attr(v.loop, name);
    if (v.kind == J_MACRO && str_eq(name, STR("name"))) return jv_str(v.macro->def->name);
    return jv_undefined(v.kind, name);
}

// Position of an index that may count from the end; false if it is outside.
static bool resolve_index(int64_t i, size_t n, size_t *out) {
    if (i < 0) i += (int64_t)n;
    if (i < 0 || i >= (int64_t)n) return false;
    *out = (size_t)i;
    return true;
}

static bool find_by_index(Jinja *j, JValue v, int64_t i, JValue *out) {
    size_t at;
    if (jv_is_sequence(v)) {
        if (!resolve_index(i, v.list->n, &at)) return false;
        *out = v.list->at[at];
        return true;
    }
    if (v.kind != J_STR) return false;
    jinja_step_text(j, v.s.len * 2);
    if (!resolve_index(i, jstr_count(v.s), &at)) return false;
    size_t from = jstr_offset(v.s, at), to = from;
    jstr_next(v.s, &to);
    *out = jv_str(jstr_sub(v.s, from, to));
    return true;
}

JValue jinja_item(Jinja *j, JValue v, JValue key) {
    JValue found;
    jv_need_defined(j, v);
    if (v.kind == J_DICT && jv_is_hashable(key)) {
        JValue *value = jdict_find(j, v.dict, key);
        if (value) return *value;
    }
    if (jv_is_integral(key) && find_by_index(j, v, jv_as_int(key), &found)) return found;
    if (key.kind == J_STR && v.kind != J_DICT) return jinja_attr(j, v, key.s);
    if (key.kind == J_STR && find_method(j, v, key.s, &found)) return found;
    return jv_undefined(v.kind, jv_to_str(j, key));
}

static JValue path_key(Str part) {
    char digits[20];
    bool number = part.len > 0 && part.len < sizeof digits - 1;
    for (size_t i = 0; i < part.len && number; i++) number = part.ptr[i] >= '0' && part.ptr[i] <= '9';
    if (!number) return jv_str(part);
    memcpy(digits, part.ptr, part.len);
    digits[part.len] = '\0';
    return jv_int(strtoll(digits, NULL, 10));
}

JValue jinja_path(Jinja *j, JValue v, JValue path) {
    if (path.kind != J_STR) return jinja_item(j, v, path);
    for (Str rest = path.s;;) {
        const char *dot = rest.len ? memchr(rest.ptr, '.', rest.len) : NULL;
        Str part = dot ? str_sub(rest, 0, (size_t)(dot - rest.ptr)) : rest;
        v = jinja_item(j, v, path_key(part));
        if (!dot) return v;
        rest = str_skip(rest, part.len + 1);
    }
}

// ---- slices

static int64_t slice_part(Jinja *j, JValue part, int64_t otherwise) {
    if (part.kind == J_NONE) return otherwise;
    if (!jv_is_integral(part)) {
        jv_need_defined(j, part);
        jinja_fail(j, "a slice needs integers, not %s", jv_type_name(part));
    }
    return jv_as_int(part);
}

static int64_t clamp(int64_t i, int64_t n, int64_t low, int64_t high) {
    if (i < 0) i = i < -n ? low : i + n;
    return i < low ? low : i > high ? high : i;
}

static JValue slice_text(Jinja *j, Str s, int64_t from, int64_t n, int64_t step) {
    jinja_step_text(j, s.len * 2);
    if (step == 1) {
        size_t begin = jstr_offset(s, (size_t)from);
        return jv_str(str_sub(s, begin, jstr_offset(str_skip(s, begin), (size_t)n)));
    }
    JList *chars = jv_items(j, jv_str(s));
    JText t = {0};
    for (int64_t i = 0; i < n; i++) jtext_put(j, &t, chars->at[from + i * step].s);
    return jv_str(jtext_finish(j, &t));
}

static JValue slice_list(Jinja *j, JValue v, int64_t from, int64_t n, int64_t step) {
    JList *l = jlist_new(j);
    jinja_step(j, (size_t)n / 16);
    for (int64_t i = 0; i < n; i++) jlist_push(j, l, v.list->at[from + i * step]);
    return jv_list(v.kind, l);
}

JValue jinja_slice(Jinja *j, JValue v, JValue from, JValue to, JValue step) {
    jv_need_defined(j, v);
    if (v.kind != J_STR && !jv_is_sequence(v)) jinja_fail(j, "a %s has no slices", jv_type_name(v));
    int64_t len = v.kind == J_STR ? (int64_t)jstr_count(v.s) : (int64_t)v.list->n;
    int64_t by = slice_part(j, step, 1);
    if (by == 0) jinja_fail(j, "the step of a slice must not be zero");
    bool down = by < 0;
    int64_t low = down ? -1 : 0, high = down ? len - 1 : len;
    int64_t a = from.kind == J_NONE ? (down ? high : low) : clamp(slice_part(j, from, 0), len, low, high);
    int64_t b = to.kind == J_NONE ? (down ? low : high) : clamp(slice_part(j, to, 0), len, low, high);
    int64_t span = down ? a - b : b - a;
    if (by > len) by = len + 1; // one item at most: keeps what follows from overflowing
    if (by < -len) by = -len - 1;
    int64_t n = span > 0 ? (span - 1) / (down ? -by : by) + 1 : 0;
    if (v.kind == J_STR) return slice_text(j, v.s, a, n, by);
    return slice_list(j, v, a, n, by);
}
