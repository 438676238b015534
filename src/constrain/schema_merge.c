#include "constrain/schema_merge.h"

typedef bool (*MergeFn)(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b);

enum { MAX_BRANCHES = 64 };

// ---- bounds

static bool keep_larger(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    if (!json_is_number(a) || !json_is_number(b)) return schema_fail(s, key, "must be a number");
    const json_t *kept = json_number_value(a) >= json_number_value(b) ? a : b;
    return json_object_set(out, key, (json_t *)kept) == 0;
}

static bool keep_smaller(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    if (!json_is_number(a) || !json_is_number(b)) return schema_fail(s, key, "must be a number");
    const json_t *kept = json_number_value(a) <= json_number_value(b) ? a : b;
    return json_object_set(out, key, (json_t *)kept) == 0;
}

static bool keep_multiple(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    json_int_t x = json_integer_value(a), y = json_integer_value(b);
    bool whole = json_is_integer(a) && json_is_integer(b) && x > 0 && y > 0;
    if (json_equal(a, b) || (whole && x % y == 0)) return json_object_set(out, key, (json_t *)a) == 0;
    if (whole && y % x == 0) return json_object_set(out, key, (json_t *)b) == 0;
    return schema_fail(s, key, "cannot be combined with another multipleOf here");
}

static bool keep_equal(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    if (json_equal(a, b)) return json_object_set(out, key, (json_t *)a) == 0;
    return schema_fail(s, key, "cannot be combined with another %s here", key);
}

// ---- sets

static bool list_has(const json_t *list, const json_t *value) {
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) if (json_equal(one, value)) return true;
    return false;
}

static bool keep_common(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    const json_t *value;
    size_t i;
    if (!json_is_array(a) || !json_is_array(b)) return schema_fail(s, key, "must be a list");
    json_t *common = json_array();
    json_array_foreach(a, i, value) if (list_has(b, value)) json_array_append(common, (json_t *)value);
    return json_object_set_new(out, key, common) == 0;
}

static bool keep_all(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    const json_t *value;
    size_t i;
    if (!json_is_array(a) || !json_is_array(b)) return schema_fail(s, key, "must be a list");
    json_t *all = json_copy((json_t *)a);
    json_array_foreach(b, i, value) if (!list_has(all, value)) json_array_append(all, (json_t *)value);
    return json_object_set_new(out, key, all) == 0;
}

static bool keep_any_true(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    (void)s;
    return json_object_set(out, key, (json_t *)(json_is_true(a) ? a : b)) == 0;
}

// ---- subschemas

static json_t *both(const json_t *a, const json_t *b) {
    if (!a || json_is_true(a)) return json_incref((json_t *)(b ? b : a));
    if (!b || json_is_true(b)) return json_incref((json_t *)a);
    return json_pack("{s:[O,O]}", "allOf", a, b);
}

static bool keep_both(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    (void)s;
    return json_object_set_new(out, key, both(a, b)) == 0;
}

static bool keep_lists(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    if (!json_is_array(a) || !json_is_array(b)) return schema_fail(s, key, "must be a list");
    json_t *all = json_copy((json_t *)a);
    json_array_extend(all, (json_t *)b);
    return json_object_set_new(out, key, all) == 0;
}

// Each choice of one with the choices of the other.
static bool keep_choices(Schemas *s, json_t *out, const char *key, const json_t *a, const json_t *b) {
    const json_t *branch;
    size_t i;
    json_t *all = json_array();
    if (json_array_size(a) * json_array_size(b) > MAX_BRANCHES) {
        json_decref(all);
        return schema_fail(s, key, "has too many choices in combination");
    }
    json_array_foreach(a, i, branch)
        json_array_append_new(all, json_pack("{s:[O,{s:O}]}", "allOf", branch, key, b));
    return json_object_set_new(out, key, all) == 0;
}

static const struct {
    const char *key;
    MergeFn merge;
} merges[] = {
    {"minimum", keep_larger},
    {"exclusiveMinimum", keep_larger},
    {"minLength", keep_larger},
    {"minItems", keep_larger},
    {"minProperties", keep_larger},
    {"maximum", keep_smaller},
    {"exclusiveMaximum", keep_smaller},
    {"maxLength", keep_smaller},
    {"maxItems", keep_smaller},
    {"maxProperties", keep_smaller},
    {"multipleOf", keep_multiple},
    {"enum", keep_common},
    {"required", keep_all},
    {"uniqueItems", keep_any_true},
    {"propertyNames", keep_both},
    {"allOf", keep_lists},
    {"anyOf", keep_choices},
    {"oneOf", keep_choices},
};

static MergeFn merge_of(const char *key) {
    for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++)
        if (strcmp(merges[i].key, key) == 0) return merges[i].merge;
    return keep_equal;
}

// ---- properties and items, which speak of each other

// What a schema says of a member: its property, or what is said of others.
static const json_t *member_schema(const json_t *schema, const char *name) {
    const json_t *own = json_object_get(json_object_get(schema, "properties"), name);
    return own ? own : json_object_get(schema, "additionalProperties");
}

static bool merge_members(Schemas *s, json_t *out, const json_t *a, const json_t *b) {
    const json_t *sides[2] = {a, b};
    const json_t *others[2] = {json_object_get(a, "additionalProperties"),
                               json_object_get(b, "additionalProperties")};
    json_t *properties = json_object(), *value;
    const char *key;
    for (int i = 0; i < 2; i++) json_object_foreach(json_object_get(sides[i], "properties"), key, value) {
            if (json_object_get(properties, key)) continue;
            json_object_set_new(properties, key, both(member_schema(a, key), member_schema(b, key)));
        }
    bool patterns = json_object_get(a, "patternProperties") || json_object_get(b, "patternProperties");
    bool ok = !patterns || json_object_size(properties) == 0 ||
              schema_fail(s, "patternProperties", "is not supported in a combination");
    if (ok && json_object_size(properties)) json_object_set(out, "properties", properties);
    if (ok && (others[0] || others[1]))
        json_object_set_new(out, "additionalProperties", both(others[0], others[1]));
    json_decref(properties);
    return ok;
}

