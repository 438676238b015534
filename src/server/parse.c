#include "server/parse.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

// jansson recurses on nesting, and so does everything that walks the value later; and it makes an object of
// each value. Every value but the first stands behind one of { [ , :, and every colon behind one of { and ,
// so that these without the colons are at least as many as the members of all objects and arrays.
bool parse_is_bounded(Str s, size_t *n_values, ApiError *e) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            ++*n_values;
            if (++depth > PARSE_MAX_DEPTH)
                return api_error_set(e, 400, NULL, NULL, "the JSON is nested more than %d levels deep",
                                     PARSE_MAX_DEPTH);
        } else if (c == ',') {
            if (++*n_values > PARSE_MAX_VALUES)
                return api_error_set(e, 400, NULL, NULL, "the JSON has more than %d values",
                                     PARSE_MAX_VALUES);
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return true;
}

// jansson reads past the end of a long string that found no room to grow, so that what it may need for one
// is tried out before.
static bool has_room(size_t n_body) {
    void *probe = malloc(2 * n_body + 64);
    free(probe);
    return probe != NULL;
}

json_t *parse_body(Str body, ApiError *e) {
    json_error_t at;
    size_t n_values = 0;
    if (body.len == 0) {
        api_error_set(e, 400, NULL, NULL, "the request has no body; send a JSON object");
        return NULL;
    }
    if (!parse_is_bounded(body, &n_values, e)) return NULL;
    if (!has_room(body.len)) {
        api_error_set(e, 503, NULL, NULL, "out of memory");
        return NULL;
    }
    json_t *root = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &at);
    if (!root) {
        api_error_set(e, 400, NULL, NULL, "invalid JSON at line %d column %d: %s", at.line, at.column,
                      at.text);
        return NULL;
    }
    if (json_is_object(root)) return root;
    api_error_set(e, 400, NULL, NULL, "the request body must be a JSON object, not %s", json_kind(root));
    json_decref(root);
    return NULL;
}

const char *json_kind(const json_t *value) {
    if (!value) return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    default: return "null";
    }
}

Str json_str(const json_t *string) {
    return (Str){json_string_value(string), json_string_length(string)};
}

Fields fields_of(const json_t *object, ApiError *error) {
    return (Fields){.object = object, .error = error, .ok = true};
}

json_t *fields_get(const Fields *f, const char *name) {
    json_t *value = f->ok ? json_object_get(f->object, name) : NULL;
    return json_is_null(value) ? NULL : value;
}

bool fields_fail(Fields *f, const char *name, const char *fmt, ...) {
    char text[400];
    if (!f->ok) return false;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    f->ok = false;
    return api_error_set(f->error, 400, NULL, name, "%s %s", name, text);
}

void fields_float(Fields *f, const char *name, Range range, float *io) {
    json_t *value = fields_get(f, name);
    if (!value) return;
    if (!json_is_number(value)) {
        fields_fail(f, name, "must be a number, not %s", json_kind(value));
        return;
    }
    double v = json_number_value(value);
    if (v < range.min || v > range.max || (range.above_min && v == range.min)) {
        const char *above = range.above_min ? "above " : "between ";
        const char *to = range.above_min ? " and at most " : " and ";
        fields_fail(f, name, "must be %s%g%s%g, not %g", above, range.min, to, range.max, v);
        return;
    }
    *io = (float)v;
}

void fields_int(Fields *f, const char *name, int64_t min, int64_t max, int64_t *io) {
    json_t *value = fields_get(f, name);
    if (!value) return;
    double real = json_is_real(value) ? json_real_value(value) : 0;
    bool whole =
        json_is_integer(value) || (json_is_real(value) && real == floor(real) && fabs(real) < 0x1p53);
    if (!whole) {
        fields_fail(f, name, "must be an integer, not %s", json_kind(value));
        return;
    }
    int64_t v = json_is_integer(value) ? json_integer_value(value) : (int64_t)real;
    if (v < min || v > max)
        fields_fail(f, name, "must be between %lld and %lld, not %lld", (long long)min, (long long)max,
                    (long long)v);
    else
        *io = v;
}

void fields_bool(Fields *f, const char *name, bool *io) {
    json_t *value = fields_get(f, name);
    if (!value) return;
    if (json_is_boolean(value))
        *io = json_is_true(value);
    else
        fields_fail(f, name, "must be true or false, not %s", json_kind(value));
}

void fields_str(Fields *f, const char *name, Str *io) {
    json_t *value = fields_get(f, name);
    if (!value) return;
    if (json_is_string(value))
        *io = json_str(value);
    else
        fields_fail(f, name, "must be a string, not %s", json_kind(value));
}

void fields_str_list(Fields *f, const char *name, size_t max, Str *out, size_t *n) {
    json_t *value = fields_get(f, name), *item;
    size_t i;
    if (!value) return;
    *n = 0;
    if (json_is_string(value)) {
        out[(*n)++] = json_str(value);
        return;
    }
    if (!json_is_array(value)) {
        fields_fail(f, name, "must be a string or an array of strings, not %s", json_kind(value));
        return;
    }
    if (json_array_size(value) > max) {
        fields_fail(f, name, "may have at most %zu strings, not %zu", max, json_array_size(value));
        return;
    }
    json_array_foreach(value, i, item) {
        if (!json_is_string(item)) {
            fields_fail(f, name, "must have strings only, but element %zu is %s", i, json_kind(item));
            return;
        }
        out[(*n)++] = json_str(item);
    }
}
