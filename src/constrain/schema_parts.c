#include "constrain/schema_parts.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool schema_fail(Schemas *s, const char *keyword, const char *fmt, ...) {
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    Str path = buf_str(&s->path);
    rules_fail(s->r, ERR_INVALID, "#%.*s%s%s: %s", (int)(path.len < 120 ? path.len : 120), path.ptr,
               keyword ? "/" : "", keyword ? keyword : "", what);
    return false;
}

size_t schema_enter(Schemas *s, const char *keyword) {
    size_t before = s->path.len;
    buf_putc(&s->path, '/');
    for (; *keyword; keyword++) {
        if (*keyword == '~' || *keyword == '/')
            buf_puts(&s->path, *keyword == '~' ? "~0" : "~1");
        else
            buf_putc(&s->path, *keyword);
    }
    s->depth++;
    return before;
}

size_t schema_enter_index(Schemas *s, const char *keyword, size_t index) {
    size_t before = schema_enter(s, keyword);
    buf_printf(&s->path, "/%zu", index);
    return before;
}

void schema_leave(Schemas *s, size_t before) {
    s->path.len = before;
    s->depth--;
}

json_t *schema_keep(Schemas *s, json_t *made) {
    if (made && json_array_size(s->made) < SCHEMA_MAX_MADE && json_array_append(s->made, made) == 0) {
        json_decref(made);
        return made;
    }
    json_decref(made);
    rules_fail(s->r, ERR_LIMIT, "the schema is too large");
    return NULL;
}

// ---- types

static const struct {
    const char *name;
    unsigned type;
} type_names[] = {{"null", TYPE_NULL},     {"boolean", TYPE_BOOLEAN}, {"integer", TYPE_INTEGER},
                  {"number", TYPE_NUMBER}, {"string", TYPE_STRING},   {"array", TYPE_ARRAY},
                  {"object", TYPE_OBJECT}};

// What a keyword speaks of, 0: of no type in particular.
static const struct {
    const char *keyword;
    unsigned type;
} type_keywords[] = {
    {"properties", TYPE_OBJECT},
    {"required", TYPE_OBJECT},
    {"additionalProperties", TYPE_OBJECT},
    {"patternProperties", TYPE_OBJECT},
    {"propertyNames", TYPE_OBJECT},
    {"minProperties", TYPE_OBJECT},
    {"maxProperties", TYPE_OBJECT},
    {"items", TYPE_ARRAY},
    {"prefixItems", TYPE_ARRAY},
    {"minItems", TYPE_ARRAY},
    {"maxItems", TYPE_ARRAY},
    {"uniqueItems", TYPE_ARRAY},
    {"minLength", TYPE_STRING},
    {"maxLength", TYPE_STRING},
    {"pattern", TYPE_STRING},
    {"format", TYPE_STRING},
    {"minimum", TYPE_NUMBER},
    {"maximum", TYPE_NUMBER},
    {"exclusiveMinimum", TYPE_NUMBER},
    {"exclusiveMaximum", TYPE_NUMBER},
    {"multipleOf", TYPE_NUMBER},
};

static bool add_type(Schemas *s, const json_t *name, unsigned *types) {
    for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++)
        if (json_is_string(name) && strcmp(json_string_value(name), type_names[i].name) == 0) {
            *types |= type_names[i].type;
            return true;
        }
    return schema_fail(s, "type", "must be the name of a type, or a list of them");
}

static unsigned implied_types(const json_t *schema) {
    unsigned types = 0;
    for (size_t i = 0; i < sizeof type_keywords / sizeof type_keywords[0]; i++)
        if (json_object_get(schema, type_keywords[i].keyword)) types |= type_keywords[i].type;
    return types ? types : TYPE_ANY;
}

bool schema_types(Schemas *s, const json_t *schema, unsigned *types) {
    const json_t *type = json_object_get(schema, "type"), *name;
    size_t i;
    *types = 0;
    if (!type) {
        *types = implied_types(schema);
        return true;
    }
    if (json_is_array(type)) {
        json_array_foreach(type, i, name) if (!add_type(s, name, types)) return false;
    } else if (!add_type(s, type, types)) {
        return false;
    }
    if (json_is_true(json_object_get(schema, "nullable"))) *types |= TYPE_NULL;
    return true;
}

