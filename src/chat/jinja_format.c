#include "chat/jinja_format.h"

#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

#include <math.h>
#include <stdio.h>

enum { MAX_WIDTH = 4096, MAX_PRECISION = 64 };

typedef struct Spec {
    int32_t fill;
    char align; // '<', '>', '^', '=', or 0: by kind of value
    char sign;  // '+', ' ', or '-'
    bool alternate, zero;
    char group; // ',' or '_' between thousands, or 0
    int width;
    int precision; // -1: none
    char type;     // 0: none
} Spec;

static int read_number(Jinja *j, Str s, size_t *at, int limit) {
    int n = 0;
    while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9') {
        n = n * 10 + (s.ptr[(*at)++] - '0');
        if (n > limit) jinja_fail(j, "a format asks for more than %d places", limit);
    }
    return n;
}

static bool take_char(Str s, size_t *at, const char *set, char *out) {
    if (*at >= s.len || !s.ptr[*at] || !strchr(set, s.ptr[*at])) return false;
    *out = s.ptr[(*at)++];
    return true;
}

// ---- one value by its Spec

static void put_padded(Jinja *j, JText *t, const Spec *spec, Str sign, Str body, char natural) {
    size_t len = jstr_count(sign) + jstr_count(body);
    size_t pad = spec->width > 0 && (size_t)spec->width > len ? (size_t)spec->width - len : 0;
    char align = spec->align ? spec->align : spec->zero ? '=' : natural;
    int32_t fill = !spec->align && spec->zero ? '0' : spec->fill;
    size_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;
    for (size_t i = 0; i < left; i++) jtext_put_code_point(j, t, fill);
    jtext_put(j, t, sign);
    for (size_t i = 0; align == '=' && i < pad; i++) jtext_put_code_point(j, t, fill);
    jtext_put(j, t, body);
    for (size_t i = left; align != '=' && i < pad; i++) jtext_put_code_point(j, t, fill);
}

static Str group_thousands(Jinja *j, Str digits, char group) {
    size_t whole = 0;
    while (whole < digits.len && digits.ptr[whole] >= '0' && digits.ptr[whole] <= '9') whole++;
    JText t = {0};
    for (size_t i = 0; i < digits.len; i++) {
        if (group && i && i < whole && (whole - i) % 3 == 0) jtext_putc(j, &t, group);
        jtext_putc(j, &t, digits.ptr[i]);
    }
    return jtext_finish(j, &t);
}

static void put_number(Jinja *j, JText *t, const Spec *spec, bool negative, Str digits) {
    char sign[2] = {negative ? '-' : spec->sign == '-' ? '\0' : spec->sign, '\0'};
    put_padded(j, t, spec, str_from(sign), group_thousands(j, digits, spec->group), '>');
}

