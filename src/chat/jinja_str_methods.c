// The methods of a string, as Python has them.
#include "chat/jinja_builtins.h"
#include "chat/jinja_format.h"
#include "chat/jinja_text.h"

#include <utf8proc.h>

// ---- strip

static JValue strip(Jinja *j, JCall *c, JStripSide side) {
    if (!jarg_given(c, 0) || c->arg[0].kind == J_NONE) return jv_str(jstr_strip(c->self.s, NULL, side));
    Str chars = jarg_str(j, c, 0);
    jinja_step(j, chars.len);
    return jv_str(jstr_strip(c->self.s, &chars, side));
}

static JValue str_strip(Jinja *j, JCall *c) {
    return strip(j, c, STRIP_BOTH);
}

static JValue str_lstrip(Jinja *j, JCall *c) {
    return strip(j, c, STRIP_LEFT);
}

static JValue str_rstrip(Jinja *j, JCall *c) {
    return strip(j, c, STRIP_RIGHT);
}

// ---- split and join

static void push_str(Jinja *j, JList *l, Str s) {
    jinja_step(j, 1);
    jlist_push(j, l, jv_str(s));
}

static JValue split_space(Jinja *j, Str s, int64_t limit) {
    JList *l = jlist_new(j);
    for (s = jstr_strip(s, NULL, STRIP_LEFT); s.len; s = jstr_strip(s, NULL, STRIP_LEFT)) {
        size_t end = 0, next = 0;
        if (limit-- == 0) {
            push_str(j, l, jstr_strip(s, NULL, STRIP_RIGHT));
            break;
        }
        while (next < s.len && !jchar_is_space(jstr_next(s, &next))) end = next;
        push_str(j, l, str_sub(s, 0, end));
        s = str_skip(s, end);
    }
    return jv_list(J_LIST, l);
}

static void reverse(JList *l) {
    for (size_t a = 0, b = l->n; a + 1 < b; a++) {
        JValue swap = l->at[a];
        l->at[a] = l->at[--b];
        l->at[b] = swap;
    }
}

static JValue rsplit_space(Jinja *j, Str s, int64_t limit) {
    JList *l = jlist_new(j);
    for (s = jstr_strip(s, NULL, STRIP_RIGHT); s.len; s = jstr_strip(s, NULL, STRIP_RIGHT)) {
        size_t from = s.len, prev = s.len;
        if (limit-- == 0) {
            push_str(j, l, jstr_strip(s, NULL, STRIP_LEFT));
            break;
        }
        while (prev > 0 && !jchar_is_space(jstr_prev(s, &prev))) from = prev;
        push_str(j, l, str_skip(s, from));
        s = str_sub(s, 0, from);
    }
    reverse(l);
    return jv_list(J_LIST, l);
}

static bool splits_at_space(const JCall *c) {
    return !jarg_given(c, 0) || c->arg[0].kind == J_NONE;
}

static Str separator(Jinja *j, const JCall *c) {
    Str sep = jarg_str(j, c, 0);
    if (!sep.len) jinja_fail(j, "%s: the separator is empty", c->fn->name);
    return sep;
}

static JValue str_split(Jinja *j, JCall *c) {
    int64_t limit = jarg_int(j, c, 1, -1);
    Str s = c->self.s;
    if (splits_at_space(c)) return split_space(j, s, limit);
    Str sep = separator(j, c);
    JList *l = jlist_new(j);
    ptrdiff_t hit;
    while (limit-- != 0 && (hit = jstr_find(j, s, sep, 0)) >= 0) {
        push_str(j, l, str_sub(s, 0, (size_t)hit));
        s = str_skip(s, (size_t)hit + sep.len);
    }
    push_str(j, l, s);
    return jv_list(J_LIST, l);
}

static JValue str_rsplit(Jinja *j, JCall *c) {
    int64_t limit = jarg_int(j, c, 1, -1);
    Str s = c->self.s;
    if (splits_at_space(c)) return rsplit_space(j, s, limit);
    Str sep = separator(j, c);
    JList *l = jlist_new(j);
    ptrdiff_t hit;
    while (limit-- != 0 && (hit = jstr_rfind(j, s, sep)) >= 0) {
        push_str(j, l, str_skip(s, (size_t)hit + sep.len));
        s = str_sub(s, 0, (size_t)hit);
    }
    push_str(j, l, s);
    reverse(l);
    return jv_list(J_LIST, l);
}

