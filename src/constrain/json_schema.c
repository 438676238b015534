#include "constrain/json_schema.h"

#include "constrain/schema_emit.h"
#include "constrain/schema_disjoint.h"
#include "constrain/schema_merge.h"

#include <stdlib.h>

// ---- keywords

static bool is_known(const char *keyword) {
    static const char *const keywords[] = {"type",
                                           "enum",
                                           "const",
                                           "properties",
                                           "required",
                                           "additionalProperties",
                                           "items",
                                           "prefixItems",
                                           "minItems",
                                           "maxItems",
                                           "uniqueItems",
                                           "minLength",
                                           "maxLength",
                                           "pattern",
                                           "format",
                                           "minimum",
                                           "maximum",
                                           "exclusiveMinimum",
                                           "exclusiveMaximum",
                                           "multipleOf",
                                           "anyOf",
                                           "oneOf",
                                           "allOf",
                                           "$ref",
                                           "propertyNames",
                                           "minProperties",
                                           "maxProperties",
                                           "patternProperties"};
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strcmp(keyword, keywords[i]) == 0) return true;
    return false;
}

static bool check_keywords(Schemas *s, const json_t *schema) {
    const char *key;
    json_t *value;
    if (s->path.len > 0 && json_object_get(schema, "$id"))
        return schema_fail(s, "$id", "is supported at the root only");
    json_object_foreach((json_t *)schema, key,
                        value) if (!is_known(key) &&
                                   !schema_is_annotation(key)) return schema_fail(s, key, "is not supported");
    return true;
}

// ---- references

// Each place that is referred to becomes a rule, so that schemas may be recursive.
static RxId ref_rx(Schemas *s, const json_t *ref) {
    const char *pointer = json_string_value(ref);
    const json_t *target = schema_resolve(s, ref);
    if (!target) return RX_NOTHING_LEFT;
    const json_t *known = json_object_get(s->refs, pointer);
    if (known) return rx_rule(s->r, (int32_t)json_integer_value(known));
    int32_t rule = rules_add(s->r, str_from(pointer));
    json_object_set_new(s->refs, pointer, json_integer(rule));
    size_t before = schema_enter(s, "$ref");
    RxId body = schema_rx(s, target);
    if (body == SCHEMA_NOTHING) schema_fail(s, NULL, "no value fits what %.100s refers to", pointer);
    schema_leave(s, before);
    rules_define(s->r, rule, body);
    return rx_rule(s->r, rule);
}

// ---- values

static void push_value(Schemas *s, RxList *texts, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text)
        rx_push(s->r, texts, rx_text(s->r, text));
    else
        rules_fail(s->r, ERR_NOMEM, "out of memory for a schema");
    free(text);
}

static RxId values_rx(Schemas *s, const json_t *schema, const json_t *values) {
    RxList texts = {0};
    const json_t *value;
    size_t i;
    json_array_foreach(values, i, value) {
        bool fits;
        if (!schema_fits(s, schema, value, &fits)) break;
        if (fits) push_value(s, &texts, value);
    }
    RxId rx = s->r->failed ? RX_NOTHING_LEFT : texts.n ? rx_alt(s->r, texts.ids, texts.n) : SCHEMA_NOTHING;
    free(texts.ids);
    return rx;
}

static RxId enum_rx(Schemas *s, const json_t *schema) {
    const json_t *list = json_object_get(schema, "enum"), *rest = schema_without(s, schema, "enum");
    if (!json_is_array(list)) schema_fail(s, "enum", "must be a list");
    return rest && !s->r->failed ? values_rx(s, rest, list) : RX_NOTHING_LEFT;
}

static RxId const_rx(Schemas *s, const json_t *schema) {
    json_t *rest = schema_without(s, schema, "const"), *list = json_array();
    json_array_append(list, json_object_get(schema, "const"));
    list = schema_keep(s, list);
    if (!rest || !list) return RX_NOTHING_LEFT;
    if (json_object_get(rest, "enum")) {
        const json_t *both = schema_merge(s, rest, schema_keep(s, json_pack("{s:O}", "enum", list)));
        return both ? schema_rx(s, both) : RX_NOTHING_LEFT;
    }
    return values_rx(s, rest, list);
}

// ---- combinations

static const json_t *branches_of(Schemas *s, const json_t *schema, const char *keyword) {
    const json_t *list = json_object_get(schema, keyword);
    if (json_is_array(list) && json_array_size(list)) return list;
    schema_fail(s, keyword, "must be a list of schemas");
    return NULL;
}

