#include "chat/jinja_text.h"

#include "base/num.h"

#include <utf8proc.h>

bool jstr_valid_utf8(Str s) {
    for (size_t at = 0; at < s.len;) {
        utf8proc_int32_t cp;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)s.ptr + at, (utf8proc_ssize_t)(s.len - at), &cp);
        if (n <= 0) return false;
        at += (size_t)n;
    }
    return true;
}

static bool is_continuation(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t jstr_count(Str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) n += !is_continuation(s.ptr[i]);
    return n;
}

size_t jstr_offset(Str s, size_t n) {
    size_t at = 0;
    while (at < s.len && n--) {
        at++;
        while (at < s.len && is_continuation(s.ptr[at])) at++;
    }
    return at;
}

int32_t jstr_next(Str s, size_t *at) {
    utf8proc_int32_t cp = 0;
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)s.ptr + *at, (utf8proc_ssize_t)(s.len - *at), &cp);
    *at += n > 0 ? (size_t)n : 1;
    return cp;
}

int32_t jstr_prev(Str s, size_t *at) {
    size_t start = *at - 1;
    while (start > 0 && is_continuation(s.ptr[start])) start--;
    *at = start;
    size_t from = start;
    return jstr_next(s, &from);
}

Str jstr_sub(Str s, size_t from, size_t to) {
    return to > from ? str_sub(s, from, to - from) : STR("");
}

static bool strips(int32_t cp, const Str *chars) {
    if (!chars) return jchar_is_space(cp);
    for (size_t at = 0; at < chars->len;)
        if (jstr_next(*chars, &at) == cp) return true;
    return false;
}

Str jstr_strip(Str s, const Str *chars, JStripSide side) {
    size_t from = 0, to = s.len;
    while ((side & STRIP_LEFT) && from < to) {
        size_t next = from;
        if (!strips(jstr_next(s, &next), chars)) break;
        from = next;
    }
    while ((side & STRIP_RIGHT) && to > from) {
        size_t prev = to;
        if (!strips(jstr_prev(s, &prev), chars)) break;
        to = prev;
    }
    return jstr_sub(s, from, to);
}

ptrdiff_t jstr_find(Jinja *j, Str s, Str what, size_t from) {
    if (from > s.len || what.len > s.len - from) return JSTR_NOT_FOUND;
    if (!what.len) return (ptrdiff_t)from;
    size_t last = s.len - what.len;
    size_t at = from;
    while (at <= last) {
        const char *hit = memchr(s.ptr + at, what.ptr[0], last - at + 1);
        if (!hit) break;
        at = (size_t)(hit - s.ptr);
        jinja_step_text(j, what.len);
        if (!memcmp(hit, what.ptr, what.len)) {
            jinja_step_text(j, at - from);
            return hit - s.ptr;
        }
        at++;
    }
    jinja_step_text(j, s.len - from);
    return JSTR_NOT_FOUND;
}

ptrdiff_t jstr_rfind(Jinja *j, Str s, Str what) {
    if (what.len > s.len) return JSTR_NOT_FOUND;
    jinja_step_text(j, s.len);
    for (size_t at = s.len - what.len;; at--) {
        jinja_step_text(j, what.len);
        if (!what.len || !memcmp(s.ptr + at, what.ptr, what.len)) return (ptrdiff_t)at;
        if (!at) return JSTR_NOT_FOUND;
    }
}

size_t jstr_count_of(Jinja *j, Str s, Str what) {
    if (!what.len) return jstr_count(s) + 1;
    size_t n = 0;
    ptrdiff_t at = 0;
    while ((at = jstr_find(j, s, what, (size_t)at)) >= 0) {
        at += (ptrdiff_t)what.len;
        n++;
    }
    return n;
}

// An empty `old` matches between all code points, as in Python.
static Str replace_nothing(Jinja *j, Str s, Str with, int64_t limit) {
    JText t = {0};
    size_t at = 0;
    for (;;) {
        if (limit != 0) jtext_put(j, &t, with), limit--;
        if (at >= s.len) break;
        size_t from = at;
        jstr_next(s, &at);
        jtext_put(j, &t, jstr_sub(s, from, at));
        jinja_step(j, 1);
    }
    return jtext_finish(j, &t);
}

Str jstr_replace(Jinja *j, Str s, Str old, Str with, int64_t limit) {
    if (!old.len) return replace_nothing(j, s, with, limit);
    JText t = {0};
    size_t from = 0;
    ptrdiff_t hit;
    while (limit != 0 && (hit = jstr_find(j, s, old, from)) >= 0) {
        jtext_put(j, &t, jstr_sub(s, from, (size_t)hit));
        jtext_put(j, &t, with);
        from = (size_t)hit + old.len;
        limit--;
    }
    if (!from) return s;
    jtext_put(j, &t, str_skip(s, from));
    return jtext_finish(j, &t);
}