static JValue str_splitlines(Jinja *j, JCall *c) {
    bool keep = jarg_bool(c, 0, false);
    JList *l = jlist_new(j);
    for (size_t at = 0, end; at < c->self.s.len;) {
        size_t from = at;
        Str line = jstr_line(c->self.s, &at, &end);
        push_str(j, l, keep ? jstr_sub(c->self.s, from, at) : line);
    }
    return jv_list(J_LIST, l);
}

static JValue partition_at(Jinja *j, Str s, ptrdiff_t hit, size_t len) {
    JList *l = jlist_new(j);
    push_str(j, l, str_sub(s, 0, (size_t)hit));
    push_str(j, l, str_sub(s, (size_t)hit, len));
    push_str(j, l, str_skip(s, (size_t)hit + len));
    return jv_list(J_TUPLE, l);
}

static JValue str_partition(Jinja *j, JCall *c) {
    Str sep = separator(j, c);
    ptrdiff_t hit = jstr_find(j, c->self.s, sep, 0);
    if (hit < 0) return partition_at(j, c->self.s, (ptrdiff_t)c->self.s.len, 0);
    return partition_at(j, c->self.s, hit, sep.len);
}

static JValue str_rpartition(Jinja *j, JCall *c) {
    Str sep = separator(j, c);
    ptrdiff_t hit = jstr_rfind(j, c->self.s, sep);
    return partition_at(j, c->self.s, hit < 0 ? 0 : hit, hit < 0 ? 0 : sep.len);
}

static JValue str_join(Jinja *j, JCall *c) {
    JList *items = jv_items(j, c->arg[0]);
    JText t = {0};
    for (size_t i = 0; i < items->n; i++) {
        if (items->at[i].kind != J_STR)
            jinja_fail(j, "join: item %zu is no text but %s", i, jv_type_name(items->at[i]));
        if (i) jtext_put(j, &t, c->self.s);
        jtext_put(j, &t, items->at[i].s);
        jinja_step(j, 1);
    }
    return jv_str(jtext_finish(j, &t));
}

// ---- search

static bool has_affix(Jinja *j, const JCall *c, JValue affix, bool front) {
    if (affix.kind != J_STR) jinja_fail(j, "%s needs a text or a tuple of texts", c->fn->name);
    Str s = c->self.s;
    if (affix.s.len > s.len) return false;
    return front ? str_starts_with(s, affix.s) : str_eq(str_skip(s, s.len - affix.s.len), affix.s);
}

static JValue any_affix(Jinja *j, JCall *c, bool front) {
    if (c->arg[0].kind != J_TUPLE) return jv_bool(has_affix(j, c, c->arg[0], front));
    JList *affixes = c->arg[0].list;
    for (size_t i = 0; i < affixes->n; i++)
        if (has_affix(j, c, affixes->at[i], front)) return jv_bool(true);
    return jv_bool(false);
}

// s[start:end] for the methods that take a range; *offset: code points cut off in front.
static Str ranged(Jinja *j, const JCall *c, int64_t *offset) {
    int64_t n = (int64_t)jstr_count(c->self.s);
    int64_t from = c->arg[1].kind == J_NONE ? 0 : jarg_int(j, c, 1, 0);
    int64_t to = c->arg[2].kind == J_NONE ? n : jarg_int(j, c, 2, n);
    jinja_step_text(j, c->self.s.len * 2);
    if (from < 0) from = from + n < 0 ? 0 : from + n;
    if (to < 0) to = to + n < 0 ? 0 : to + n;
    *offset = from;
    if (from > n || to < from) {
        *offset = -1; // not even the empty string is found there
        return STR("");
    }
    size_t begin = jstr_offset(c->self.s, (size_t)from);
    return jstr_sub(c->self.s, begin, jstr_offset(c->self.s, (size_t)(to < n ? to : n)));
}

static JValue affix_in_range(Jinja *j, JCall *c, bool front) {
    int64_t offset = 0;
    if (jarg_given(c, 1)) c->self.s = ranged(j, c, &offset);
    return offset < 0 ? jv_bool(false) : any_affix(j, c, front);
}

static JValue str_startswith(Jinja *j, JCall *c) {
    return affix_in_range(j, c, true);
}

static JValue str_endswith(Jinja *j, JCall *c) {
    return affix_in_range(j, c, false);
}

static int64_t position(Jinja *j, JCall *c, bool last) {
    int64_t offset;
    Str what = jarg_str(j, c, 0), s = ranged(j, c, &offset);
    if (offset < 0) return -1;
    ptrdiff_t hit = last ? jstr_rfind(j, s, what) : jstr_find(j, s, what, 0);
    return hit < 0 ? -1 : offset + (int64_t)jstr_count(str_sub(s, 0, (size_t)hit));
}

static JValue str_find(Jinja *j, JCall *c) {
    return jv_int(position(j, c, false));
}