static RxId all_rx(Schemas *s, const json_t *schema) {
    const json_t *list = branches_of(s, schema, "allOf"), *branch,
                 *merged = schema_without(s, schema, "allOf");
    size_t i;
    if (!list || !merged || !check_keywords(s, merged)) return RX_NOTHING_LEFT;
    json_array_foreach(list, i, branch) {
        size_t before = schema_enter_index(s, "allOf", i);
        if (merged) merged = schema_merge(s, merged, branch);
        schema_leave(s, before);
    }
    return merged ? schema_rx(s, merged) : RX_NOTHING_LEFT;
}

// Each branch with what stands beside the keyword. NULL: failed.
static json_t *whole_branches(Schemas *s, const json_t *schema, const char *keyword) {
    const json_t *list = branches_of(s, schema, keyword), *branch, *rest = schema_without(s, schema, keyword);
    json_t *whole = schema_keep(s, json_array());
    bool alone = rest && schema_has_only_annotations(rest);
    size_t i;
    if (!list || !rest || !whole) return NULL;
    json_array_foreach(list, i, branch) {
        size_t before = schema_enter_index(s, keyword, i);
        const json_t *merged = alone ? branch : schema_merge(s, rest, branch);
        schema_leave(s, before);
        if (!merged) return NULL;
        json_array_append(whole, (json_t *)merged);
    }
    return whole;
}

// One of the choices, which are freed.
static RxId any_of(Schemas *s, RxList *choices) {
    RxId rx = s->r->failed ? RX_NOTHING_LEFT
              : choices->n ? rx_alt(s->r, choices->ids, choices->n)
                           : SCHEMA_NOTHING;
    free(choices->ids);
    return rx;
}

static RxId choice_rx(Schemas *s, const json_t *branches, const char *keyword) {
    RxList choices = {0};
    const json_t *branch;
    size_t i;
    json_array_foreach(branches, i, branch) {
        size_t before = schema_enter_index(s, keyword, i);
        RxId rx = schema_rx(s, branch);
        schema_leave(s, before);
        if (s->r->failed) break;
        if (rx != SCHEMA_NOTHING) rx_push(s->r, &choices, rx);
    }
    return any_of(s, &choices);
}

static RxId any_rx(Schemas *s, const json_t *schema) {
    const json_t *branches = whole_branches(s, schema, "anyOf");
    return branches ? choice_rx(s, branches, "anyOf") : RX_NOTHING_LEFT;
}

static RxId one_rx(Schemas *s, const json_t *schema) {
    const json_t *branches = whole_branches(s, schema, "oneOf");
    if (!branches) return RX_NOTHING_LEFT;
    for (size_t i = 0; i < json_array_size(branches); i++)
        for (size_t k = 0; k < i; k++)
            if (!schema_disjoint(s, json_array_get(branches, k), json_array_get(branches, i), 0)) {
                schema_fail(s, "oneOf",
                            "is supported where types, constants or required members tell the choices apart; "
                            "%zu and %zu may overlap (anyOf allows that)",
                            k, i);
                return RX_NOTHING_LEFT;
            }
    return choice_rx(s, branches, "oneOf");
}

// ---- types

static RxId multiples_rx(Schemas *s, const json_t *schema, double m) {
    NumberBounds b;
    bool unsupported = false;
    if (!schema_bounds(s, schema, &b)) return RX_NOTHING_LEFT;
    if (!(m >= 1 && m <= 1e9 && m == (double)(int64_t)m)) {
        schema_fail(s, "multipleOf", "must be a whole number from 1 to 1e9 here");
        return RX_NOTHING_LEFT;
    }
    RxId rx = json_number_multiples(s->r, (int64_t)m, &b, &unsupported);
    if (unsupported)
        schema_fail(s, "multipleOf",
                    "is supported up to %d without bounds (or from 0 on), or with at most %d multiples "
                    "between both bounds",
                    JSON_MAX_MULTIPLE, JSON_MAX_LISTED);
    return rx;
}

static RxId integer_rx(Schemas *s, const json_t *schema) {
    NumberBounds b;
    if (!schema_bounds(s, schema, &b)) return RX_NOTHING_LEFT;
    return b.has_min || b.has_max ? json_number_whole(s->r, &b) : json_text_integer(&s->text);
}

static RxId number_rx(Schemas *s, const json_t *schema, bool whole) {
    const json_t *multiple = json_object_get(schema, "multipleOf");
    DecimalBounds b;
    if (multiple) return multiples_rx(s, schema, json_number_value(multiple));
    if (whole) return integer_rx(s, schema);
    if (!schema_decimal_bounds(s, schema, &b)) return RX_NOTHING_LEFT;
    return b.min.given || b.max.given ? json_number_within(s->r, &b) : json_text_number(&s->text);
}

