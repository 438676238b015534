#include "constrain/json_names.h"
#include "constrain/regex.h"
#include "constrain/schema_emit.h"

#include <stdlib.h>

// A member in the order of the schema: required or not.
typedef struct Member {
    const char *name;
    size_t len;
    RxId rx; // name and value; SCHEMA_NOTHING: it must not be there
    bool required;
} Member;

typedef struct Members {
    Member *at;
    int32_t n;
    RxId other; // a member of any other name, or SCHEMA_NOTHING
    int32_t min, max;
} Members;

static bool list_names(const json_t *list, const char *name) {
    const json_t *one;
    size_t i;
    json_array_foreach(list, i,
                       one) if (json_is_string(one) && strcmp(json_string_value(one), name) == 0) return true;
    return false;
}

// ---- members

static RxId named_member(Schemas *s, const char *keyword, const char *name, size_t len,
                         const json_t *schema) {
    size_t before = schema_enter(s, keyword), inner = schema_enter(s, name);
    RxId value = schema ? schema_rx(s, schema) : json_text_any(&s->text);
    schema_leave(s, inner);
    schema_leave(s, before);
    return value == SCHEMA_NOTHING ? value : json_text_member(&s->text, json_name(s->r, name, len), value);
}

static bool read_required(Schemas *s, const json_t *schema, json_t *all, Members *m) {
    const json_t *required = json_object_get(schema, "required"), *name;
    const json_t *others = json_object_get(schema, "additionalProperties");
    size_t i;
    if (required && !json_is_array(required)) return schema_fail(s, "required", "must be a list of names");
    json_array_foreach(required, i, name) {
        const char *text = json_string_value(name);
        if (!text) return schema_fail(s, "required", "must be a list of names");
        if (json_object_get(all, text)) continue;
        json_object_set_new(all, text, json_true());
        m->at[m->n++] = (Member){text, json_string_length(name),
                                 named_member(s, "required", text, json_string_length(name), others), true};
    }
    return true;
}

// The named members; `all` gets their names.
static bool read_members(Schemas *s, const json_t *schema, json_t *all, Members *m) {
    json_t *properties = json_object_get(schema, "properties"), *value;
    const json_t *required = json_object_get(schema, "required");
    const char *name;
    size_t len;
    if (properties && !json_is_object(properties)) return schema_fail(s, "properties", "must be an object");
    m->at = calloc(json_object_size(properties) + json_array_size(required) + 1, sizeof *m->at);
    if (!m->at) return schema_fail(s, "properties", "out of memory");
    json_object_keylen_foreach(properties, name, len, value) {
        if (s->r->failed) return false;
        json_object_setn_new(all, name, len, json_true());
        m->at[m->n++] =
            (Member){name, len, named_member(s, "properties", name, len, value), list_names(required, name)};
    }
    return read_required(s, schema, all, m);
}

// The name of a member that is not listed.
static bool other_name(Schemas *s, const json_t *schema, const json_t *all, RxId *name) {
    const json_t *names = json_object_get(schema, "propertyNames");
    if (!names) {
        *name = json_other_name(&s->text, all);
        return true;
    }
    if (json_object_size(all))
        return schema_fail(s, "propertyNames", "is not supported beside named properties");
    if (!json_is_object(names)) return schema_fail(s, "propertyNames", "must be a schema of strings");
    json_t *strings = schema_keep(s, json_copy((json_t *)names));
    if (!strings) return false;
    if (!json_object_get(strings, "type")) json_object_set_new(strings, "type", json_string("string"));
    size_t before = schema_enter(s, "propertyNames");
    *name = schema_rx(s, strings);
    schema_leave(s, before);
    return true;
}

// patternProperties with one pattern, no names and nothing else.
static bool read_pattern(Schemas *s, const json_t *schema, const json_t *all, RxId *other) {
    json_t *patterns = json_object_get(schema, "patternProperties"), *value;
    const json_t *others = json_object_get(schema, "additionalProperties");
    const char *pattern;
    bool alone =
        json_object_size(patterns) == 1 && json_object_size(all) == 0 && (!others || json_is_false(others));
    if (!alone || json_object_get(schema, "propertyNames"))
        return schema_fail(s, "patternProperties",
                           "is supported with one pattern and without other properties only");
    json_object_foreach(patterns, pattern, value) {
        Regex name = regex_parse(s->r, str_from(pattern), CHARS_IN_JSON, false);
        size_t before = schema_enter(s, "patternProperties");
        RxId rx = schema_rx(s, value), quote = rx_text(s->r, "\"");
        schema_leave(s, before);
        *other = rx == SCHEMA_NOTHING
                     ? SCHEMA_NOTHING
                     : json_text_member(&s->text, RX_SEQ_OF(s->r, quote, name.rx, quote), rx);
    }
    return true;
}

