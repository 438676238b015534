// Looking into JSON schemas: what the parts of the translation (json_schema.c) share.
// Thread: belongs to one translation.
#ifndef CLLM_CONSTRAIN_SCHEMA_PARTS_H
#define CLLM_CONSTRAIN_SCHEMA_PARTS_H

#include "constrain/json_number.h"
#include "constrain/json_text.h"

#include <jansson.h>

enum {
    SCHEMA_NOTHING = -1, // as RxId: no value fits
    SCHEMA_MAX_DEPTH = 240,
    SCHEMA_MAX_MADE = 5000
};

typedef enum SchemaType {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8, // and so integers
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
    TYPE_ANY = 127
} SchemaType;

typedef struct Schemas {
    Rules *r;
    JsonText text;
    const json_t *root;
    json_t *made; // [array] schemas that came into being on the way
    json_t *refs; // {pointer: rule}
    Buf path;     // JSON pointer of the place that is looked at
    int depth;
} Schemas;

// Records a failure at the place, or at a keyword there. Always returns false.
bool schema_fail(Schemas *s, const char *keyword, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
size_t schema_enter(Schemas *s, const char *keyword); // deeper by one; returns what schema_leave wants
size_t schema_enter_index(Schemas *s, const char *keyword, size_t index);
void schema_leave(Schemas *s, size_t before);
json_t *schema_keep(Schemas *s, json_t *made); // takes the reference until the end; NULL on failure

// The types that a schema names; without `type` those that its keywords speak of, or all.
bool schema_types(Schemas *s, const json_t *schema, unsigned *types);
unsigned schema_type_of(const json_t *value);   // a whole number is an INTEGER
bool schema_is_annotation(const char *keyword); // says nothing about values
bool schema_has_only_annotations(const json_t *schema);

// A count: absent leaves *out alone.
bool schema_count(Schemas *s, const json_t *schema, const char *keyword, int32_t *out);
// minimum and the like: of integers, rounded inwards; of numbers.
bool schema_bounds(Schemas *s, const json_t *schema, NumberBounds *out);
bool schema_decimal_bounds(Schemas *s, const json_t *schema, DecimalBounds *out);
bool schema_string(Schemas *s, const json_t *schema, const char *keyword, Str *out); // absent: ptr is NULL

// What a `$ref` means. NULL: failed.
const json_t *schema_resolve(Schemas *s, const json_t *ref);

// Does a value fit the keywords for single values (type, bounds, lengths)? Others are an error, at `enum`.
bool schema_fits(Schemas *s, const json_t *schema, const json_t *value, bool *fits);

#endif
