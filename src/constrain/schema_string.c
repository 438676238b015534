#include "base/num.h"
#include "constrain/json_format.h"
#include "constrain/schema_emit.h"

// Texts of a pattern or a format have lengths of their own; bounds beside them must leave all of those.
static RxId with_lengths(Schemas *s, Regex text, int32_t min, int32_t max) {
    bool fits = text.min >= min && (max == RX_ENDLESS || (text.max != REGEX_ENDLESS && text.max <= max));
    if (!fits && !s->r->failed)
        schema_fail(s, text.min < min ? "minLength" : "maxLength",
                    "beside a pattern or a format is supported only where that keeps to it");
    RxId quote = rx_text(s->r, "\"");
    return RX_SEQ_OF(s->r, quote, text.rx, quote);
}

// Formats that say nothing about the text.
static bool is_free_format(Str name) {
    static const char *const names[] = {"password", "textarea",  "binary",
                                        "path",     "file-path", "directory-path"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(name, str_from(names[i]))) return true;
    return false;
}

RxId schema_string_rx(Schemas *s, const json_t *schema) {
    int32_t min = 0, max = RX_ENDLESS;
    Str pattern, format;
    Regex text;
    if (!schema_count(s, schema, "minLength", &min) || !schema_count(s, schema, "maxLength", &max) ||
        !schema_string(s, schema, "pattern", &pattern) || !schema_string(s, schema, "format", &format))
        return RX_NOTHING_LEFT;
    if (max != RX_ENDLESS && max < min) return SCHEMA_NOTHING;
    if (format.ptr && is_free_format(format)) format = (Str){0};
    if (pattern.ptr && format.ptr) schema_fail(s, "pattern", "is not supported beside format");
    if (pattern.ptr) {
        bool was = s->r->failed;
        text = regex_parse(s->r, pattern, CHARS_IN_JSON, false);
        if (s->r->failed && !was) err_prefix(&s->r->err, "#%.120s/pattern", s->path.ptr ? s->path.ptr : "");
        return with_lengths(s, text, min, max);
    }
    if (format.ptr && json_format(s->r, format, &text)) return with_lengths(s, text, min, max);
    if (format.ptr)
        schema_fail(s, "format", "\"%.*s\" is not supported; there are %s", (int)num_min(format.len, 40),
                    format.ptr, json_format_names());
    return json_text_string(&s->text, min, max);
}