static const json_t *item_schema(const json_t *schema, size_t i) {
    const json_t *own = json_array_get(json_object_get(schema, "prefixItems"), i);
    return own ? own : json_object_get(schema, "items");
}

static void merge_items(json_t *out, const json_t *a, const json_t *b) {
    size_t n_a = json_array_size(json_object_get(a, "prefixItems"));
    size_t n_b = json_array_size(json_object_get(b, "prefixItems")), n = n_a > n_b ? n_a : n_b;
    const json_t *items_a = json_object_get(a, "items"), *items_b = json_object_get(b, "items");
    json_t *prefix = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(prefix, both(item_schema(a, i), item_schema(b, i)));
    if (n) json_object_set(out, "prefixItems", prefix);
    if (items_a || items_b) json_object_set_new(out, "items", both(items_a, items_b));
    json_decref(prefix);
}

static bool is_joint(const char *key) {
    static const char *const keys[] = {
        "properties", "additionalProperties", "items", "prefixItems", "type", "const", "nullable", "enum"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strcmp(key, keys[i]) == 0) return true;
    return false;
}

// ---- types and values

static json_t *type_list(unsigned types) {
    static const char *const names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
    json_t *list = json_array();
    for (int i = 0; i < 7; i++)
        if (types >> i & 1) json_array_append_new(list, json_string(names[i]));
    return list;
}

static bool merge_types(Schemas *s, json_t *out, const json_t *a, const json_t *b) {
    unsigned x = TYPE_ANY, y = TYPE_ANY;
    bool has_a = json_object_get(a, "type"), has_b = json_object_get(b, "type");
    if (!has_a && !has_b) return true;
    if ((has_a && !schema_types(s, a, &x)) || (has_b && !schema_types(s, b, &y))) return false;
    unsigned common = x & y;
    if ((x & TYPE_NUMBER && y & TYPE_INTEGER) || (x & TYPE_INTEGER && y & TYPE_NUMBER))
        common |= common & TYPE_NUMBER ? 0 : TYPE_INTEGER;
    return json_object_set_new(out, "type", type_list(common)) == 0;
}

// The values that a schema lists, as a new list; NULL: it lists none.
static json_t *listed_values(const json_t *schema) {
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    if (!one) return json_incref((json_t *)list);
    json_t *values = json_array();
    if (!list || list_has(list, one)) json_array_append(values, (json_t *)one);
    return values;
}

static bool merge_values(Schemas *s, json_t *out, const json_t *a, const json_t *b) {
    json_t *x = listed_values(a), *y = listed_values(b);
    bool ok = true;
    if (x && y)
        ok = keep_common(s, out, "enum", x, y);
    else if (x || y)
        json_object_set(out, "enum", x ? x : y);
    json_decref(x);
    json_decref(y);
    return ok;
}

// ---- all together

json_t *schema_without(Schemas *s, const json_t *schema, const char *keyword) {
    json_t *rest = json_copy((json_t *)schema);
    if (rest) json_object_del(rest, keyword);
    return schema_keep(s, rest);
}

static const json_t *opened(Schemas *s, const json_t *schema) {
    const json_t *ref = json_object_get(schema, "$ref");
    if (!ref) return schema;
    if (s->depth > SCHEMA_MAX_DEPTH) {
        schema_fail(s, NULL, "the schema is nested too deeply");
        return NULL;
    }
    const json_t *target = schema_resolve(s, ref), *rest = target ? schema_without(s, schema, "$ref") : NULL;
    if (!rest) return NULL;
    size_t before = schema_enter(s, "$ref");
    const json_t *merged =
        schema_has_only_annotations(rest) ? opened(s, target) : schema_merge(s, target, rest);
    schema_leave(s, before);
    return merged;
}

static bool merge_rest(Schemas *s, json_t *out, const json_t *a, const json_t *b) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value) {
        const json_t *other = json_object_get(b, key);
        if (schema_is_annotation(key) || is_joint(key)) continue;
        if (!other)
            json_object_set(out, key, value);
        else if (!merge_of(key)(s, out, key, value, other))
            return false;
    }
    json_object_foreach((json_t *)b, key,
                        value) if (!schema_is_annotation(key) && !is_joint(key) && !json_object_get(a, key))
        json_object_set(out, key, value);
    return true;
}

const json_t *schema_merge(Schemas *s, const json_t *a, const json_t *b) {
    if (s->depth > SCHEMA_MAX_DEPTH) {
        schema_fail(s, NULL, "the schema is nested too deeply");
        return NULL;
    }
    if (json_is_false(a) || json_is_true(b)) return a;
    if (json_is_false(b) || json_is_true(a)) return b;
    if (!json_is_object(a) || !json_is_object(b)) {
        schema_fail(s, NULL, "a schema must be an object or a boolean");
        return NULL;
    }
    a = opened(s, a);
    b = a ? opened(s, b) : NULL;
    if (!a || !b) return NULL;
    if (!json_is_object(a) || !json_is_object(b)) return schema_merge(s, a, b);
    json_t *out = schema_keep(s, json_object());
    if (!out || !merge_rest(s, out, a, b) || !merge_members(s, out, a, b) || !merge_types(s, out, a, b) ||
        !merge_values(s, out, a, b))
        return NULL;
    merge_items(out, a, b);
    return out;
}
