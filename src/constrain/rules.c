#include "constrain/rules.h"

#include "constrain/grow.h"

#include <stdarg.h>
#include <stdio.h>

static const uint32_t last_code_point = 0x10FFFF;
static const CodeRange surrogates = {0xD800, 0xDFFF};

Rules *rules_new(Err *err) {
    Rules *r = calloc(1, sizeof *r);
    if (r) {
        rx_seq(r, NULL, 0); // RX_NOTHING_LEFT
        if (!r->failed) return r;
    }
    rules_free(r);
    err_set(err, ERR_NOMEM, "out of memory for a grammar");
    return NULL;
}

void rules_free(Rules *r) {
    if (!r) return;
    for (int32_t i = 0; i < r->n_rules; i++) free(r->rules[i].name);
    free(r->rules);
    free(r->rx);
    free(r->kids);
    free(r->ranges);
    buf_free(&r->bytes);
    free(r);
}

RxId rules_fail(Rules *r, ErrCode code, const char *fmt, ...) {
    char text[sizeof r->err.msg];
    if (r->failed) return RX_NOTHING_LEFT;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->failed = true;
    err_set(&r->err, code, "%s", text);
    return RX_NOTHING_LEFT;
}

static RxId too_large(Rules *r) {
    return rules_fail(r, ERR_LIMIT, "the grammar is too large");
}

static RxId add(Rules *r, Rx rx) {
    if (r->failed) return RX_NOTHING_LEFT;
    if (rx.height > RULES_MAX_HEIGHT) return rules_fail(r, ERR_LIMIT, "the grammar is nested too deeply");
    if (!grow(&r->rx, &r->cap_rx, r->n_rx, sizeof *r->rx, RULES_MAX_RX)) return too_large(r);
    r->rx[r->n_rx] = rx;
    return r->n_rx++;
}

RxId rx_bytes(Rules *r, Str text) {
    size_t first = r->bytes.len;
    if (text.len == 0 || r->failed) return RX_NOTHING_LEFT;
    if (text.len > RULES_MAX_BYTES - first) return too_large(r);
    buf_put(&r->bytes, text);
    if (r->bytes.failed) return too_large(r);
    return add(r, (Rx){.kind = RX_BYTES, .first = (int32_t)first, .n = (int32_t)text.len});
}

RxId rx_text(Rules *r, const char *text) {
    return rx_bytes(r, str_from(text));
}

