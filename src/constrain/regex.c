#include "constrain/regex.h"

#include "base/utf8.h"
#include "constrain/grow.h"

enum { MAX_DEPTH = 60, MAX_CLASS = 1 << 12 };

static const int64_t longest = 1 << 30;

typedef struct Parser {
    Str text;
    size_t at;
    int depth;
    CharForm form;
    bool whole;
    Rules *r;
    CodeRange *ranges; // of the class that is read
    int32_t n_ranges, cap_ranges;
} Parser;

static const CodeRange digits[] = {{'0', '9'}};
static const CodeRange word[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const CodeRange space[] = {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                                  {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                  {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
static const CodeRange line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static Regex parse_alternatives(Parser *p, bool top);

static bool fail(Parser *p, const char *what) {
    rules_fail(p->r, ERR_INVALID, "in the regular expression, at character %zu: %s", p->at + 1, what);
    return false;
}

static bool at_end(const Parser *p) {
    return p->at >= p->text.len;
}

static char peek(const Parser *p) {
    return at_end(p) ? '\0' : p->text.ptr[p->at];
}

static bool skip(Parser *p, const char *what) {
    if (!str_starts_with(str_skip(p->text, p->at), str_from(what))) return false;
    p->at += strlen(what);
    return true;
}

// ---- lengths

static int64_t add_length(int64_t a, int64_t b) {
    if (a == REGEX_ENDLESS || b == REGEX_ENDLESS) return REGEX_ENDLESS;
    return a + b < longest ? a + b : longest;
}

static int64_t times_length(int64_t a, int64_t n) {
    if (a == 0 || n == 0) return 0;
    if (a == REGEX_ENDLESS || n == RX_ENDLESS) return REGEX_ENDLESS;
    return a > longest / n ? longest : a * n;
}

static Regex one_char(RxId rx) {
    return (Regex){rx, 1, 1};
}

// ---- characters and classes

static bool push_ranges(Parser *p, const CodeRange *ranges, size_t n, bool negated) {
    uint32_t from = 0;
    for (size_t i = 0; i <= n; i++) {
        CodeRange range =
            i < n && !negated ? ranges[i] : (CodeRange){from, i < n ? ranges[i].lo - 1 : 0x10FFFF};
        if (i == n && !negated) break;
        if (i < n) from = ranges[i].hi + 1;
        if (negated && range.lo > range.hi) continue;
        if (!grow(&p->ranges, &p->cap_ranges, p->n_ranges, sizeof *p->ranges, MAX_CLASS))
            return fail(p, "the class is too large");
        p->ranges[p->n_ranges++] = range;
    }
    return true;
}

// \d and the like. false: it is none, nothing was read.
static bool read_class_escape(Parser *p) {
    static const struct {
        char letter;
        const CodeRange *ranges;
        size_t n;
    } classes[] = {{'d', digits, 1}, {'w', word, 4}, {'s', space, sizeof space / sizeof space[0]}};
    Str rest = str_skip(p->text, p->at);
    if (rest.len < 2 || rest.ptr[0] != '\\') return false;
    for (int i = 0; i < 3; i++) {
        bool negated = rest.ptr[1] == classes[i].letter - 'a' + 'A';
        if (rest.ptr[1] != classes[i].letter && !negated) continue;
        p->at += 2;
        push_ranges(p, classes[i].ranges, classes[i].n, negated);
        return true;
    }
    return false;
}

static bool read_hex(Parser *p, int least, int most, uint32_t *out) {
    int n = 0;
    *out = 0;
    for (; n < most; n++, p->at++) {
        char c = peek(p);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) break;
        *out = *out << 4 | (uint32_t)digit;
    }
    if (n < least) return fail(p, "expected a hexadecimal digit");
    if (*out > 0x10FFFF || (*out >= 0xD800 && *out <= 0xDFFF)) return fail(p, "the escape is no character");
    return true;
}

static bool read_escape(Parser *p, uint32_t *out) {
    static const char from[] = "nrtfv", to[] = "\n\r\t\f\v";
    char c = peek(p);
    const char *at = c ? strchr(from, c) : NULL;
    if (!c) return fail(p, "the pattern ends behind a backslash");
    p->at++;
    if (at) {
        *out = (uint8_t)to[at - from];
        return true;
    }
    if (c == '0' && !(peek(p) >= '0' && peek(p) <= '9')) {
        *out = 0;
        return true;
    }
    if (c == 'x') return read_hex(p, 2, 2, out);
    if (c == 'u' && skip(p, "{")) return read_hex(p, 1, 6, out) && (skip(p, "}") || fail(p, "expected }"));
    if (c == 'u') return read_hex(p, 4, 4, out);
    *out = (uint8_t)c;
    if (strchr("^$\\.*+?()[]{}|/-\"'#&%,:;<=>@!`~ _", c)) return true;
    p->at--;
    return fail(p, "this escape is not supported");
}

static bool read_char(Parser *p, uint32_t *out) {
    if (skip(p, "\\")) return read_escape(p, out);
    Utf8Step step = utf8_step(str_skip(p->text, p->at));
    if (step.kind != UTF8_OK) return fail(p, "the pattern is not valid UTF-8");
    *out = step.cp;
    p->at += step.n;
    return true;
}

static bool read_class_item(Parser *p) {
    CodeRange range;
    if (read_class_escape(p)) return !p->r->failed;
    if (skip(p, "\\b"))
        range.lo = '\b';
    else if (!read_char(p, &range.lo))
        return false;
    range.hi = range.lo;
    Str rest = str_skip(p->text, p->at);
    if (rest.len >= 2 && rest.ptr[0] == '-' && rest.ptr[1] != ']') {
        p->at++;
        if (read_class_escape(p)) return fail(p, "a range cannot end with a class");
        if (!read_char(p, &range.hi)) return false;
        if (range.hi < range.lo) return fail(p, "the range ends before it begins");
    }
    return push_ranges(p, &range, 1, false);
}

static Regex parse_class(Parser *p) {
    bool negated = skip(p, "^");
    p->n_ranges = 0;
    while (!at_end(p) && peek(p) != ']')
        if (!read_class_item(p)) return (Regex){0};
    if (!skip(p, "]")) fail(p, "the class has no closing bracket");
    if (p->n_ranges == 0 && !negated) fail(p, "the class is empty");
    if (p->r->failed) return (Regex){0};
    return one_char(char_form_class(p->r, p->form, p->ranges, p->n_ranges, negated));
}

// ---- groups, repetitions

static Regex parse_group(Parser *p) {
    if (p->depth == MAX_DEPTH) fail(p, "groups are nested too deeply");
    if (skip(p, "?<") && peek(p) != '=' && peek(p) != '!') {
        while (!at_end(p) && peek(p) != '>') p->at++;
        skip(p, ">");
    } else if (!skip(p, "?:") && peek(p) == '?') {
        fail(p, "lookahead is not supported");
    } else if ((peek(p) == '=' || peek(p) == '!') && p->text.ptr[p->at - 1] == '<') {
        fail(p, "lookbehind is not supported");
    }
    if (p->r->failed) return (Regex){0};
    p->depth++;
    Regex x = parse_alternatives(p, false);
    p->depth--;
    if (!skip(p, ")")) fail(p, "the group has no closing parenthesis");
    return x;
}

static Regex repeat(Parser *p, Regex x, int32_t min, int32_t max) {
    return (Regex){rx_repeat(p->r, x.rx, min, max), times_length(x.min, min), times_length(x.max, max)};
}

static bool read_number(Parser *p, int32_t *out) {
    int64_t n = 0;
    size_t from = p->at;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        n = n * 10 + (peek(p) - '0');
        if (n > RULES_MAX_COUNT) return fail(p, "the repetition is too long");
    }
    *out = (int32_t)n;
    return p->at > from || fail(p, "expected a number");
}

static Regex parse_counts(Parser *p, Regex x) {
    int32_t min, max;
    if (!read_number(p, &min)) return x;
    max = min;
    if (skip(p, ",")) {
        max = RX_ENDLESS;
        if (peek(p) != '}' && !read_number(p, &max)) return x;
    }
    if (!skip(p, "}")) fail(p, "expected }");
    if (max != RX_ENDLESS && max < min) fail(p, "the repetition's end is below its beginning");
    return repeat(p, x, min, max);
}

static Regex parse_repeats(Parser *p, Regex x) {
    if (skip(p, "?"))
        x = repeat(p, x, 0, 1);
    else if (skip(p, "*"))
        x = repeat(p, x, 0, RX_ENDLESS);
    else if (skip(p, "+"))
        x = repeat(p, x, 1, RX_ENDLESS);
    else if (skip(p, "{"))
        x = parse_counts(p, x);
    else
        return x;
    skip(p, "?");
    if (!at_end(p) && strchr("?*+{", peek(p))) fail(p, "nothing to repeat");
    return x;
}

static Regex parse_atom(Parser *p) {
    uint32_t cp;
    p->n_ranges = 0;
    if (skip(p, "(")) return parse_group(p);
    if (skip(p, "[")) return parse_class(p);
    if (skip(p, ".")) return one_char(char_form_class(p->r, p->form, line_ends, 3, true));
    if (peek(p) == '^' || peek(p) == '$') fail(p, "anchors are supported at the ends of the pattern only");
    if (strchr("?*+{", peek(p))) fail(p, "nothing to repeat");
    if (p->r->failed) return (Regex){0};
    if (!read_class_escape(p)) {
        if (!read_char(p, &cp)) return (Regex){0};
        push_ranges(p, &(CodeRange){cp, cp}, 1, false);
    }
    return one_char(char_form_class(p->r, p->form, p->ranges, p->n_ranges, false));
}

// ---- sequences

static bool ends_alternative(const Parser *p) {
    return at_end(p) || peek(p) == '|' || peek(p) == ')';
}

static bool at_last_anchor(const Parser *p) {
    return peek(p) == '$' && (p->at + 1 == p->text.len || p->text.ptr[p->at + 1] == '|');
}

static Regex any_text(Parser *p) {
    RxId any = char_form_class(p->r, p->form, NULL, 0, true);
    return (Regex){rx_repeat(p->r, any, 0, RX_ENDLESS), 0, REGEX_ENDLESS};
}

static void append(Parser *p, RxList *parts, Regex *all, Regex x) {
    rx_push(p->r, parts, x.rx);
    all->min = add_length(all->min, x.min);
    all->max = add_length(all->max, x.max);
}

// top: not inside a group, where an anchor may begin and end it.
static Regex parse_sequence(Parser *p, bool top) {
    RxList parts = {0};
    Regex all = {0};
    bool first = top && skip(p, "^"), last = false;
    if (top && !first && !p->whole) append(p, &parts, &all, any_text(p));
    while (!p->r->failed && !last && !ends_alternative(p)) {
        last = top && at_last_anchor(p);
        if (last)
            p->at++;
        else
            append(p, &parts, &all, parse_repeats(p, parse_atom(p)));
    }
    if (top && !last && !p->whole) append(p, &parts, &all, any_text(p));
    all.rx = rx_seq(p->r, parts.ids, parts.n);
    free(parts.ids);
    return all;
}

static Regex parse_alternatives(Parser *p, bool top) {
    RxList choices = {0};
    Regex all = parse_sequence(p, top);
    rx_push(p->r, &choices, all.rx);
    while (!p->r->failed && skip(p, "|")) {
        Regex x = parse_sequence(p, top);
        rx_push(p->r, &choices, x.rx);
        if (x.min < all.min) all.min = x.min;
        all.max = x.max == REGEX_ENDLESS || all.max == REGEX_ENDLESS ? REGEX_ENDLESS
                  : x.max > all.max                                  ? x.max
                                                                     : all.max;
    }
    if (!p->r->failed) all.rx = rx_alt(p->r, choices.ids, choices.n);
    free(choices.ids);
    return all;
}

Regex regex_parse(Rules *r, Str text, CharForm form, bool whole) {
    Parser p = {.text = text, .form = form, .whole = whole, .r = r};
    Regex x = parse_alternatives(&p, true);
    if (!r->failed && !at_end(&p)) fail(&p, "there is no group to close");
    free(p.ranges);
    return x;
}
