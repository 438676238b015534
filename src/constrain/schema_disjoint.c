#include "constrain/schema_disjoint.h"

enum { MAX_DEPTH = 8 };

// The types of values that fit, as the standard has it: without `type` all.
static unsigned strict_types(Schemas *s, const json_t *schema) {
    unsigned types = TYPE_ANY;
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const"), *value;
    size_t i;
    if (json_object_get(schema, "type") && !schema_types(s, schema, &types)) return TYPE_ANY;
    if (types & TYPE_NUMBER) types |= TYPE_INTEGER;
    if (one) return types & schema_type_of(one);
    if (!json_is_array(list)) return types;
    unsigned listed = 0;
    json_array_foreach(list, i, value) listed |= schema_type_of(value);
    return types & listed;
}

static json_t *values_of(const json_t *schema) {
    const json_t *one = json_object_get(schema, "const");
    if (one) return json_pack("[O]", one);
    return json_incref(json_object_get(schema, "enum"));
}

static bool same_value(const json_t *x, const json_t *y) {
    if (json_is_number(x) && json_is_number(y)) return json_number_value(x) == json_number_value(y);
    return json_equal(x, y);
}

static bool values_differ(const json_t *a, const json_t *b) {
    json_t *x = values_of(a), *y = values_of(b), *v, *w;
    size_t i, k;
    bool differ = json_is_array(x) && json_is_array(y);
    if (differ) json_array_foreach(x, i, v) json_array_foreach(y, k, w) {
            // What lies deeper in values may be equal in ways that are not looked at here.
            bool deep = json_is_object(v) || json_is_array(v);
            differ = differ && !same_value(v, w) && !(deep && json_typeof(v) == json_typeof(w));
        }
    json_decref(x);
    json_decref(y);
    return differ;
}

static bool
    requires(const json_t *schema, const char *name)
{
    const json_t *list = json_object_get(schema, "required"), *one;
    size_t i;
    json_array_foreach(list, i,
                       one) if (json_is_string(one) && strcmp(json_string_value(one), name) == 0) return true;
    return false;
}

static bool forbids(const json_t *schema, const char *name) {
    const json_t *own = json_object_get(json_object_get(schema, "properties"), name);
    if (own) return json_is_false(own);
    return json_is_false(json_object_get(schema, "additionalProperties")) &&
           !json_object_get(schema, "patternProperties");
}

static bool members_differ(Schemas *s, const json_t *a, const json_t *b, int depth) {
    const json_t *required = json_object_get(a, "required"), *one;
    size_t i;
    json_array_foreach(required, i, one) {
        const char *name = json_string_value(one);
        if (!name) continue;
        if (forbids(b, name)) return true;
        const json_t *x = json_object_get(json_object_get(a, "properties"), name);
        const json_t *y = json_object_get(json_object_get(b, "properties"), name);
        if (x && y && requires(b, name) && schema_disjoint(s, x, y, depth + 1)) return true;
    }
    return false;
}

static const json_t *opened(Schemas *s, const json_t *schema) {
    for (int i = 0; i < MAX_DEPTH && json_object_get(schema, "$ref"); i++) {
        const json_t *target = schema_resolve(s, json_object_get(schema, "$ref"));
        if (!target) return schema;
        schema = target;
    }
    return schema;
}

// Any branch of an anyOf or oneOf of `a` may be the one.
static bool branches_disjoint(Schemas *s, const json_t *a, const json_t *b, int depth) {
    static const char *const keywords[] = {"anyOf", "oneOf"};
    const json_t *branch;
    size_t i;
    for (int k = 0; k < 2; k++) {
        const json_t *list = json_object_get(a, keywords[k]);
        bool all = json_array_size(list) > 0;
        json_array_foreach(list, i, branch) all = all && schema_disjoint(s, branch, b, depth + 1);
        if (all) return true;
    }
    return false;
}

// An allOf is as narrow as its narrowest part.
static bool parts_disjoint(Schemas *s, const json_t *a, const json_t *b, int depth) {
    const json_t *list = json_object_get(a, "allOf"), *part;
    size_t i;
    json_array_foreach(list, i, part) if (schema_disjoint(s, part, b, depth + 1)) return true;
    return false;
}

bool schema_disjoint(Schemas *s, const json_t *a, const json_t *b, int depth) {
    if (depth > MAX_DEPTH) return false;
    if (json_is_false(a) || json_is_false(b)) return true;
    if (!json_is_object(a) || !json_is_object(b)) return false;
    a = opened(s, a);
    b = opened(s, b);
    unsigned common = strict_types(s, a) & strict_types(s, b);
    if (common == 0 || values_differ(a, b)) return true;
    if (common == TYPE_OBJECT && (members_differ(s, a, b, depth) || members_differ(s, b, a, depth)))
        return true;
    return branches_disjoint(s, a, b, depth) || branches_disjoint(s, b, a, depth) ||
           parts_disjoint(s, a, b, depth) || parts_disjoint(s, b, a, depth);
}