static RxId type_rx(Schemas *s, const json_t *schema, unsigned type) {
    switch (type) {
    case TYPE_NULL: return rx_text(s->r, "null");
    case TYPE_BOOLEAN: return RX_ALT_OF(s->r, rx_text(s->r, "true"), rx_text(s->r, "false"));
    case TYPE_INTEGER: return number_rx(s, schema, true);
    case TYPE_NUMBER: return number_rx(s, schema, false);
    case TYPE_STRING: return schema_string_rx(s, schema);
    case TYPE_ARRAY: return schema_array_rx(s, schema);
    default: return schema_object_rx(s, schema);
    }
}

static RxId types_rx(Schemas *s, const json_t *schema) {
    RxList choices = {0};
    unsigned types;
    if (!schema_types(s, schema, &types)) return RX_NOTHING_LEFT;
    if (types == TYPE_ANY && !json_object_get(schema, "type")) return json_text_any(&s->text);
    if (types & TYPE_NUMBER) types &= ~(unsigned)TYPE_INTEGER;
    for (unsigned type = TYPE_NULL; type <= TYPE_OBJECT; type *= 2) {
        RxId rx = types & type ? type_rx(s, schema, type) : SCHEMA_NOTHING;
        if (s->r->failed) break;
        if (rx != SCHEMA_NOTHING) rx_push(s->r, &choices, rx);
    }
    return any_of(s, &choices);
}

// ---- any schema

static RxId with_ref(Schemas *s, const json_t *schema) {
    const json_t *rest = schema_without(s, schema, "$ref");
    if (!rest) return RX_NOTHING_LEFT;
    if (schema_has_only_annotations(rest)) return ref_rx(s, json_object_get(schema, "$ref"));
    const json_t *target = schema_resolve(s, json_object_get(schema, "$ref"));
    const json_t *merged = target ? schema_merge(s, target, rest) : NULL;
    return merged ? schema_rx(s, merged) : RX_NOTHING_LEFT;
}

static RxId object_schema_rx(Schemas *s, const json_t *schema) {
    if (!check_keywords(s, schema)) return RX_NOTHING_LEFT;
    if (json_object_get(schema, "$ref")) return with_ref(s, schema);
    if (json_object_get(schema, "allOf")) return all_rx(s, schema);
    if (json_object_get(schema, "anyOf")) return any_rx(s, schema);
    if (json_object_get(schema, "oneOf")) return one_rx(s, schema);
    if (json_object_get(schema, "const")) return const_rx(s, schema);
    if (json_object_get(schema, "enum")) return enum_rx(s, schema);
    return types_rx(s, schema);
}

RxId schema_rx(Schemas *s, const json_t *schema) {
    if (s->r->failed) return RX_NOTHING_LEFT;
    if (s->depth > SCHEMA_MAX_DEPTH) schema_fail(s, NULL, "the schema is nested too deeply");
    if (json_is_true(schema)) return json_text_any(&s->text);
    if (json_is_false(schema)) return SCHEMA_NOTHING;
    if (!json_is_object(schema)) schema_fail(s, NULL, "a schema must be an object or a boolean");
    if (s->r->failed) return RX_NOTHING_LEFT;
    s->depth++;
    RxId rx = object_schema_rx(s, schema);
    s->depth--;
    return s->r->failed ? RX_NOTHING_LEFT : rx;
}

static Rules *finish(Rules *r, Err *err) {
    if (!r->failed) return r;
    err_set(err, r->err.code, "%s", r->err.msg);
    rules_free(r);
    return NULL;
}

RxId json_schema_rx(Rules *r, const json_t *schema, const char *at) {
    Schemas s = {
        .r = r, .text = json_text_of(r), .root = schema, .made = json_array(), .refs = json_object()};
    const json_t *wanted = at ? schema_keep(&s, json_pack("{s:s}", "$ref", at)) : schema;
    RxId rx = schema_rx(&s, wanted);
    if (rx == SCHEMA_NOTHING) rx = schema_fail(&s, NULL, "no value fits this schema");
    json_decref(s.made);
    json_decref(s.refs);
    buf_free(&s.path);
    return rx;
}

Rules *json_schema_rules(const json_t *schema, Err *err) {
    Rules *r = rules_new(err);
    if (!r) return NULL;
    int32_t root = rules_add(r, STR("root"));
    rules_define(r, root, json_schema_rx(r, schema, NULL));
    return finish(r, err);
}

Rules *json_object_rules(Err *err) {
    Rules *r = rules_new(err);
    if (!r) return NULL;
    int32_t root = rules_add(r, STR("root"));
    JsonText text = json_text_of(r);
    rules_define(r, root, json_text_object(&text));
    return finish(r, err);
}