unsigned schema_type_of(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_NULL: return TYPE_NULL;
    case JSON_TRUE:
    case JSON_FALSE: return TYPE_BOOLEAN;
    case JSON_INTEGER: return TYPE_INTEGER;
    case JSON_REAL:
        return json_real_value(value) == floor(json_real_value(value)) ? TYPE_INTEGER : TYPE_NUMBER;
    case JSON_STRING: return TYPE_STRING;
    case JSON_ARRAY: return TYPE_ARRAY;
    default: return TYPE_OBJECT;
    }
}

bool schema_is_annotation(const char *keyword) {
    static const char *const names[] = {
        "title",         "description", "default",  "example",         "examples",         "$schema",
        "$id",           "$comment",    "$anchor",  "$defs",           "definitions",      "deprecated",
        "readOnly",      "writeOnly",   "nullable", "contentEncoding", "contentMediaType", "contentSchema",
        "discriminator", "$vocabulary"};
    if (strncmp(keyword, "x-", 2) == 0) return true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(keyword, names[i]) == 0) return true;
    return false;
}

bool schema_has_only_annotations(const json_t *schema) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) if (!schema_is_annotation(key)) return false;
    return true;
}

// ---- numbers and strings

bool schema_count(Schemas *s, const json_t *schema, const char *keyword, int32_t *out) {
    const json_t *value = json_object_get(schema, keyword);
    if (!value) return true;
    double v = json_number_value(value);
    if (!json_is_number(value) || v != floor(v) || v < 0)
        return schema_fail(s, keyword, "must be a whole number from 0 on");
    if (v > (double)RULES_MAX_COUNT) return schema_fail(s, keyword, "is more than %d", RULES_MAX_COUNT);
    *out = (int32_t)v;
    return true;
}

static const double most_bound = 1e17;

// One side's bound: the tighter of the plain and the exclusive one. *has: there is one.
static bool read_side(Schemas *s, const json_t *schema, bool lower, bool *has, double *bound,
                      bool *excluded) {
    const char *keywords[] = {lower ? "minimum" : "maximum", lower ? "exclusiveMinimum" : "exclusiveMaximum"};
    *has = false;
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(schema, keywords[i]);
        if (!value) continue;
        double v = json_number_value(value);
        if (!json_is_number(value)) return schema_fail(s, keywords[i], "must be a number");
        if (fabs(v) > most_bound)
            return schema_fail(s, keywords[i], "is not supported beyond %g", most_bound);
        if (*has && (lower ? v < *bound : v > *bound)) continue;
        *has = true;
        *bound = v;
        *excluded = i == 1;
    }
    return true;
}

static int64_t inwards(double bound, bool lower, bool excluded) {
    double rounded = lower ? ceil(bound) : floor(bound);
    return (int64_t)rounded + (excluded && rounded == bound ? (lower ? 1 : -1) : 0);
}

bool schema_bounds(Schemas *s, const json_t *schema, NumberBounds *out) {
    double min = 0, max = 0;
    bool above = false, below = false;
    *out = (NumberBounds){0};
    if (!read_side(s, schema, true, &out->has_min, &min, &above) ||
        !read_side(s, schema, false, &out->has_max, &max, &below))
        return false;
    out->min = inwards(min, true, above);
    out->max = inwards(max, false, below);
    return true;
}

bool schema_decimal_bounds(Schemas *s, const json_t *schema, DecimalBounds *out) {
    Decimal *sides[] = {&out->min, &out->max};
    *out = (DecimalBounds){0};
    for (int i = 0; i < 2; i++) {
        double bound;
        bool given, excluded;
        if (!read_side(s, schema, i == 0, &given, &bound, &excluded)) return false;
        if (given && !decimal_of(bound, sides[i]))
            return schema_fail(s, i == 0 ? "minimum" : "maximum", "has more digits than are supported");
        sides[i]->excluded = given && excluded;
    }
    return true;
}

