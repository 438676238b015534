#include "constrain/gbnf.h"

#include "base/utf8.h"
#include "constrain/grow.h"
#include "text/str_index.h"

enum { MAX_DEPTH = 100, MAX_NAME = 128 };

typedef struct Parser {
    Str text;
    size_t at;
    int depth;
    Rules *r;
    CodeRange *ranges; // of the class that is read
    int32_t n_ranges, cap_ranges;
    StrIndex by_name;
    Str *names; // [RULES_MAX_RULES] views, by rule
} Parser;

static RxId parse_alternatives(Parser *p);

// ---- characters

static bool fail_at(Parser *p, size_t at, const char *what) {
    int line = 1, column = 1;
    for (size_t i = 0; i < at && i < p->text.len; i++) {
        if (p->text.ptr[i] == '\n') line++, column = 0;
        if (((uint8_t)p->text.ptr[i] & 0xC0) != 0x80) column++;
    }
    rules_fail(p->r, ERR_INVALID, "line %d, column %d: %s", line, column, what);
    return false;
}

static bool fail(Parser *p, const char *what) {
    return fail_at(p, p->at, what);
}

static char peek(const Parser *p) {
    return p->at < p->text.len ? p->text.ptr[p->at] : '\0';
}

static bool at_end(const Parser *p) {
    return p->at >= p->text.len;
}

static bool skip(Parser *p, const char *word) {
    if (!str_starts_with(str_skip(p->text, p->at), str_from(word))) return false;
    p->at += strlen(word);
    return true;
}

static void skip_space(Parser *p) {
    while (!at_end(p)) {
        char c = peek(p);
        if (c == '#')
            while (!at_end(p) && peek(p) != '\n') p->at++;
        else if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            p->at++;
        else
            return;
    }
}

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static Str read_name(Parser *p) {
    size_t from = p->at;
    while (!at_end(p) && is_name_char(peek(p))) p->at++;
    return str_sub(p->text, from, p->at - from);
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(Parser *p, int n_digits, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < n_digits; i++) {
        int digit = hex_value(peek(p));
        if (at_end(p) || digit < 0) return fail(p, "expected a hexadecimal digit");
        *out = *out << 4 | (uint32_t)digit;
        p->at++;
    }
    if (*out <= 0x10FFFF && (*out < 0xD800 || *out > 0xDFFF)) return true;
    return fail(p, "the escape is no Unicode character");
}

static bool read_escape(Parser *p, uint32_t *out) {
    char c = peek(p);
    p->at++;
    switch (c) {
    case 'n': *out = '\n'; return true;
    case 'r': *out = '\r'; return true;
    case 't': *out = '\t'; return true;
    case 'x': return read_hex(p, 2, out);
    case 'u': return read_hex(p, 4, out);
    case 'U': return read_hex(p, 8, out);
    default: break;
    }
    *out = (uint8_t)c;
    if (c && strchr("\"'\\[]-^", c)) return true;
    p->at--;
    return fail(p, "unknown escape");
}

// One character of a literal or a class.
static bool read_char(Parser *p, uint32_t *out) {
    if (skip(p, "\\")) return read_escape(p, out);
    Utf8Step step = utf8_step(str_skip(p->text, p->at));
    if (step.kind != UTF8_OK) return fail(p, "the text is not valid UTF-8");
    *out = step.cp;
    p->at += step.n;
    return true;
}

// ---- elements

static RxId parse_literal(Parser *p) {
    size_t from = p->at++;
    uint32_t cp;
    Buf text = {0};
    while (!at_end(p) && peek(p) != '"' && peek(p) != '\n' && read_char(p, &cp)) buf_put_utf8(&text, cp);
    RxId id = text.failed ? rules_fail(p->r, ERR_NOMEM, "out of memory") : rx_bytes(p->r, buf_str(&text));
    buf_free(&text);
    if (!skip(p, "\"")) fail_at(p, from, "the literal has no closing quote");
    return id;
}

static bool read_range(Parser *p) {
    CodeRange range;
    if (!read_char(p, &range.lo)) return false;
    range.hi = range.lo;
    Str rest = str_skip(p->text, p->at);
    if (rest.len >= 2 && rest.ptr[0] == '-' && rest.ptr[1] != ']') {
        p->at++;
        if (!read_char(p, &range.hi)) return false;
        if (range.hi < range.lo) return fail(p, "the range ends before it begins");
    }
    if (!grow(&p->ranges, &p->cap_ranges, p->n_ranges, sizeof *p->ranges, RULES_MAX_RX))
        return fail(p, "the class is too large");
    p->ranges[p->n_ranges++] = range;
    return true;
}

static RxId parse_class(Parser *p) {
    size_t from = p->at++;
    bool negated = skip(p, "^");
    p->n_ranges = 0;
    while (!at_end(p) && peek(p) != ']')
        if (!read_range(p)) return RX_NOTHING_LEFT;
    if (!skip(p, "]")) fail_at(p, from, "the class has no closing bracket");
    if (p->n_ranges == 0 && !negated) fail_at(p, from, "the class is empty");
    return negated ? rx_not_class(p->r, p->ranges, p->n_ranges) : rx_class(p->r, p->ranges, p->n_ranges);
}

static RxId parse_group(Parser *p) {
    size_t from = p->at++;
    if (p->depth == MAX_DEPTH) fail(p, "groups are nested too deeply");
    if (p->r->failed) return RX_NOTHING_LEFT;
    p->depth++;
    RxId id = parse_alternatives(p);
    p->depth--;
    if (!skip(p, ")")) fail_at(p, from, "the group has no closing parenthesis");
    return id;
}

