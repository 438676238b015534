#include "constrain/json_number.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

// Beyond it, doubles with nine digits behind the point are not told apart.
static const uint64_t fine_numbers = 1000000;

// Magnitudes from lo to hi, or without an end.
typedef struct Span {
    uint64_t lo, hi;
    bool endless;
} Span;

static RxId digit_range(Rules *r, int lo, int hi) {
    return rx_class(r, &(CodeRange){(uint32_t)('0' + lo), (uint32_t)('0' + hi)}, 1);
}

static RxId any_digits(Rules *r, int32_t min, int32_t max) {
    return rx_repeat(r, digit_range(r, 0, 9), min, max);
}

static int write_digits(uint64_t v, char *out) {
    return snprintf(out, 24, "%" PRIu64, v);
}

static bool all_are(const char *digits, int n, char digit) {
    for (int i = 0; i < n; i++)
        if (digits[i] != digit) return false;
    return true;
}

// Digit strings of length n from lo to hi, which have it.
static RxId same_length(Rules *r, const char *lo, const char *hi, int n) {
    RxId choices[3];
    int32_t n_choices = 0;
    int first = lo[0] - '0', last = hi[0] - '0';
    if (n == 1) return digit_range(r, first, last);
    if (first == last)
        return RX_SEQ_OF(r, digit_range(r, first, first), same_length(r, lo + 1, hi + 1, n - 1));
    if (!all_are(lo + 1, n - 1, '0')) {
        RxId rest = same_length(r, lo + 1, "99999999999999999999", n - 1);
        choices[n_choices++] = RX_SEQ_OF(r, digit_range(r, first, first), rest);
        first++;
    }
    RxId end = RX_NOTHING_LEFT;
    if (!all_are(hi + 1, n - 1, '9')) {
        RxId rest = same_length(r, "00000000000000000000", hi + 1, n - 1);
        end = RX_SEQ_OF(r, digit_range(r, last, last), rest);
        last--;
    }
    if (first <= last)
        choices[n_choices++] = RX_SEQ_OF(r, digit_range(r, first, last), any_digits(r, n - 1, n - 1));
    if (end != RX_NOTHING_LEFT) choices[n_choices++] = end;
    return rx_alt(r, choices, n_choices);
}

// Decimal numbers without leading zeros.
static RxId span_digits(Rules *r, Span s) {
    char lo[24], hi[24], nines[24], ones[24];
    int n_lo = write_digits(s.lo, lo), n_hi = s.endless ? n_lo : write_digits(s.hi, hi);
    RxId choices[24];
    int32_t n_choices = 0;
    for (int n = n_lo; n <= n_hi; n++) {
        snprintf(nines, sizeof nines, "%.*s", n, "99999999999999999999");
        snprintf(ones, sizeof ones, "1%.*s", n - 1, "00000000000000000000");
        bool last = n == n_hi && !s.endless;
        choices[n_choices++] = same_length(r, n == n_lo ? lo : ones, last ? hi : nines, n);
    }
    int32_t most = n_lo < JSON_MAX_DIGITS ? JSON_MAX_DIGITS : n_lo + 1;
    if (s.endless) choices[n_choices++] = RX_SEQ_OF(r, digit_range(r, 1, 9), any_digits(r, n_lo, most - 1));
    return rx_alt(r, choices, n_choices);
}

// ---- signs

static uint64_t magnitude(int64_t v) {
    return v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
}

// The part of the bounds at or above zero, and the one below it as magnitudes. false: there is none.
static bool positive_span(const NumberBounds *b, Span *s) {
    *s = (Span){b->has_min && b->min > 0 ? (uint64_t)b->min : 0, b->has_max ? (uint64_t)b->max : 0,
                !b->has_max};
    return s->endless || (b->max >= 0 && s->lo <= s->hi);
}

static bool negative_span(const NumberBounds *b, Span *s) {
    *s = (Span){b->has_max && b->max < 0 ? magnitude(b->max) : 0, magnitude(b->min), !b->has_min};
    return s->endless || (b->min < 0 && s->lo <= s->hi);
}

static RxId with_minus(Rules *r, RxId rx) {
    return RX_SEQ_OF(r, rx_text(r, "-"), rx);
}

static RxId join(Rules *r, const RxId *choices, int32_t n) {
    return n ? rx_alt(r, choices, n) : JSON_NO_NUMBER;
}