bool schema_string(Schemas *s, const json_t *schema, const char *keyword, Str *out) {
    const json_t *value = json_object_get(schema, keyword);
    *out = (Str){0};
    if (!value) return true;
    if (!json_is_string(value)) return schema_fail(s, keyword, "must be a string");
    *out = (Str){json_string_value(value), json_string_length(value)};
    return true;
}

// ---- references

// One step of a JSON pointer: the text between slashes, with its escapes undone.
static bool read_step(const char **at, Buf *out) {
    buf_clear(out);
    for (; **at && **at != '/'; ++*at) {
        char c = **at;
        if (c == '~') {
            ++*at;
            if (**at != '0' && **at != '1') return false;
            c = **at == '0' ? '~' : '/';
        } else if (c == '%') {
            char *end, digits[3] = {(*at)[1], (*at)[1] ? (*at)[2] : '\0', '\0'};
            c = (char)strtol(digits, &end, 16);
            if (end != digits + 2) return false;
            *at += 2;
        }
        buf_putc(out, c);
    }
    return !out->failed;
}

static const json_t *step_into(const json_t *value, const Buf *step) {
    const char *name = step->ptr ? step->ptr : "";
    if (json_is_object(value)) return json_object_getn(value, name, step->len);
    if (!json_is_array(value) || step->len == 0 || step->len > 9) return NULL;
    char *end;
    long index = strtol(name, &end, 10);
    return *end || index < 0 ? NULL : json_array_get(value, (size_t)index);
}

const json_t *schema_resolve(Schemas *s, const json_t *ref) {
    const char *at = json_string_value(ref);
    const json_t *value = s->root;
    Buf step = {0};
    if (!at) {
        schema_fail(s, "$ref", "must be a string");
        return NULL;
    }
    if (*at != '#' || (at[1] && at[1] != '/')) {
        schema_fail(s, "$ref", "is supported with # and a JSON pointer only");
        return NULL;
    }
    for (at++; value && *at == '/';) {
        at++;
        value = read_step(&at, &step) ? step_into(value, &step) : NULL;
    }
    buf_free(&step);
    if (!value) schema_fail(s, "$ref", "%.100s does not exist", json_string_value(ref));
    return value;
}

// ---- single values

static int64_t characters(const json_t *string) {
    const char *text = json_string_value(string);
    int64_t n = 0;
    for (size_t i = 0; i < json_string_length(string); i++) n += ((uint8_t)text[i] & 0xC0) != 0x80;
    return n;
}

static bool number_fits(const char *key, double bound, double v) {
    if (strcmp(key, "minimum") == 0) return v >= bound;
    if (strcmp(key, "maximum") == 0) return v <= bound;
    if (strcmp(key, "exclusiveMinimum") == 0) return v > bound;
    return v < bound;
}

// false: not a keyword for single values.
static bool keyword_fits(const char *key, const json_t *limit, const json_t *value, bool *fits) {
    static const char *const bounds[] = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"};
    for (int i = 0; i < 4; i++)
        if (strcmp(key, bounds[i]) == 0) {
            if (json_is_number(value))
                *fits &= number_fits(key, json_number_value(limit), json_number_value(value));
            return true;
        }
    bool least = strcmp(key, "minLength") == 0;
    if (!least && strcmp(key, "maxLength") != 0) return false;
    if (json_is_string(value)) {
        double n = (double)characters(value);
        *fits &= least ? n >= json_number_value(limit) : n <= json_number_value(limit);
    }
    return true;
}

bool schema_fits(Schemas *s, const json_t *schema, const json_t *value, bool *fits) {
    unsigned types, type = schema_type_of(value);
    const char *key;
    json_t *limit;
    *fits = true;
    if (json_object_get(schema, "type")) {
        if (!schema_types(s, schema, &types)) return false;
        if (types & TYPE_NUMBER) types |= TYPE_INTEGER;
        *fits = (types & type) != 0;
    }
    json_object_foreach((json_t *)schema, key, limit) {
        if (schema_is_annotation(key) || strcmp(key, "type") == 0) continue;
        if (!keyword_fits(key, limit, value, fits))
            return schema_fail(s, key, "is not supported beside enum and const");
    }
    return true;
}
