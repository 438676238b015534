#include "constrain/schema_emit.h"

enum { MAX_PREFIX = 60 };

typedef struct Items {
    const json_t *prefix; // NULL: none
    int32_t n_prefix, min, max;
    RxId other; // an item behind the prefix, or SCHEMA_NOTHING
} Items;

static RxId comma(Schemas *s, int32_t i) {
    return i > 0 ? json_text_comma(&s->text) : RX_NOTHING_LEFT;
}

// What may follow when all of the prefix stands there. Without a prefix, at least one item.
static RxId others(Schemas *s, const Items *items) {
    int32_t n = items->n_prefix, min = items->min > n ? items->min - n : 0;
    int32_t max = items->max == RX_ENDLESS ? RX_ENDLESS : items->max - n;
    if (max == 0 || items->other == SCHEMA_NOTHING) return min > 0 ? SCHEMA_NOTHING : RX_NOTHING_LEFT;
    RxId more = RX_SEQ_OF(s->r, json_text_comma(&s->text), items->other);
    if (n > 0) return rx_repeat(s->r, more, min, max);
    RxId all = RX_SEQ_OF(s->r, items->other,
                         rx_repeat(s->r, more, min > 1 ? min - 1 : 0, max == RX_ENDLESS ? max : max - 1));
    return all;
}

static RxId prefix_item(Schemas *s, const Items *items, int32_t i) {
    size_t before = schema_enter_index(s, "prefixItems", (size_t)i);
    RxId rx = schema_rx(s, json_array_get(items->prefix, (size_t)i));
    schema_leave(s, before);
    return rx;
}

// The items from the last one forward: an array may end before each that is not required. RX_NOTHING_LEFT:
// it can only be empty; whether it may be where it can be more is the caller's.
static RxId list(Schemas *s, const Items *items) {
    bool cut = items->max != RX_ENDLESS && items->max < items->n_prefix;
    RxId rest = cut ? RX_NOTHING_LEFT : others(s, items);
    for (int32_t i = cut ? items->max : items->n_prefix; i-- > 0 && !s->r->failed;) {
        RxId own = prefix_item(s, items, i);
        bool may_end = i >= items->min;
        if (own == SCHEMA_NOTHING || rest == SCHEMA_NOTHING) {
            rest = may_end ? RX_NOTHING_LEFT : SCHEMA_NOTHING;
            continue;
        }
        rest = RX_SEQ_OF(s->r, comma(s, i), own, rest);
        if (may_end && i > 0) rest = rx_optional(s->r, rest);
    }
    return rest;
}

static bool read_items(Schemas *s, const json_t *schema, Items *items) {
    const json_t *other = json_object_get(schema, "items");
    *items = (Items){.prefix = json_object_get(schema, "prefixItems"), .max = RX_ENDLESS};
    items->n_prefix = (int32_t)json_array_size(items->prefix);
    if (items->prefix && !json_is_array(items->prefix))
        return schema_fail(s, "prefixItems", "must be a list");
    if (items->n_prefix > MAX_PREFIX)
        return schema_fail(s, "prefixItems", "has more than %d items", MAX_PREFIX);
    if (json_is_array(other))
        return schema_fail(s, "items", "must be a schema; lists of schemas are called prefixItems");
    if (!schema_count(s, schema, "minItems", &items->min) ||
        !schema_count(s, schema, "maxItems", &items->max))
        return false;
    if (json_is_true(json_object_get(schema, "uniqueItems")) && (items->max == RX_ENDLESS || items->max > 1))
        return schema_fail(s, "uniqueItems", "is not supported");
    size_t before = schema_enter(s, "items");
    items->other = other ? schema_rx(s, other) : json_text_any(&s->text);
    schema_leave(s, before);
    return true;
}

RxId schema_array_rx(Schemas *s, const json_t *schema) {
    Items items;
    if (!read_items(s, schema, &items) || s->r->failed) return RX_NOTHING_LEFT;
    if (items.max != RX_ENDLESS && items.max < items.min) return SCHEMA_NOTHING;
    RxId inside = list(s, &items);
    if (inside == SCHEMA_NOTHING) return SCHEMA_NOTHING;
    return json_text_brackets(&s->text, "[", inside, "]", items.min == 0);
}
