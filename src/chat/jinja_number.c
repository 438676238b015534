#include "chat/jinja_number.h"

#include "chat/jinja_ops.h"
#include "chat/jinja_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum { MAX_DIGITS = 400 };

// Without the white space around it and with no more than single underscores between digits.
static bool copy_digits(Str s, char out[static MAX_DIGITS]) {
    size_t n = 0;
    s = jstr_strip(s, NULL, STRIP_BOTH);
    for (size_t i = 0; i < s.len; i++) {
        bool between = i > 0 && i + 1 < s.len && isalnum((unsigned char)s.ptr[i - 1]) &&
                       isalnum((unsigned char)s.ptr[i + 1]);
        if (s.ptr[i] == '_' && between) continue;
        if (n == MAX_DIGITS - 1 || s.ptr[i] == '_' || isspace((unsigned char)s.ptr[i]) || !s.ptr[i])
            return false;
        out[n++] = s.ptr[i];
    }
    out[n] = '\0';
    return n > 0;
}

bool jinja_parse_int(Str s, int64_t base, int64_t *out) {
    char digits[MAX_DIGITS];
    char *end;
    if (!copy_digits(s, digits) || base < 2 || base > 36) return false;
    char *from = digits + (digits[0] == '-' || digits[0] == '+');
    char mark = (char)tolower((unsigned char)from[0] == '0' ? from[1] : 0);
    if ((base == 2 && mark == 'b') || (base == 8 && mark == 'o')) { // strtoll knows only 0x
        memmove(from, from + 2, strlen(from + 2) + 1);
        if (!isdigit((unsigned char)*from)) return false;
    }
    if (!isalnum((unsigned char)*from)) return false;
    errno = 0;
    *out = strtoll(digits, &end, (int)base);
    return !errno && !*end && end != digits;
}

bool jinja_parse_float(Str s, double *out) {
    char digits[MAX_DIGITS];
    char *end;
    if (!copy_digits(s, digits)) return false;
    if (strpbrk(digits, "xXpP(")) return false; // hexadecimal and nan(…) are C's, not Python's
    *out = strtod(digits, &end);
    return !*end && end != digits;
}

// ---- sorting

JValue jinja_sort_key(Jinja *j, JValue item, const JSort *sort) {
    bool whole = sort->path.kind == J_MISSING || sort->path.kind == J_NONE;
    JValue key = whole ? item : jinja_path(j, item, sort->path);
    if (key.kind == J_STR && !sort->case_sensitive) key.s = jstr_lower(j, key.s);
    return key;
}

typedef struct Keyed {
    JValue key, item;
} Keyed;

static bool goes_before(Jinja *j, const Keyed *a, const Keyed *b, bool reverse) {
    int order = jv_compare(j, a->key, b->key, "<");
    return reverse ? order > 0 : order < 0;
}

static void merge(Jinja *j, const Keyed *from, Keyed *to, size_t low, size_t middle, size_t high,
                  bool reverse) {
    size_t a = low, b = middle;
    for (size_t i = low; i < high; i++) {
        bool right = a == middle || (b < high && goes_before(j, &from[b], &from[a], reverse));
        to[i] = right ? from[b++] : from[a++];
    }
}

// A merge sort of our own: a comparison may fail, and qsort cannot be left in the middle.
void jinja_sort(Jinja *j, JList *l, const JSort *sort) {
    Keyed *from = jinja_alloc_array(j, l->n, sizeof *from);
    Keyed *to = jinja_alloc_array(j, l->n, sizeof *to);
    for (size_t i = 0; i < l->n; i++) from[i] = (Keyed){jinja_sort_key(j, l->at[i], sort), l->at[i]};
    for (size_t width = 1; width < l->n; width *= 2) {
        for (size_t low = 0; low < l->n; low += 2 * width) {
            size_t middle = low + width < l->n ? low + width : l->n;
            size_t high = middle + width < l->n ? middle + width : l->n;
            merge(j, from, to, low, middle, high, sort->reverse);
        }
        jinja_step(j, l->n);
        Keyed *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < l->n; i++) l->at[i] = from[i].item;
}