RxId json_number_whole(Rules *r, const NumberBounds *b) {
    RxId choices[2];
    int32_t n = 0;
    Span s;
    if (positive_span(b, &s)) choices[n++] = span_digits(r, s);
    if (negative_span(b, &s)) {
        if (s.lo == 0) s.lo = 1;
        if (s.endless || s.lo <= s.hi) choices[n++] = with_minus(r, span_digits(r, s));
    }
    return join(r, choices, n);
}

// ---- fractions
//
// Digits behind the point between two bounds, digit by digit: as long as those so far are the bound's own,
// the next may not pass the bound's next.

typedef struct Fraction {
    const char *lo, *hi; // digits; hi may be NULL: up to the next whole number
    bool above_lo, below_hi;
} Fraction;

static int digit_at(const char *digits, size_t i) {
    return i < strlen(digits) ? digits[i] - '0' : 0;
}

// May it end behind the first `at` digits? at_lo, at_hi: they are those of the bound.
static bool may_end(const Fraction *f, size_t at, bool at_lo, bool at_hi) {
    if (at_lo && (at < strlen(f->lo) || f->above_lo)) return false;
    return !at_hi || at < strlen(f->hi) || !f->below_hi;
}

static RxId more_digits(Rules *r, const Fraction *f, size_t at, bool at_lo, bool at_hi);

// One digit of lo … hi and what may follow.
static RxId digit_and_more(Rules *r, const Fraction *f, size_t at, int lo, int hi, bool at_lo, bool at_hi) {
    RxId digit = digit_range(r, lo, hi), more = more_digits(r, f, at + 1, at_lo, at_hi);
    bool ends = may_end(f, at + 1, at_lo, at_hi);
    if (more == JSON_NO_NUMBER) return ends ? digit : JSON_NO_NUMBER;
    return RX_SEQ_OF(r, digit, ends ? rx_optional(r, more) : more);
}

// At least one more digit.
static RxId more_digits(Rules *r, const Fraction *f, size_t at, bool at_lo, bool at_hi) {
    RxId ways[3];
    int32_t n = 0;
    if (at == JSON_MAX_FRACTION) return JSON_NO_NUMBER;
    if (!at_lo && !at_hi) return any_digits(r, 1, JSON_MAX_FRACTION - (int32_t)at);
    int first = at_lo ? digit_at(f->lo, at) : 0, last = at_hi ? digit_at(f->hi, at) : 9;
    if (first > last) return JSON_NO_NUMBER;
    if (at_lo && at_hi && first == last) return digit_and_more(r, f, at, first, first, true, true);
    if (at_lo) ways[n++] = digit_and_more(r, f, at, first, first, true, false);
    int from = first + at_lo, to = last - at_hi;
    if (from <= to) ways[n++] = digit_and_more(r, f, at, from, to, false, false);
    if (at_hi) ways[n++] = digit_and_more(r, f, at, last, last, false, true);
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (ways[i] != JSON_NO_NUMBER) ways[kept++] = ways[i];
    return join(r, ways, kept);
}

// A whole number with all the fractions, or none, that lie between the bounds.
static RxId with_fractions(Rules *r, RxId whole, const Fraction *f) {
    RxId digits = more_digits(r, f, 0, true, f->hi != NULL);
    bool alone = may_end(f, 0, true, f->hi != NULL);
    if (digits == JSON_NO_NUMBER) return alone ? whole : JSON_NO_NUMBER;
    RxId fraction = RX_SEQ_OF(r, rx_text(r, "."), digits);
    return RX_SEQ_OF(r, whole, alone ? rx_optional(r, fraction) : fraction);
}

static RxId one_whole(Rules *r, uint64_t n) {
    return span_digits(r, (Span){n, n, false});
}

static void push(RxId *ways, int32_t *n, RxId way) {
    if (way != JSON_NO_NUMBER) ways[(*n)++] = way;
}

