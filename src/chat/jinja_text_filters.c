// Filters that take any value as text.
#include "chat/jinja_builtins.h"
#include "chat/jinja_format.h"
#include "chat/jinja_text.h"

static JValue filter_upper(Jinja *j, JCall *c) {
    return jv_str(jstr_upper(j, jv_to_str(j, c->self)));
}

static JValue filter_lower(Jinja *j, JCall *c) {
    return jv_str(jstr_lower(j, jv_to_str(j, c->self)));
}

static JValue filter_capitalize(Jinja *j, JCall *c) {
    return jv_str(jstr_capitalize(j, jv_to_str(j, c->self)));
}

static JValue filter_title(Jinja *j, JCall *c) {
    return jv_str(jstr_title_words(j, jv_to_str(j, c->self)));
}

static JValue filter_string(Jinja *j, JCall *c) {
    return jv_str(jv_to_str(j, c->self));
}

static JValue filter_trim(Jinja *j, JCall *c) {
    Str s = jv_to_str(j, c->self);
    if (!jarg_given(c, 0) || c->arg[0].kind == J_NONE) return jv_str(jstr_strip(s, NULL, STRIP_BOTH));
    Str chars = jarg_str(j, c, 0);
    jinja_step(j, chars.len);
    return jv_str(jstr_strip(s, &chars, STRIP_BOTH));
}

static JValue filter_replace(Jinja *j, JCall *c) {
    Str s = jv_to_str(j, c->self);
    Str old = jarg_text(j, c, 0, ""), with = jarg_text(j, c, 1, "");
    bool all = c->arg[2].kind == J_NONE;
    return jv_str(jstr_replace(j, s, old, with, all ? -1 : jarg_int(j, c, 2, -1)));
}

static JValue filter_escape(Jinja *j, JCall *c) {
    static const struct {
        char c;
        const char *entity;
    } entities[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'\'', "&#39;"}, {'"', "&#34;"}};
    Str s = jv_to_str(j, c->self);
    JText t = {0};
    for (size_t i = 0; i < s.len; i++) {
        const char *entity = NULL;
        for (size_t k = 0; k < sizeof entities / sizeof *entities; k++)
            if (entities[k].c == s.ptr[i]) entity = entities[k].entity;
        if (entity)
            jtext_puts(j, &t, entity);
        else
            jtext_putc(j, &t, s.ptr[i]);
    }
    jinja_step_text(j, s.len * 4);
    return jv_str(jtext_finish(j, &t));
}

static JValue filter_safe(Jinja *j, JCall *c) {
    return jv_str(jv_to_str(j, c->self));
}

static Str indentation(Jinja *j, const JCall *c) {
    JText t = {0};
    if (c->arg[0].kind == J_STR) return c->arg[0].s;
    int64_t width = jarg_int(j, c, 0, 4);
    if (width > 1000) jinja_fail(j, "indent: more than 1000 places");
    if (width > 0) jtext_fill(j, &t, ' ', (size_t)width);
    return jtext_finish(j, &t);
}

static JValue filter_indent(Jinja *j, JCall *c) {
    Str by = indentation(j, c);
    jv_need_defined(j, c->self);
    if (c->self.kind != J_STR) jinja_fail(j, "indent needs a text, not %s", jv_type_name(c->self));
    Str s = jinja_concat(j, c->self.s, STR("\n")); // so that every line has an end
    bool first = jarg_bool(c, 1, false), blank = jarg_bool(c, 2, false);
    JText t = {0};
    size_t end;
    for (size_t at = 0, n = 0; at < s.len; n++) {
        Str line = jstr_line(s, &at, &end);
        if (n) jtext_putc(j, &t, '\n');
        if (n ? blank || line.len : first) jtext_put(j, &t, by);
        jtext_put(j, &t, line);
        jinja_step(j, 1);
    }
    return jv_str(jtext_finish(j, &t));
}