static JValue str_rfind(Jinja *j, JCall *c) {
    return jv_int(position(j, c, true));
}

static JValue found(Jinja *j, const JCall *c, int64_t at) {
    if (at < 0) jinja_fail(j, "%s: the text is not there", c->fn->name);
    return jv_int(at);
}

static JValue str_index(Jinja *j, JCall *c) {
    return found(j, c, position(j, c, false));
}

static JValue str_rindex(Jinja *j, JCall *c) {
    return found(j, c, position(j, c, true));
}

static JValue str_count(Jinja *j, JCall *c) {
    int64_t offset;
    Str what = jarg_str(j, c, 0), s = ranged(j, c, &offset);
    return jv_int(offset < 0 ? 0 : (int64_t)jstr_count_of(j, s, what));
}

// ---- change

static JValue str_replace(Jinja *j, JCall *c) {
    Str old = jarg_str(j, c, 0), with = jarg_str(j, c, 1);
    return jv_str(jstr_replace(j, c->self.s, old, with, jarg_int(j, c, 2, -1)));
}

static JValue str_removeprefix(Jinja *j, JCall *c) {
    Str affix = jarg_str(j, c, 0);
    return jv_str(str_starts_with(c->self.s, affix) ? str_skip(c->self.s, affix.len) : c->self.s);
}

static JValue str_removesuffix(Jinja *j, JCall *c) {
    Str affix = jarg_str(j, c, 0), s = c->self.s;
    bool ends = affix.len <= s.len && str_eq(str_skip(s, s.len - affix.len), affix);
    return jv_str(ends ? str_sub(s, 0, s.len - affix.len) : s);
}

static JValue str_upper(Jinja *j, JCall *c) {
    return jv_str(jstr_upper(j, c->self.s));
}

static JValue str_lower(Jinja *j, JCall *c) {
    return jv_str(jstr_lower(j, c->self.s));
}

static JValue str_title(Jinja *j, JCall *c) {
    return jv_str(jstr_title(j, c->self.s));
}

static JValue str_capitalize(Jinja *j, JCall *c) {
    return jv_str(jstr_capitalize(j, c->self.s));
}

static JValue str_swapcase(Jinja *j, JCall *c) {
    return jv_str(jstr_swapcase(j, c->self.s));
}

static JValue str_format(Jinja *j, JCall *c) {
    return jv_str(jinja_format_braces(j, c->self.s, &c->rest));
}

typedef enum JSide { SIDE_LEFT, SIDE_RIGHT, SIDE_CENTER } JSide;

static JValue justify(Jinja *j, JCall *c, JSide side) {
    Str fill = jarg_given(c, 1) ? jarg_str(j, c, 1) : STR(" ");
    int64_t n = (int64_t)jstr_count(c->self.s), width = jarg_int(j, c, 0, 0);
    if (jstr_count(fill) != 1) jinja_fail(j, "%s: the fill must be one character", c->fn->name);
    if (width <= n) return c->self;
    if (width > JINJA_MAX_STRING) jinja_fail(j, "%s: more than %d places", c->fn->name, JINJA_MAX_STRING);
    int64_t pad = width - n;
    int64_t left = side == SIDE_RIGHT ? pad : side == SIDE_LEFT ? 0 : pad / 2 + (pad & width & 1);
    JText t = {0};
    for (int64_t i = 0; i < left; i++) jtext_put(j, &t, fill);
    jtext_put(j, &t, c->self.s);
    for (int64_t i = left; i < pad; i++) jtext_put(j, &t, fill);
    jinja_step(j, (size_t)pad / 16);
    return jv_str(jtext_finish(j, &t));
}

static JValue str_ljust(Jinja *j, JCall *c) {
    return justify(j, c, SIDE_LEFT);
}

static JValue str_rjust(Jinja *j, JCall *c) {
    return justify(j, c, SIDE_RIGHT);
}

static JValue str_center(Jinja *j, JCall *c) {
    return justify(j, c, SIDE_CENTER);
}

static JValue str_zfill(Jinja *j, JCall *c) {
    Str s = c->self.s;
    int64_t width = jarg_int(j, c, 0, 0), n = (int64_t)jstr_count(s);
    size_t sign = s.len && (s.ptr[0] == '-' || s.ptr[0] == '+');
    JText t = {0};
    if (width > JINJA_MAX_STRING) jinja_fail(j, "zfill: more than %d places", JINJA_MAX_STRING);
    jtext_put(j, &t, str_sub(s, 0, sign));
    if (width > n) jtext_fill(j, &t, '0', (size_t)(width - n));
    jtext_put(j, &t, str_skip(s, sign));
    return jv_str(jtext_finish(j, &t));
}

