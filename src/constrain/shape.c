#include "constrain/shape.h"

#include "constrain/json_schema.h"
#include "constrain/regex.h"

#include <stdlib.h>

static RxId shape_rx(Rules *r, const json_t *shape);

static Str string_of(const json_t *value) {
    return (Str){json_string_value(value), json_string_length(value)};
}

static RxId list_rx(Rules *r, const json_t *list, RxId (*join)(Rules *, const RxId *, int32_t)) {
    RxList parts = {0};
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) if (!r->failed) rx_push(r, &parts, shape_rx(r, one));
    RxId rx = r->failed ? RX_NOTHING_LEFT : join(r, parts.ids, parts.n);
    free(parts.ids);
    return rx;
}

static RxId repeat_rx(Rules *r, const json_t *shape) {
    const json_t *max = json_object_get(shape, "max");
    return rx_repeat(r, shape_rx(r, json_object_get(shape, "repeat")),
                     (int32_t)json_integer_value(json_object_get(shape, "min")),
                     max ? (int32_t)json_integer_value(max) : RX_ENDLESS);
}

static RxId schema_part_rx(Rules *r, const json_t *shape) {
    const char *of = json_string_value(json_object_get(shape, "of"));
    RxId rx =
        json_schema_rx(r, json_object_get(shape, "schema"), json_string_value(json_object_get(shape, "at")));
    if (r->failed && of) err_prefix(&r->err, "%s", of);
    return rx;
}

static RxId shape_rx(Rules *r, const json_t *shape) {
    const json_t *part;
    if (json_is_string(shape)) return rx_bytes(r, string_of(shape));
    if ((part = json_object_get(shape, "seq"))) return list_rx(r, part, rx_seq);
    if ((part = json_object_get(shape, "any"))) return list_rx(r, part, rx_alt);
    if (json_object_get(shape, "repeat")) return repeat_rx(r, shape);
    if ((part = json_object_get(shape, "regex")))
        return regex_parse(r, string_of(part), CHARS_PLAIN, true).rx;
    CHECK(json_object_get(shape, "schema"));
    return schema_part_rx(r, shape);
}

Rules *shape_rules(const json_t *shape, Err *err) {
    Rules *r = rules_new(err);
    if (!r) return NULL;
    int32_t root = rules_add(r, STR("root"));
    rules_define(r, root, shape_rx(r, shape));
    if (!r->failed) return r;
    err_set(err, r->err.code, "%s", r->err.msg);
    rules_free(r);
    return NULL;
}
