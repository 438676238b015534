// Typed reading of JSON bodies.
//
// A body is one JSON object: strict, no duplicate keys, bounded depth and number of values, valid UTF-8,
// \u0000 allowed in strings. Fields are read one by one into variables that already hold their defaults: a
// missing field and null leave them alone, a wrong type or range is an error that names the field, what it
// must be and its range. The first error sticks and the following reads do nothing, so callers
// check once at the end. Unknown fields are ignored.
#ifndef CLLM_SERVER_PARSE_H
#define CLLM_SERVER_PARSE_H

#include "server/api_error.h"

#include <stdint.h>

enum {
    PARSE_MAX_DEPTH = 100,
    PARSE_MAX_VALUES = 262144, // in memory a value takes ten times the bytes of `1,`
};

// A new reference to an object, or NULL with *e filled.
json_t *parse_body(Str body, ApiError *e);

// Is JSON text within these bounds? Its values are added to *n_values. false: *e tells.
bool parse_is_bounded(Str s, size_t *n_values, ApiError *e);

typedef struct Fields {
    const json_t *object;
    ApiError *error; // filled by the first failure
    bool ok;
} Fields;

Fields fields_of(const json_t *object, ApiError *error);
// The field, or NULL when it is missing or null.
json_t *fields_get(const Fields *f, const char *name);
// Records a failure at a field. Always returns false.
bool fields_fail(Fields *f, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// Bounds of a number: min (or just above it) … max.
typedef struct Range {
    double min, max;
    bool above_min; // min itself is not allowed
} Range;

void fields_float(Fields *f, const char *name, Range range, float *io);
void fields_int(Fields *f, const char *name, int64_t min, int64_t max, int64_t *io);
void fields_bool(Fields *f, const char *name, bool *io);
void fields_str(Fields *f, const char *name, Str *io); // a view into the JSON value
// A string or an array of at most `max` strings; views.
void fields_str_list(Fields *f, const char *name, size_t max, Str *out, size_t *n);

Str json_str(const json_t *string);         // a view of a JSON string
const char *json_kind(const json_t *value); // "a string", "an object", … for messages

#endif