static int by_start(const void *a, const void *b) {
    const CodeRange *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

int32_t code_ranges_tidy(CodeRange *ranges, int32_t n) {
    int32_t kept = 0;
    if (n > 0) qsort(ranges, (size_t)n, sizeof *ranges, by_start);
    for (int32_t i = 0; i < n; i++) {
        if (kept > 0 && ranges[i].lo <= ranges[kept - 1].hi + 1) {
            if (ranges[i].hi > ranges[kept - 1].hi) ranges[kept - 1].hi = ranges[i].hi;
        } else {
            ranges[kept++] = ranges[i];
        }
    }
    return kept;
}

static bool push_range(Rules *r, uint32_t lo, uint32_t hi) {
    if (lo > hi) return true;
    if (!grow(&r->ranges, &r->cap_ranges, r->n_ranges, sizeof *r->ranges, RULES_MAX_RX)) return false;
    r->ranges[r->n_ranges++] = (CodeRange){lo, hi};
    return true;
}

// Surrogates have no UTF-8.
static bool push_code_points(Rules *r, uint32_t lo, uint32_t hi) {
    if (hi > last_code_point) hi = last_code_point;
    uint32_t low_end = hi < surrogates.lo ? hi : surrogates.lo - 1;
    uint32_t high_start = lo > surrogates.hi ? lo : surrogates.hi + 1;
    return (lo >= surrogates.lo || push_range(r, lo, low_end)) && push_range(r, high_start, hi);
}

static RxId add_class(Rules *r, const CodeRange *ranges, int32_t n, bool negated) {
    int32_t first = r->n_ranges;
    uint32_t from = 0;
    bool ok = true;
    if (r->failed) return RX_NOTHING_LEFT;
    CodeRange *tidy = malloc(((size_t)n + 1) * sizeof *tidy);
    if (!tidy) return too_large(r);
    if (n) memcpy(tidy, ranges, (size_t)n * sizeof *tidy);
    n = code_ranges_tidy(tidy, n);
    for (int32_t i = 0; i < n && ok; i++) {
        if (!negated)
            ok = push_code_points(r, tidy[i].lo, tidy[i].hi);
        else if (tidy[i].lo > from)
            ok = push_code_points(r, from, tidy[i].lo - 1);
        from = tidy[i].hi + 1;
    }
    if (negated && ok && from <= last_code_point) ok = push_code_points(r, from, last_code_point);
    free(tidy);
    if (!ok) return too_large(r);
    if (r->n_ranges == first) return rules_fail(r, ERR_INVALID, "a character class matches no character");
    return add(r, (Rx){.kind = RX_CLASS, .first = first, .n = r->n_ranges - first});
}

RxId rx_class(Rules *r, const CodeRange *ranges, int32_t n) {
    return add_class(r, ranges, n, false);
}

RxId rx_not_class(Rules *r, const CodeRange *ranges, int32_t n) {
    return add_class(r, ranges, n, true);
}

static RxId add_list(Rules *r, RxKind kind, const RxId *parts, int32_t n) {
    Rx rx = {.kind = (uint8_t)kind, .first = r->n_kids};
    if (r->failed) return RX_NOTHING_LEFT;
    for (int32_t i = 0; i < n; i++) {
        if (kind == RX_SEQ && parts[i] == RX_NOTHING_LEFT) continue;
        if (!grow(&r->kids, &r->cap_kids, r->n_kids, sizeof *r->kids, RULES_MAX_RX)) return too_large(r);
        r->kids[r->n_kids++] = parts[i];
        int16_t height = (int16_t)(r->rx[parts[i]].height + 1);
        if (height > rx.height) rx.height = height;
    }
    rx.n = r->n_kids - rx.first;
    if (rx.n == 1) return r->kids[--r->n_kids];
    if (rx.n == 0 && r->n_rx > 0) return RX_NOTHING_LEFT;
    if (rx.n == 0) rx.kind = RX_EMPTY;
    return add(r, rx);
}

RxId rx_seq(Rules *r, const RxId *parts, int32_t n) {
    return add_list(r, RX_SEQ, parts, n);
}

RxId rx_alt(Rules *r, const RxId *parts, int32_t n) {
    CHECK(n >= 1);
    return add_list(r, RX_ALT, parts, n);
}

RxId rx_repeat(Rules *r, RxId what, int32_t min, int32_t max) {
    if (r->failed || what == RX_NOTHING_LEFT || max == 0) return RX_NOTHING_LEFT;
    if (min == 1 && max == 1) return what;
    if (min > RULES_MAX_COUNT || max > RULES_MAX_COUNT)
        return rules_fail(r, ERR_LIMIT, "a repetition of more than %d", RULES_MAX_COUNT);
    return add(r, (Rx){.kind = RX_REPEAT,
                       .height = (int16_t)(r->rx[what].height + 1),
                       .first = what,
                       .min = min,
                       .max = max});
}

RxId rx_optional(Rules *r, RxId what) {
    return rx_repeat(r, what, 0, 1);
}

RxId rx_rule(Rules *r, int32_t rule) {
    return add(r, (Rx){.kind = RX_RULE, .first = rule});
}

int32_t rules_add(Rules *r, Str name) {
    if (r->failed) return 0;
    if (!grow(&r->rules, &r->cap_rules, r->n_rules, sizeof *r->rules, RULES_MAX_RULES)) return too_large(r);
    char *copy = strndup(name.ptr, name.len);
    if (!copy) return too_large(r);
    r->rules[r->n_rules] = (Rule){copy, -1};
    return r->n_rules++;
}

void rules_define(Rules *r, int32_t rule, RxId body) {
    if (r->failed) return;
    CHECK(rule >= 0 && rule < r->n_rules && r->rules[rule].body < 0);
    r->rules[rule].body = body;
}

void rx_push(Rules *r, RxList *list, RxId id) {
    if (r->failed) return;
    if (grow(&list->ids, &list->cap, list->n, sizeof *list->ids, RULES_MAX_RX))
        list->ids[list->n++] = id;
    else
        too_large(r);
}