static int32_t find_rule(Parser *p, Str name) {
    int32_t rule = str_index_find(&p->by_name, p->names, name);
    if (rule >= 0) return rule;
    rule = rules_add(p->r, name);
    if (p->r->failed) return 0;
    p->names[rule] = name;
    (void)str_index_add(&p->by_name, p->names, rule);
    return rule;
}

static RxId parse_reference(Parser *p) {
    Str name = read_name(p);
    if (name.len > MAX_NAME) fail(p, "the name is too long");
    return rx_rule(p->r, find_rule(p, name));
}

// ---- repetitions

static bool read_count(Parser *p, int32_t *out) {
    int64_t n = 0;
    if (at_end(p) || peek(p) < '0' || peek(p) > '9') return fail(p, "expected a number");
    for (; !at_end(p) && peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        n = n * 10 + (peek(p) - '0');
        if (n > RULES_MAX_COUNT) return fail(p, "the repetition is too long");
    }
    *out = (int32_t)n;
    skip_space(p);
    return true;
}

static RxId parse_counts(Parser *p, RxId what) {
    int32_t min = 0, max;
    p->at++;
    skip_space(p);
    if (peek(p) != ',' && !read_count(p, &min)) return RX_NOTHING_LEFT;
    max = min;
    if (skip(p, ",")) {
        skip_space(p);
        max = RX_ENDLESS;
        if (peek(p) != '}' && !read_count(p, &max)) return RX_NOTHING_LEFT;
    }
    if (max != RX_ENDLESS && max < min) fail(p, "the repetition's end is below its beginning");
    if (!skip(p, "}")) fail(p, "expected }");
    return rx_repeat(p->r, what, min, max);
}

static RxId parse_repeats(Parser *p, RxId id) {
    for (;;) {
        size_t before = p->at;
        skip_space(p);
        switch (peek(p)) {
        case '?': p->at++, id = rx_optional(p->r, id); break;
        case '*': p->at++, id = rx_repeat(p->r, id, 0, RX_ENDLESS); break;
        case '+': p->at++, id = rx_repeat(p->r, id, 1, RX_ENDLESS); break;
        case '{': id = parse_counts(p, id); break;
        default: p->at = before; return id;
        }
        if (p->r->failed) return id;
    }
}

// ---- rules

static bool at_rule(const Parser *p) {
    Parser ahead = *p;
    if (read_name(&ahead).len == 0) return false;
    skip_space(&ahead);
    return skip(&ahead, "::=");
}

// false: the sequence ends here.
static bool parse_element(Parser *p, RxId *id) {
    char c = peek(p);
    if (at_end(p) || c == '|' || c == ')' || at_rule(p)) return false;
    if (c == '"')
        *id = parse_literal(p);
    else if (c == '[')
        *id = parse_class(p);
    else if (c == '(')
        *id = parse_group(p);
    else if (c == '.')
        p->at++, *id = rx_not_class(p->r, NULL, 0);
    else if (is_name_char(c))
        *id = parse_reference(p);
    else
        return fail(p, "expected a literal, a class, a name or a group");
    *id = parse_repeats(p, *id);
    return !p->r->failed;
}

static RxId parse_sequence(Parser *p) {
    RxList parts = {0};
    RxId id = 0;
    for (skip_space(p); parse_element(p, &id); skip_space(p)) rx_push(p->r, &parts, id);
    id = rx_seq(p->r, parts.ids, parts.n);
    free(parts.ids);
    return id;
}

static RxId parse_alternatives(Parser *p) {
    RxList choices = {0};
    do rx_push(p->r, &choices, parse_sequence(p));
    while (!p->r->failed && skip(p, "|"));
    RxId id = p->r->failed ? RX_NOTHING_LEFT : rx_alt(p->r, choices.ids, choices.n);
    free(choices.ids);
    return id;
}

static bool parse_rule(Parser *p) {
    size_t from = p->at;
    Str name = read_name(p);
    if (name.len == 0) return fail(p, "expected the name of a rule");
    if (name.len > MAX_NAME) return fail(p, "the name is too long");
    skip_space(p);
    if (!skip(p, "::=")) return fail(p, "expected ::= behind the name of a rule");
    int32_t rule = find_rule(p, name);
    if (!p->r->failed && p->r->rules[rule].body >= 0) return fail_at(p, from, "the rule is defined twice");
    RxId body = parse_alternatives(p);
    rules_define(p->r, rule, body);
    skip_space(p);
    if (!at_end(p) && !p->r->failed && !at_rule(p)) return fail(p, "expected the next rule");
    return !p->r->failed;
}

static bool open_names(Parser *p, Err *err) {
    p->names = malloc(RULES_MAX_RULES * sizeof *p->names);
    if (!p->names) return err_set(err, ERR_NOMEM, "out of memory for a grammar");
    return str_index_init(&p->by_name, RULES_MAX_RULES, err);
}

static void parse_rules(Parser *p) {
    find_rule(p, STR("root"));
    for (skip_space(p); !at_end(p) && parse_rule(p);) {
    }
    if (!p->r->failed && p->r->rules[0].body < 0)
        rules_fail(p->r, ERR_INVALID, "the grammar has no rule named root");
}

Rules *gbnf_parse(Str text, Err *err) {
    Parser p = {.text = text, .r = rules_new(err)};
    bool ok = p.r && open_names(&p, err);
    if (ok) {
        parse_rules(&p);
        ok = !p.r->failed || err_set(err, p.r->err.code, "%s", p.r->err.msg);
    }
    free(p.ranges);
    free(p.names);
    str_index_free(&p.by_name);
    if (ok) return p.r;
    rules_free(p.r);
    return NULL;
}