static Str int_digits(Jinja *j, uint64_t n, const Spec *spec) {
    char digits[80];
    const char *prefix = "";
    int at = (int)sizeof digits - 1;
    unsigned base = 10;
    if (spec->type == 'x' || spec->type == 'X') base = 16, prefix = spec->type == 'x' ? "0x" : "0X";
    if (spec->type == 'o') base = 8, prefix = "0o";
    if (spec->type == 'b') base = 2, prefix = "0b";
    digits[at] = '\0';
    do digits[--at] = (spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[n % base];
    while (n /= base);
    JText t = {0};
    if (spec->alternate) jtext_puts(j, &t, prefix);
    jtext_puts(j, &t, digits + at);
    return jtext_finish(j, &t);
}

static void put_int(Jinja *j, JText *t, const Spec *spec, int64_t n) {
    uint64_t magnitude = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    put_number(j, t, spec, n < 0, int_digits(j, magnitude, spec));
}

static void put_float(Jinja *j, JText *t, const Spec *spec, double f) {
    char digits[512];
    int precision = spec->precision < 0 ? 6 : spec->precision;
    double magnitude = fabs(f);
    switch (spec->type) {
    case 'e': snprintf(digits, sizeof digits, "%.*e", precision, magnitude); break;
    case 'E': snprintf(digits, sizeof digits, "%.*E", precision, magnitude); break;
    case 'g': snprintf(digits, sizeof digits, "%.*g", precision, magnitude); break;
    case 'G': snprintf(digits, sizeof digits, "%.*G", precision, magnitude); break;
    case '%': snprintf(digits, sizeof digits, "%.*f%%", precision, magnitude * 100); break;
    default: snprintf(digits, sizeof digits, "%.*f", precision, magnitude); break;
    }
    put_number(j, t, spec, signbit(f) && !isnan(f), str_from(digits));
}

static void put_text(Jinja *j, JText *t, const Spec *spec, Str s) {
    if (spec->precision >= 0) s = str_sub(s, 0, jstr_offset(s, (size_t)spec->precision));
    put_padded(j, t, spec, STR(""), s, '<');
}

static Str repr_of(Jinja *j, JValue v) {
    JText t = {0};
    jv_repr(j, &t, v);
    return jtext_finish(j, &t);
}

static void need_number(Jinja *j, JValue v, char type) {
    if (jv_is_number(v)) return;
    jv_need_defined(j, v);
    jinja_fail(j, "format '%c' needs a number, not %s", type, jv_type_name(v));
}

// ---- "%d items" % n

typedef struct Percent {
    JValue values;
    size_t next; // of the positional ones
} Percent;

static JValue next_value(Jinja *j, Percent *p) {
    if (p->values.kind == J_TUPLE) {
        if (p->next >= p->values.list->n) jinja_fail(j, "not enough values for the format");
        return p->values.list->at[p->next++];
    }
    if (p->next++) jinja_fail(j, "not enough values for the format");
    return p->values;
}

static JValue named_value(Jinja *j, Percent *p, Str format, size_t *at) {
    ptrdiff_t end = jstr_find(j, format, STR(")"), *at);
    if (end < 0) jinja_fail(j, "a format has '(' without ')'");
    if (p->values.kind != J_DICT) jinja_fail(j, "a format with names needs a mapping");
    Str name = jstr_sub(format, *at, (size_t)end);
    *at = (size_t)end + 1;
    p->next = 1;
    JValue *v = jdict_find_str(j, p->values.dict, name);
    if (!v) jinja_fail(j, "the format names a value that is not there");
    return *v;
}

static Spec read_percent_spec(Jinja *j, Str s, size_t *at) {
    Spec spec = {.fill = ' ', .align = '>', .sign = '-', .precision = -1};
    char flag;
    while (take_char(s, at, "-+ #0", &flag)) {
        if (flag == '-') spec.align = '<';
        if (flag == '+' || flag == ' ') spec.sign = flag;
        if (flag == '#') spec.alternate = true;
        if (flag == '0') spec.zero = true;
    }
    if (spec.zero && spec.align == '>') spec.align = '\0';
    spec.width = read_number(j, s, at, MAX_WIDTH);
    if (take_char(s, at, ".", &flag)) spec.precision = read_number(j, s, at, MAX_PRECISION);
    if (*at >= s.len) jinja_fail(j, "a format ends in the middle of '%%'");
    spec.type = s.ptr[(*at)++];
    return spec;
}

static void put_percent(Jinja *j, JText *t, Spec *spec, JValue v) {
    switch (spec->type) {
    case 's':
    case 'r':
    case 'a':
        spec->zero = false;
        if (!spec->align) spec->align = '>';
        put_text(j, t, spec, spec->type == 's' ? jv_to_str(j, v) : repr_of(j, v));
        return;
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        need_number(j, v, spec->type);
        if (v.kind == J_FLOAT && (!(fabs(v.f) < 9e18) || !strchr("diu", spec->type)))
            jinja_fail(j, "format '%c' needs an integer", spec->type);
        put_int(j, t, spec, v.kind == J_FLOAT ? (int64_t)v.f : jv_as_int(v));
        return;
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
        need_number(j, v, spec->type);
        put_float(j, t, spec, jv_as_float(v));
        return;
    default: jinja_fail(j, "a format has an unknown conversion '%%%c'", spec->type);
    }
}

Str jinja_format_percent(Jinja *j, Str format, JValue values) {
    JText t = {0};
    Percent p = {.values = values};
    for (size_t at = 0; at < format.len;) {
        ptrdiff_t hit = jstr_find(j, format, STR("%"), at);
        size_t to = hit < 0 ? format.len : (size_t)hit;
        jtext_put(j, &t, jstr_sub(format, at, to));
        if (hit < 0) break;
        at = to + 1;
        jinja_step(j, 1);
        char c;
        bool named = take_char(format, &at, "(", &c);
        JValue v = named ? named_value(j, &p, format, &at) : jv_none();
        Spec spec = read_percent_spec(j, format, &at);
        if (spec.type == '%')
            jtext_putc(j, &t, '%');
        else
            put_percent(j, &t, &spec, named ? v : next_value(j, &p));
    }
    // What has items by name may leave some unused.
    bool named = values.kind == J_DICT || values.kind == J_LIST || values.kind == J_UNDEFINED;
    bool all_used = values.kind == J_TUPLE ? p.next == values.list->n : p.next || named;
    if (!all_used) jinja_fail(j, "not all values were used by the format");
    return jtext_finish(j, &t);
}

// ---- "{0} and {name!r:>10}".format(…)

static Spec read_brace_spec(Jinja *j, Str s) {
    Spec spec = {.fill = ' ', .sign = '-', .precision = -1};
    size_t at = 0, next = 0;
    char c;
    int32_t first = s.len ? jstr_next(s, &next) : 0;
    if (next < s.len && strchr("<>^=", s.ptr[next]) && s.ptr[next]) {
        spec.fill = first;
        spec.align = s.ptr[next];
        at = next + 1;
    } else {
        take_char(s, &at, "<>^=", &spec.align);
    }
    take_char(s, &at, "+- ", &spec.sign);
    spec.alternate = take_char(s, &at, "#", &c);
    spec.zero = take_char(s, &at, "0", &c);
    spec.width = read_number(j, s, &at, MAX_WIDTH);
    take_char(s, &at, ",_", &spec.group);
    if (take_char(s, &at, ".", &c)) spec.precision = read_number(j, s, &at, MAX_PRECISION);
    take_char(s, &at, "sdfFeEgGxXob%", &spec.type);
    if (at != s.len) jinja_fail(j, "a format has an unknown specification");
    return spec;
}

static void put_braced(Jinja *j, JText *t, const Spec *spec, JValue v) {
    bool integer_type = spec->type && strchr("dxXob", spec->type);
    bool float_type = spec->type && strchr("fFeEgG%", spec->type);
    if (integer_type || float_type) need_number(j, v, spec->type);
    if (integer_type && v.kind == J_FLOAT) jinja_fail(j, "format '%c' needs an integer", spec->type);
    if (integer_type || (v.kind == J_INT && !float_type && spec->type != 's')) {
        put_int(j, t, spec, jv_as_int(v));
    } else if (float_type || (v.kind == J_FLOAT && spec->precision >= 0 && !spec->type)) {
        Spec s = *spec;
        if (!s.type) s.type = 'g';
        put_float(j, t, &s, jv_as_float(v));
    } else if (v.kind == J_FLOAT) {
        put_number(j, t, spec, signbit(v.f), repr_of(j, jv_float(fabs(v.f))));
    } else {
        put_text(j, t, spec, jv_to_str(j, v));
    }
}

static JValue brace_argument(Jinja *j, const JArgs *args, Str name, size_t *next) {
    size_t at = 0;
    if (!name.len) {
        if (*next < args->n_pos) return args->pos[(*next)++];
        jinja_fail(j, "format: not enough values");
    }
    int i = read_number(j, name, &at, MAX_WIDTH);
    if (at == name.len && (size_t)i < args->n_pos) return args->pos[i];
    for (size_t k = 0; k < args->n_named; k++)
        if (str_eq(args->names[k], name)) return args->named[k];
    jinja_fail(j, "format: there is no value '%.*s'", jinja_cut(name, 60), name.ptr);
}

// name, then .attribute and [item] parts.
static JValue brace_field(Jinja *j, const JArgs *args, Str field, size_t *next) {
    size_t at = 0;
    while (at < field.len && field.ptr[at] != '.' && field.ptr[at] != '[') at++;
    JValue v = brace_argument(j, args, str_sub(field, 0, at), next);
    while (at < field.len) {
        bool item = field.ptr[at++] == '[';
        size_t from = at;
        while (at < field.len && (item ? field.ptr[at] != ']' : field.ptr[at] != '.' && field.ptr[at] != '['))
            at++;
        Str part = jstr_sub(field, from, at);
        v = item ? jinja_path(j, v, jv_str(part)) : jinja_attr(j, v, part);
        at += item;
        jv_need_defined(j, v);
    }
    return v;
}

static void put_field(Jinja *j, JText *t, const JArgs *args, Str body, size_t *next) {
    ptrdiff_t colon = jstr_find(j, body, STR(":"), 0);
    Str spec_text = colon < 0 ? STR("") : str_skip(body, (size_t)colon + 1);
    Str field = colon < 0 ? body : str_sub(body, 0, (size_t)colon);
    char conversion = '\0';
    if (field.len >= 2 && field.ptr[field.len - 2] == '!') {
        conversion = field.ptr[field.len - 1];
        if (conversion != 'r' && conversion != 's')
            jinja_fail(j, "format: unknown conversion '!%c'", conversion);
        field = str_sub(field, 0, field.len - 2);
    }
    JValue v = brace_field(j, args, field, next);
    if (conversion) v = jv_str(conversion == 'r' ? repr_of(j, v) : jv_to_str(j, v));
    Spec spec = read_brace_spec(j, spec_text);
    put_braced(j, t, &spec, v);
}

Str jinja_format_braces(Jinja *j, Str format, const JArgs *args) {
    JText t = {0};
    size_t next = 0;
    for (size_t at = 0; at < format.len;) {
        char c = format.ptr[at];
        bool doubled = at + 1 < format.len && format.ptr[at + 1] == c;
        jinja_step_text(j, 64);
        if (c != '{' && c != '}') {
            jtext_putc(j, &t, c);
            at++;
        } else if (doubled) {
            jtext_putc(j, &t, c);
            at += 2;
        } else {
            ptrdiff_t end = c == '{' ? jstr_find(j, format, STR("}"), at) : -1;
            if (end < 0) jinja_fail(j, "format: a single '%c'", c);
            put_field(j, &t, args, jstr_sub(format, at + 1, (size_t)end), &next);
            at = (size_t)end + 1;
        }
    }
    return jtext_finish(j, &t);
}
