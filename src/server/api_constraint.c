#include "server/api_constraint.h"

// What was found: at most one grammar, and where.
typedef struct Found {
    Fields *f;
    const char *field; // NULL: nothing yet
    const char *where; // in messages
    GrammarSpec spec;
    json_t *parsed; // owned: a schema that came as a string
} Found;

static void found(Found *x, const char *field, const char *where, GrammarSpec spec) {
    if (x->field) {
        fields_fail(x->f, field, "cannot be combined with %s", x->where);
        return;
    }
    x->field = field;
    x->where = where;
    x->spec = spec;
}

// ---- kinds of values

static void take_text(Found *x, const char *field, const char *where, GrammarKind kind, const json_t *value) {
    if (!json_is_string(value))
        fields_fail(x->f, field, "must be a string (%s), not %s", where, json_kind(value));
    else if (json_string_length(value) == 0)
        fields_fail(x->f, field, "must not be empty (%s)", where);
    else
        found(x, field, where, (GrammarSpec){.kind = kind, .text = json_str(value)});
}

// A schema, or the text of one.
static void take_schema(Found *x, const char *field, const char *where, json_t *value) {
    json_error_t at;
    if (json_is_string(value) && !x->parsed) {
        Str text = json_str(value);
        value = x->parsed = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
        if (!value) {
            fields_fail(x->f, field, "is a string, but not JSON (%s): %s", where, at.text);
            return;
        }
    }
    if (!json_is_object(value) && !json_is_boolean(value))
        fields_fail(x->f, field, "must be a JSON schema (%s), not %s", where, json_kind(value));
    else
        found(x, field, where, (GrammarSpec){.kind = GRAMMAR_SCHEMA, .value = value});
}

static void take_choice(Found *x, const char *field, const char *where, const json_t *value) {
    found(x, field, where, (GrammarSpec){.kind = GRAMMAR_CHOICE, .value = value});
}

// ---- response_format

static void take_json_schema(Found *x, const json_t *format) {
    json_t *inner = json_object_get(format, "json_schema"), *schema = json_object_get(inner, "schema");
    if (!json_is_object(inner))
        fields_fail(x->f, "response_format",
                    "of type json_schema must have json_schema, an object with schema");
    else if (!schema)
        fields_fail(x->f, "response_format", "must have json_schema.schema");
    else
        take_schema(x, "response_format", "response_format.json_schema.schema", schema);
}

static void read_response_format(Found *x) {
    const json_t *format = fields_get(x->f, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    json_t *schema = json_object_get(format, "schema");
    if (!format) return;
    if (!type)
        fields_fail(x->f, "response_format", "must be an object with type");
    else if (strcmp(type, "json_object") == 0 && schema)
        take_schema(x, "response_format", "response_format.schema", schema);
    else if (strcmp(type, "json_object") == 0)
        found(x, "response_format", "response_format", (GrammarSpec){.kind = GRAMMAR_JSON_OBJECT});
    else if (strcmp(type, "json_schema") == 0)
        take_json_schema(x, format);
    else if (strcmp(type, "text") != 0)
        fields_fail(x->f, "response_format",
                    "has the type \"%.40s\"; there are text, json_object and json_schema", type);
}

json_t *api_constraint_text(Fields *f) {
    Found x = {.f = f};
    read_response_format(&x);
    json_t *shape = NULL;
    if (x.field && x.spec.value)
        shape = json_pack("{s:O}", "schema", x.spec.value);
    else if (x.field)
        shape = json_pack("{s:{s:s}}", "schema", "type", "object");
    json_decref(x.parsed);
    return shape;
}

// ---- the others

static bool is_unset(const json_t *value) {
    return !value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

static void read_member(Found *x, const char *key, json_t *value) {
    if (strcmp(key, "json") == 0)
        take_schema(x, "structured_outputs", "structured_outputs.json", value);
    else if (strcmp(key, "regex") == 0)
        take_text(x, "structured_outputs", "structured_outputs.regex", GRAMMAR_REGEX, value);
    else if (strcmp(key, "grammar") == 0)
        take_text(x, "structured_outputs", "structured_outputs.grammar", GRAMMAR_GBNF, value);
    else if (strcmp(key, "choice") == 0)
        take_choice(x, "structured_outputs", "structured_outputs.choice", value);
    else if (strcmp(key, "json_object") == 0 && json_is_true(value))
        found(x, "structured_outputs", "structured_outputs.json_object",
              (GrammarSpec){.kind = GRAMMAR_JSON_OBJECT});
    else if (!json_is_false(value))
        fields_fail(x->f, "structured_outputs", "has %.40s, which is not supported", key);
}

static void read_structured_outputs(Found *x) {
    json_t *all = fields_get(x->f, "structured_outputs"), *value;
    const char *key;
    if (!all) return;
    if (!json_is_object(all)) {
        fields_fail(x->f, "structured_outputs", "must be an object, not %s", json_kind(all));
        return;
    }
    json_object_foreach(all, key, value) if (!is_unset(value)) read_member(x, key, value);
}

static const struct {
    const char *field;
    GrammarKind kind;
} fields[] = {{"grammar", GRAMMAR_GBNF},       {"guided_grammar", GRAMMAR_GBNF},
              {"guided_regex", GRAMMAR_REGEX}, {"guided_choice", GRAMMAR_CHOICE},
              {"json_schema", GRAMMAR_SCHEMA}, {"guided_json", GRAMMAR_SCHEMA}};

static void read_others(Found *x) {
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        json_t *value = fields_get(x->f, fields[i].field);
        if (is_unset(value)) continue;
        if (fields[i].kind == GRAMMAR_SCHEMA)
            take_schema(x, fields[i].field, fields[i].field, value);
        else if (fields[i].kind == GRAMMAR_CHOICE)
            take_choice(x, fields[i].field, fields[i].field, value);
        else
            take_text(x, fields[i].field, fields[i].field, fields[i].kind, value);
    }
    if (fields_get(x->f, "guided_whitespace_pattern"))
        fields_fail(x->f, "guided_whitespace_pattern", "is not supported");
}

static void compile(const Served *served, Found *x, GenParams *p) {
    Err err = {0};
    if (!served->service.grammars) {
        fields_fail(x->f, x->field, "is not supported by this server");
    } else if (p->ignore_eos) {
        fields_fail(x->f, "ignore_eos", "cannot be combined with %s", x->where);
    } else if (!(p->grammar = grammar_store_get(served->service.grammars, &x->spec, &err))) {
        x->f->ok = false;
        api_error_set(x->f->error, api_status_of(err.code), NULL, x->field, "%s: %s", x->where, err.msg);
    }
}

bool api_constraint_is_wanted(const Fields *f) {
    const char *type = json_string_value(json_object_get(fields_get(f, "response_format"), "type"));
    bool wanted = (type && strcmp(type, "text") != 0) || fields_get(f, "structured_outputs");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        wanted |= !is_unset(fields_get(f, fields[i].field));
    return wanted;
}

void api_constraint_read(const Served *served, Fields *f, GenParams *p) {
    Found x = {.f = f};
    read_response_format(&x);
    read_others(&x);
    read_structured_outputs(&x);
    if (f->ok && x.field) compile(served, &x, p);
    json_decref(x.parsed);
}