// An object with listed properties is closed unless it says otherwise.
static bool read_other(Schemas *s, const json_t *schema, const json_t *all, RxId *other) {
    const json_t *others = json_object_get(schema, "additionalProperties");
    RxId name = SCHEMA_NOTHING, value;
    *other = SCHEMA_NOTHING;
    if (json_object_size(json_object_get(schema, "patternProperties")))
        return read_pattern(s, schema, all, other);
    if (json_is_false(others) || (!others && json_object_size(json_object_get(schema, "properties"))))
        return true;
    size_t before = schema_enter(s, "additionalProperties");
    value = others ? schema_rx(s, others) : json_text_any(&s->text);
    schema_leave(s, before);
    if (value == SCHEMA_NOTHING || s->r->failed) return !s->r->failed;
    if (!other_name(s, schema, all, &name)) return false;
    if (name != SCHEMA_NOTHING) *other = json_text_member(&s->text, name, value);
    return true;
}

// ---- how many

enum { MAX_OPTIONAL = 900 }; // all of them may come next, and AUTOMATON_MAX_PLACES is the most at once

static int32_t n_required(const Members *m) {
    int32_t n = 0;
    for (int32_t i = 0; i < m->n; i++) n += m->at[i].required;
    return n;
}

static int32_t n_possible(const Members *m) {
    int32_t n = 0;
    for (int32_t i = 0; i < m->n; i++) n += m->at[i].rx != SCHEMA_NOTHING;
    return n;
}

static bool check_optional(Schemas *s, const Members *m) {
    int32_t n = n_possible(m) - n_required(m);
    return n <= MAX_OPTIONAL ||
           schema_fail(s, "properties", "has %d members that are not required; at most %d are supported", n,
                       MAX_OPTIONAL);
}

// Members of any names may have equal ones, so their number says nothing about how many are different.
static bool check_counts(Schemas *s, const json_t *schema, Members *m) {
    if (!schema_count(s, schema, "minProperties", &m->min) ||
        !schema_count(s, schema, "maxProperties", &m->max))
        return false;
    if (m->min > n_required(m) && m->min > 1)
        return schema_fail(s, "minProperties",
                           "of more than 1 is supported only as far as members are required");
    bool kept = m->max == RX_ENDLESS || (m->other == SCHEMA_NOTHING && m->max >= n_possible(m));
    return kept || m->n == 0 || schema_fail(s, "maxProperties", "is not supported beside named properties");
}

// ---- all together

static RxId as_rule(Schemas *s, RxId rx) {
    int32_t rule = rules_add(s->r, STR("members"));
    rules_define(s->r, rule, rx);
    return rx_rule(s->r, rule);
}

// At least one member of another name; SCHEMA_NOTHING: there is none.
static RxId other_members(Schemas *s, const Members *m) {
    if (m->other == SCHEMA_NOTHING || m->max == 0) return SCHEMA_NOTHING;
    RxId more = RX_SEQ_OF(s->r, json_text_comma(&s->text), m->other);
    int32_t max = m->n || m->max == RX_ENDLESS ? RX_ENDLESS : m->max - 1;
    return RX_SEQ_OF(s->r, m->other, rx_repeat(s->r, more, 0, max));
}

// What follows a member: a comma and `list`, unless nothing need follow.
static RxId behind(Schemas *s, RxId list, bool needed) {
    if (list == SCHEMA_NOTHING) return RX_NOTHING_LEFT;
    RxId more = RX_SEQ_OF(s->r, json_text_comma(&s->text), list);
    return needed ? more : rx_optional(s->r, more);
}

// At least one member, from the last one forward: the list from a member on begins with it, or if it is not
// required with a later one. Each is a rule, so that nothing is written twice. SCHEMA_NOTHING: there is none.
static RxId member_list(Schemas *s, const Members *m) {
    RxId list = other_members(s, m);
    bool needed = false; // a later one is required
    for (int32_t i = m->n; i-- > 0 && !s->r->failed;) {
        const Member *one = &m->at[i];
        if (one->rx == SCHEMA_NOTHING) continue;
        RxId here = RX_SEQ_OF(s->r, one->rx, behind(s, list, needed));
        bool may_skip = !one->required && list != SCHEMA_NOTHING;
        list = as_rule(s, may_skip ? RX_ALT_OF(s->r, here, list) : here);
        needed |= one->required;
    }
    return list;
}

static bool misses_required(const Members *m) {
    for (int32_t i = 0; i < m->n; i++)
        if (m->at[i].required && m->at[i].rx == SCHEMA_NOTHING) return true;
    return false;
}

static RxId object_of(Schemas *s, const Members *m) {
    if (misses_required(m) || (m->max != RX_ENDLESS && m->max < m->min)) return SCHEMA_NOTHING;
    RxId inside = member_list(s, m);
    bool may_be_empty = m->min == 0 && n_required(m) == 0;
    if (inside == SCHEMA_NOTHING && !may_be_empty) return SCHEMA_NOTHING;
    if (inside == SCHEMA_NOTHING) inside = RX_NOTHING_LEFT;
    return json_text_brackets(&s->text, "{", inside, "}", may_be_empty);
}

RxId schema_object_rx(Schemas *s, const json_t *schema) {
    Members m = {.max = RX_ENDLESS};
    json_t *all = json_object();
    bool ok = read_members(s, schema, all, &m) && read_other(s, schema, all, &m.other) && !s->r->failed &&
              check_optional(s, &m) && check_counts(s, schema, &m);
    RxId rx = ok ? object_of(s, &m) : RX_NOTHING_LEFT;
    free(m.at);
    json_decref(all);
    return rx;
}