static bool ends_line(int32_t cp) {
    return (cp >= 0x0A && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x1E) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

Str jstr_line(Str s, size_t *at, size_t *end) {
    size_t from = *at;
    *end = 0;
    while (*at < s.len) {
        size_t before = *at;
        int32_t cp = jstr_next(s, at);
        if (!ends_line(cp)) continue;
        if (cp == '\r' && *at < s.len && s.ptr[*at] == '\n') ++*at;
        *end = *at - before;
        return jstr_sub(s, from, before);
    }
    return jstr_sub(s, from, *at);
}

static void put_upper(Jinja *j, JText *t, int32_t cp) {
    // The one full mapping that occurs in practice; utf8proc knows only single code points.
    if (cp == 0xDF)
        jtext_puts(j, t, "SS");
    else
        jtext_put_code_point(j, t, utf8proc_toupper(cp));
}

static void put_title(Jinja *j, JText *t, int32_t cp) {
    if (cp == 0xDF)
        jtext_puts(j, t, "Ss");
    else
        jtext_put_code_point(j, t, utf8proc_totitle(cp));
}

static void put_lower(Jinja *j, JText *t, int32_t cp) {
    jtext_put_code_point(j, t, utf8proc_tolower(cp));
}

static void put_swapped(Jinja *j, JText *t, int32_t cp) {
    if (utf8proc_category(cp) == UTF8PROC_CATEGORY_LU)
        put_lower(j, t, cp);
    else
        put_upper(j, t, cp);
}

typedef void PutChar(Jinja *j, JText *t, int32_t cp);

static Str map_chars(Jinja *j, Str s, PutChar *first, PutChar *rest) {
    JText t = {0};
    for (size_t at = 0; at < s.len;) {
        PutChar *put = at ? rest : first;
        put(j, &t, jstr_next(s, &at));
    }
    jinja_step_text(j, s.len * 4);
    return jtext_finish(j, &t);
}

Str jstr_upper(Jinja *j, Str s) {
    return map_chars(j, s, put_upper, put_upper);
}

Str jstr_lower(Jinja *j, Str s) {
    return map_chars(j, s, put_lower, put_lower);
}

Str jstr_swapcase(Jinja *j, Str s) {
    return map_chars(j, s, put_swapped, put_swapped);
}

Str jstr_capitalize(Jinja *j, Str s) {
    return map_chars(j, s, put_title, put_lower);
}

static Str title(Jinja *j, Str s, PutChar *first, bool (*is_inside)(int32_t cp)) {
    JText t = {0};
    bool in_word = false;
    for (size_t at = 0; at < s.len;) {
        int32_t cp = jstr_next(s, &at);
        PutChar *put = in_word ? put_lower : first;
        put(j, &t, cp);
        in_word = is_inside(cp);
    }
    jinja_step_text(j, s.len * 4);
    return jtext_finish(j, &t);
}

static bool ends_no_word(int32_t cp) {
    return !(jchar_is_space(cp) || (cp < 128 && cp && strchr("-({[<", cp)));
}

Str jstr_title(Jinja *j, Str s) {
    return title(j, s, put_title, jchar_is_cased);
}

Str jstr_title_words(Jinja *j, Str s) {
    return title(j, s, put_upper, ends_no_word);
}

int jstr_compare(Str a, Str b) {
    size_t n = num_min(a.len, b.len);
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0; // UTF-8 sorts as its code points do
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

bool jchar_is_space(int32_t cp) {
    if (cp < 128) return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 31);
    return cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 ||
           cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

bool jchar_is_alpha(int32_t cp) {
    utf8proc_category_t c = utf8proc_category(cp);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool jchar_is_decimal(int32_t cp) {
    return utf8proc_category(cp) == UTF8PROC_CATEGORY_ND;
}

bool jchar_is_digit(int32_t cp) {
    bool raised = cp == 0xB2 || cp == 0xB3 || cp == 0xB9 || cp == 0x2070 || (cp >= 0x2074 && cp <= 0x2079);
    return jchar_is_decimal(cp) || raised || (cp >= 0x2080 && cp <= 0x2089) || (cp >= 0x2460 && cp <= 0x2468);
}

bool jchar_is_numeric(int32_t cp) {
    utf8proc_category_t c = utf8proc_category(cp);
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool jchar_is_word(int32_t cp) {
    return cp == '_' || jchar_is_alpha(cp) || jchar_is_numeric(cp);
}

bool jchar_is_printable(int32_t cp) {
    if (cp == ' ') return true;
    utf8proc_category_t c = utf8proc_category(cp);
    return c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS;
}

bool jchar_is_cased(int32_t cp) {
    utf8proc_category_t c = utf8proc_category(cp);
    return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}