static JValue filter_wordcount(Jinja *j, JCall *c) {
    Str s = jv_to_str(j, c->self);
    int64_t n = 0;
    bool in_word = false;
    for (size_t at = 0; at < s.len;) {
        bool word = jchar_is_word(jstr_next(s, &at));
        n += word && !in_word;
        in_word = word;
    }
    jinja_step_text(j, s.len * 4);
    return jv_int(n);
}

static JValue filter_format(Jinja *j, JCall *c) {
    Str s = jv_to_str(j, c->self);
    if (c->rest.n_pos && c->rest.n_named)
        jinja_fail(j, "format takes values by position or by name, not both");
    if (!c->rest.n_named) {
        JList values = {c->rest.pos, c->rest.n_pos, c->rest.n_pos};
        return jv_str(jinja_format_percent(j, s, jv_list(J_TUPLE, &values)));
    }
    JDict *d = jdict_new(j);
    for (size_t i = 0; i < c->rest.n_named; i++) jdict_put(j, d, jv_str(c->rest.names[i]), c->rest.named[i]);
    return jv_str(jinja_format_percent(j, s, jv_dict(d)));
}

static JValue filter_center(Jinja *j, JCall *c) {
    Str s = jv_to_str(j, c->self);
    int64_t width = jarg_int(j, c, 0, 80), len = (int64_t)jstr_count(s);
    if (width <= len) return jv_str(s);
    if (width > JINJA_MAX_STRING) jinja_fail(j, "center: more than %d places", JINJA_MAX_STRING);
    int64_t pad = width - len, left = pad / 2 + (pad & width & 1);
    JText t = {0};
    jtext_fill(j, &t, ' ', (size_t)left);
    jtext_put(j, &t, s);
    jtext_fill(j, &t, ' ', (size_t)(pad - left));
    return jv_str(jtext_finish(j, &t));
}

static JValue filter_truncate(Jinja *j, JCall *c) {
    Str s = jv_to_str(j, c->self), end = jarg_text(j, c, 2, "...");
    int64_t length = jarg_int(j, c, 0, 255), leeway = jarg_int(j, c, 3, 5);
    int64_t n_end = (int64_t)jstr_count(end);
    if (length < n_end || leeway < 0 || length > JINJA_MAX_STRING)
        jinja_fail(j, "truncate: the length must hold at least the end mark");
    jinja_step_text(j, s.len * 2);
    if ((int64_t)jstr_count(s) - leeway <= length) return jv_str(s);
    Str kept = str_sub(s, 0, jstr_offset(s, (size_t)(length - n_end)));
    if (!jarg_bool(c, 1, false)) { // not in the middle of a word
        ptrdiff_t space = jstr_rfind(j, kept, STR(" "));
        if (space >= 0) kept = str_sub(kept, 0, (size_t)space);
    }
    return jv_str(jinja_concat(j, kept, end));
}

static JValue filter_urlencode(Jinja *j, JCall *c) {
    Str s = jv_to_str(j, c->self);
    JText t = {0};
    for (size_t i = 0; i < s.len; i++) {
        unsigned char b = (unsigned char)s.ptr[i];
        bool alnum = (b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z');
        if (alnum || (b && strchr("_.-~/", b)))
            jtext_putc(j, &t, (char)b);
        else
            jtext_printf(j, &t, "%%%02X", b);
    }
    jinja_step_text(j, s.len * 4);
    return jv_str(jtext_finish(j, &t));
}

const JBuiltin jinja_text_filters[] = {
    {"upper", "", filter_upper},
    {"lower", "", filter_lower},
    {"capitalize", "", filter_capitalize},
    {"title", "", filter_title},
    {"string", "", filter_string},
    {"trim", "chars?", filter_trim},
    {"replace", "old new count?", filter_replace},
    {"escape", "", filter_escape},
    {"e", "", filter_escape},
    {"forceescape", "", filter_escape},
    {"safe", "", filter_safe},
    {"indent", "width? first? blank?", filter_indent},
    {"wordcount", "", filter_wordcount},
    {"format", "*", filter_format},
    {"center", "width?", filter_center},
    {"truncate", "length? killwords? end? leeway?", filter_truncate},
    {"urlencode", "", filter_urlencode},
    {0},
};