// Magnitudes from lo to hi (not given: endless).
static RxId magnitudes(Rules *r, const Decimal *lo, const Decimal *hi) {
    RxId ways[4];
    int32_t n = 0;
    Fraction free = {.lo = ""}, from = {lo->fraction, NULL, lo->excluded, false},
             to = {"", hi->fraction, false, hi->excluded};
    if (hi->given && lo->whole >= hi->whole) {
        Fraction both = {lo->fraction, hi->fraction, lo->excluded, hi->excluded};
        return lo->whole == hi->whole ? with_fractions(r, one_whole(r, lo->whole), &both) : JSON_NO_NUMBER;
    }
    bool coarse = hi->excluded && hi->whole > fine_numbers; // just below it only whole numbers
    if (!lo->excluded || lo->whole <= fine_numbers)
        push(ways, &n, with_fractions(r, one_whole(r, lo->whole), &from));
    Span inner = {lo->whole + 1, hi->whole - 1 - coarse, !hi->given};
    if (inner.endless || inner.lo <= inner.hi)
        push(ways, &n, with_fractions(r, span_digits(r, inner), &free));
    if (coarse && hi->whole - 1 > lo->whole) push(ways, &n, one_whole(r, hi->whole - 1));
    if (hi->given) push(ways, &n, with_fractions(r, one_whole(r, hi->whole), &to));
    return join(r, ways, n);
}

RxId json_number_within(Rules *r, const DecimalBounds *b) {
    RxId ways[2];
    int32_t n = 0;
    const Decimal zero = {.given = true}, above_zero = {.given = true, .excluded = true};
    bool no_positive = b->max.given && b->max.negative, no_negative = b->min.given && !b->min.negative;
    if (!no_positive) push(ways, &n, magnitudes(r, no_negative ? &b->min : &zero, &b->max));
    if (!no_negative) {
        RxId part = magnitudes(r, no_positive ? &b->max : &above_zero, &b->min);
        push(ways, &n, part == JSON_NO_NUMBER ? part : with_minus(r, part));
    }
    return join(r, ways, n);
}

bool decimal_of(double v, Decimal *out) {
    char text[400];
    *out = (Decimal){.given = true, .negative = v < 0};
    if (v < 0) v = -v;
    for (int digits = 0; digits <= JSON_MAX_FRACTION; digits++) {
        snprintf(text, sizeof text, "%.*f", digits, v);
        if (strtod(text, NULL) != v) continue;
        char *point = strchr(text, '.');
        if (point) snprintf(out->fraction, sizeof out->fraction, "%s", point + 1);
        out->whole = strtoull(text, NULL, 10);
        return out->whole <= fine_numbers || !out->fraction[0];
    }
    return false;
}

// ---- multiples

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

static RxId listed_multiples(Rules *r, int64_t m, int64_t first, int64_t last) {
    RxId texts[JSON_MAX_LISTED];
    int32_t n = 0;
    for (int64_t k = first; k <= last; k++) {
        char text[32];
        snprintf(text, sizeof text, "%" PRId64, k * m);
        texts[n++] = rx_text(r, text);
    }
    return join(r, texts, n);
}

// A rule for each remainder: how to go on to a multiple from there.
static RxId all_multiples(Rules *r, int64_t m, bool negative_too) {
    int32_t first = 0;
    for (int64_t k = 0; k < m; k++) {
        int32_t rule = rules_add(r, STR("multiple"));
        if (k == 0) first = rule;
    }
    RxId starts[9];
    for (int32_t k = 0; k < m; k++) {
        RxId ways[11];
        for (int32_t d = 0; d < 10; d++)
            ways[d] = RX_SEQ_OF(r, digit_range(r, d, d), rx_rule(r, first + (int32_t)((k * 10 + d) % m)));
        ways[10] = RX_NOTHING_LEFT;
        rules_define(r, first + k, rx_alt(r, ways, k == 0 ? 11 : 10));
    }
    for (int32_t d = 1; d < 10; d++)
        starts[d - 1] = RX_SEQ_OF(r, digit_range(r, d, d), rx_rule(r, first + (int32_t)(d % m)));
    RxId digits = rx_alt(r, starts, 9);
    if (negative_too) digits = RX_SEQ_OF(r, rx_optional(r, rx_text(r, "-")), digits);
    return RX_ALT_OF(r, rx_text(r, "0"), digits);
}

RxId json_number_multiples(Rules *r, int64_t m, const NumberBounds *b, bool *unsupported) {
    *unsupported = false;
    if (m == 1) return json_number_whole(r, b);
    if (b->has_min && b->has_max) {
        int64_t first = -floor_div(-b->min, m), last = floor_div(b->max, m);
        if (first > last) return JSON_NO_NUMBER;
        if (last - first < JSON_MAX_LISTED) return listed_multiples(r, m, first, last);
    } else if (m <= JSON_MAX_MULTIPLE && !b->has_max && (!b->has_min || b->min == 0)) {
        return all_multiples(r, m, !b->has_min);
    }
    *unsupported = true;
    return JSON_NO_NUMBER;
}