// ---- kinds of characters

static JValue all_chars(Jinja *j, const JCall *c, bool (*is)(int32_t cp)) {
    Str s = c->self.s;
    jinja_step_text(j, s.len * 4);
    for (size_t at = 0; at < s.len;)
        if (!is(jstr_next(s, &at))) return jv_bool(false);
    return jv_bool(s.len > 0);
}

static bool is_alnum(int32_t cp) {
    return jchar_is_alpha(cp) || jchar_is_numeric(cp);
}

static JValue str_isalnum(Jinja *j, JCall *c) {
    return all_chars(j, c, is_alnum);
}

static JValue str_isalpha(Jinja *j, JCall *c) {
    return all_chars(j, c, jchar_is_alpha);
}

static JValue str_isdecimal(Jinja *j, JCall *c) {
    return all_chars(j, c, jchar_is_decimal);
}

static JValue str_isdigit(Jinja *j, JCall *c) {
    return all_chars(j, c, jchar_is_digit);
}

static JValue str_isnumeric(Jinja *j, JCall *c) {
    return all_chars(j, c, jchar_is_numeric);
}

static JValue str_isspace(Jinja *j, JCall *c) {
    return all_chars(j, c, jchar_is_space);
}

// Some cased letter, and none of the other case.
static JValue has_only_case(Jinja *j, Str s, utf8proc_category_t other) {
    bool cased = false;
    jinja_step_text(j, s.len * 4);
    for (size_t at = 0; at < s.len;) {
        int32_t cp = jstr_next(s, &at);
        utf8proc_category_t category = utf8proc_category(cp);
        if (category == other || category == UTF8PROC_CATEGORY_LT) return jv_bool(false);
        cased = cased || jchar_is_cased(cp);
    }
    return jv_bool(cased);
}

static JValue str_islower(Jinja *j, JCall *c) {
    return has_only_case(j, c->self.s, UTF8PROC_CATEGORY_LU);
}

static JValue str_isupper(Jinja *j, JCall *c) {
    return has_only_case(j, c->self.s, UTF8PROC_CATEGORY_LL);
}

static JValue str_istitle(Jinja *j, JCall *c) {
    Str s = c->self.s;
    bool in_word = false, any = false;
    jinja_step_text(j, s.len * 4);
    for (size_t at = 0; at < s.len;) {
        int32_t cp = jstr_next(s, &at);
        bool cased = jchar_is_cased(cp);
        bool lower = utf8proc_category(cp) == UTF8PROC_CATEGORY_LL;
        if (cased && lower != in_word) return jv_bool(false);
        any = any || cased;
        in_word = cased;
    }
    return jv_bool(any);
}

const JBuiltin jinja_str_methods[] = {
    {"strip", "chars?", str_strip},
    {"lstrip", "chars?", str_lstrip},
    {"rstrip", "chars?", str_rstrip},
    {"split", "sep? maxsplit?", str_split},
    {"rsplit", "sep? maxsplit?", str_rsplit},
    {"splitlines", "keepends?", str_splitlines},
    {"partition", "sep", str_partition},
    {"rpartition", "sep", str_rpartition},
    {"join", "items", str_join},
    {"startswith", "prefix start? end?", str_startswith},
    {"endswith", "suffix start? end?", str_endswith},
    {"find", "sub start? end?", str_find},
    {"rfind", "sub start? end?", str_rfind},
    {"index", "sub start? end?", str_index},
    {"rindex", "sub start? end?", str_rindex},
    {"count", "sub start? end?", str_count},
    {"replace", "old new count?", str_replace},
    {"removeprefix", "prefix", str_removeprefix},
    {"removesuffix", "suffix", str_removesuffix},
    {"upper", "", str_upper},
    {"lower", "", str_lower},
    {"casefold", "", str_lower},
    {"title", "", str_title},
    {"capitalize", "", str_capitalize},
    {"swapcase", "", str_swapcase},
    {"format", "*", str_format},
    {"ljust", "width fill?", str_ljust},
    {"rjust", "width fill?", str_rjust},
    {"center", "width fill?", str_center},
    {"zfill", "width", str_zfill},
    {"isalnum", "", str_isalnum},
    {"isalpha", "", str_isalpha},
    {"isdecimal", "", str_isdecimal},
    {"isdigit", "", str_isdigit},
    {"isnumeric", "", str_isnumeric},
    {"isspace", "", str_isspace},
    {"islower", "", str_islower},
    {"isupper", "", str_isupper},
    {"istitle", "", str_istitle},
    {0},
};
