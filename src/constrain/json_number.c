#include "constrain/json_number.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAX_FRACTION = 9 };

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

static RxId any_fraction(Rules *r) {
    return RX_SEQ_OF(r, rx_text(r, "."), any_digits(r, 1, MAX_FRACTION));
}

static RxId zero_fraction(Rules *r) {
    return RX_SEQ_OF(r, rx_text(r, "."), rx_repeat(r, rx_text(r, "0"), 1, MAX_FRACTION));
}

// Above zero.
static RxId some_fraction(Rules *r) {
    RxId choices[MAX_FRACTION];
    for (int zeros = 0; zeros < MAX_FRACTION; zeros++)
        choices[zeros] = RX_SEQ_OF(r, rx_text(r, "."), rx_repeat(r, rx_text(r, "0"), zeros, zeros),
                                   digit_range(r, 1, 9), any_digits(r, 0, MAX_FRACTION - 1 - zeros));
    return rx_alt(r, choices, MAX_FRACTION);
}

// Magnitudes, with the bounds or without them.
static RxId decimals(Rules *r, Span s, bool above_lo, bool below_hi) {
    RxId choices[5];
    int32_t n = 0;
    Span whole = s;
    bool bounded = !s.endless, fine = !bounded || s.hi <= fine_numbers;
    if (bounded && (s.lo > s.hi || (s.lo == s.hi && (above_lo || below_hi)))) return JSON_NO_NUMBER;
    if (above_lo) whole.lo++;
    if (below_hi && bounded) whole.hi--;
    if (!bounded || whole.lo <= whole.hi) {
        choices[n++] = span_digits(r, whole);
        // Every whole number goes on with zeros, and with any fraction where the next is still within.
        choices[n++] = RX_SEQ_OF(r, span_digits(r, whole), zero_fraction(r));
        Span inner = {whole.lo, s.hi - 1, s.endless};
        if (below_hi && !fine && inner.hi > 0) inner.hi--;
        if (!bounded || (s.hi > 0 && inner.lo <= inner.hi))
            choices[n++] = RX_SEQ_OF(r, span_digits(r, inner), any_fraction(r));
    }
    if (above_lo && s.lo < fine_numbers && (!bounded || s.lo < s.hi))
        choices[n++] = RX_SEQ_OF(r, span_digits(r, (Span){s.lo, s.lo, false}), some_fraction(r));
    return join(r, choices, n);
}

RxId json_number_within(Rules *r, const NumberBounds *b) {
    RxId choices[2];
    int32_t n = 0;
    Span s;
    if (positive_span(b, &s)) {
        RxId part = decimals(r, s, b->has_min && b->min >= 0 && b->above_min, b->has_max && b->below_max);
        if (part != JSON_NO_NUMBER) choices[n++] = part;
    }
    if (negative_span(b, &s)) {
        bool to_zero = !b->has_max || b->max >= 0;
        RxId part = decimals(r, s, to_zero || b->below_max, b->has_min && b->above_min);
        if (part != JSON_NO_NUMBER) choices[n++] = with_minus(r, part);
    }
    return join(r, choices, n);
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
