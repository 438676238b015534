#include "chat/jinja_lex.h"

#include "chat/jinja_text.h"

#include "base/num.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum { MAX_BRACKETS = JINJA_MAX_NESTING };

typedef struct Lexer {
    Jinja *j;
    Str s;
    size_t at;
    JToken *tokens;
    size_t n, cap;
    int line;
    bool line_starting;          // the last tag ended with a newline, or there was none yet
    char brackets[MAX_BRACKETS]; // closing brackets that are still to come
    int n_brackets;
} Lexer;

static const char *const token_names[T_N_KINDS] = {
    [T_END] = "the end of the template",
    [T_DATA] = "text",
    [T_BLOCK_BEGIN] = "'{%'",
    [T_BLOCK_END] = "'%}'",
    [T_VAR_BEGIN] = "'{{'",
    [T_VAR_END] = "'}}'",
    [T_NAME] = "a name",
    [T_STRING] = "a string",
    [T_INTEGER] = "an integer",
    [T_FLOAT] = "a number",
    [T_ADD] = "'+'",
    [T_SUB] = "'-'",
    [T_MUL] = "'*'",
    [T_DIV] = "'/'",
    [T_FLOORDIV] = "'//'",
    [T_MOD] = "'%'",
    [T_POW] = "'**'",
    [T_TILDE] = "'~'",
    [T_EQ] = "'=='",
    [T_NE] = "'!='",
    [T_LT] = "'<'",
    [T_LE] = "'<='",
    [T_GT] = "'>'",
    [T_GE] = "'>='",
    [T_IN] = "'in'",
    [T_NOT_IN] = "'not in'",
    [T_ASSIGN] = "'='",
    [T_DOT] = "'.'",
    [T_COLON] = "':'",
    [T_PIPE] = "'|'",
    [T_COMMA] = "','",
    [T_SEMICOLON] = "';'",
    [T_LPAREN] = "'('",
    [T_RPAREN] = "')'",
    [T_LBRACKET] = "'['",
    [T_RBRACKET] = "']'",
    [T_LBRACE] = "'{'",
    [T_RBRACE] = "'}'",
};

const char *jinja_token_name(JTokenKind kind) {
    return token_names[kind];
}

// ---- small tools

static char peek(const Lexer *x, size_t ahead) {
    return ahead < x->s.len - x->at ? x->s.ptr[x->at + ahead] : '\0';
}

// Every byte passes here once, so that the line number is always right.
static void advance(Lexer *x, size_t n) {
    n = num_min(n, x->s.len - x->at);
    for (size_t i = 0; i < n; i++) x->line += x->s.ptr[x->at + i] == '\n';
    x->at += n;
    x->j->line = x->line;
}

static void skip_space(Lexer *x) {
    while (x->at < x->s.len) {
        size_t next = x->at;
        if (!jchar_is_space(jstr_next(x->s, &next))) return;
        advance(x, next - x->at);
    }
}

static JToken *push(Lexer *x, JTokenKind kind, Str text) {
    x->tokens = jinja_grow_array(x->j, x->tokens, x->n, &x->cap, sizeof *x->tokens);
    x->tokens[x->n] = (JToken){.kind = kind, .line = x->line, .text = text};
    return &x->tokens[x->n++];
}

// ---- text between tags

// What remains of text that stands before a tag with the given sign ('-', '+' or 0).
static Str strip_before(const Lexer *x, Str text, char sign, bool lstrip) {
    if (sign == '-') return jstr_strip(text, NULL, STRIP_RIGHT);
    if (sign == '+' || !lstrip) return text;
    size_t line = text.len;
    while (line && text.ptr[line - 1] != '\n') line--;
    if (!line && !x->line_starting) return text;
    return jstr_strip(str_skip(text, line), NULL, STRIP_BOTH).len ? text : str_sub(text, 0, line);
}

static void put_data(Lexer *x, size_t to, char sign, bool lstrip) {
    Str text = strip_before(x, jstr_sub(x->s, x->at, to), sign, lstrip);
    if (text.len) push(x, T_DATA, text);
    advance(x, to - x->at);
}

static size_t find_tag(const Lexer *x) {
    for (size_t at = x->at; at + 1 < x->s.len; at++)
        if (x->s.ptr[at] == '{' && memchr("%{#", x->s.ptr[at + 1], 3)) return at;
    return x->s.len;
}

static char sign_at(const Lexer *x, size_t at) {
    char c = at < x->s.len ? x->s.ptr[at] : '\0';
    return c == '-' || c == '+' ? c : '\0';
}

// If the end of a tag stands here, goes behind it and behind what it strips. The '+' sign and the
// loss of the newline belong to block and comment tags only.
static bool end_tag(Lexer *x, const char *end, bool trims) {
    char sign = sign_at(x, x->at);
    size_t skip = sign == '-' || (sign == '+' && trims) ? 1 : 0;
    if (!skip) sign = '\0';
    if (!str_starts_with(str_skip(x->s, x->at + skip), str_from(end))) return false;
    advance(x, skip + 2);
    if (sign == '-')
        skip_space(x);
    else if (!sign && trims && peek(x, 0) == '\n')
        advance(x, 1);
    x->line_starting = x->s.ptr[x->at - 1] == '\n';
    return true;
}

static void skip_comment(Lexer *x) {
    int from = x->line;
    while (x->at < x->s.len) {
        if (end_tag(x, "#}", true)) return;
        advance(x, 1);
    }
    x->j->line = from;
    jinja_fail(x->j, "a comment has no end: expected '#}'");
}

// ---- raw blocks

// Length of `{% word` at `from`, with sign and white space; 0 if it is not there.
static size_t match_raw_tag(const Lexer *x, size_t from, const char *word) {
    if (from + 2 > x->s.len || memcmp(x->s.ptr + from, "{%", 2) != 0) return 0;
    size_t at = from + 2;
    at += sign_at(x, at) != 0;
    while (at < x->s.len && isspace((unsigned char)x->s.ptr[at])) at++;
    if (!str_starts_with(str_skip(x->s, at), str_from(word))) return 0;
    at += strlen(word);
    while (at < x->s.len && isspace((unsigned char)x->s.ptr[at])) at++;
    bool closes = str_starts_with(str_skip(x->s, at), STR("%}")) ||
                  str_starts_with(str_skip(x->s, at), STR("-%}")) ||
                  (word[0] == 'e' && str_starts_with(str_skip(x->s, at), STR("+%}")));
    return closes ? at - from : 0;
}

// `{% raw %}` keeps the newline behind it; `{% endraw %}` loses it like any other block.
static void lex_raw(Lexer *x, size_t head) {
    int from = x->line;
    advance(x, head);
    bool strips = peek(x, 0) == '-';
    advance(x, strips ? 3 : 2);
    if (strips) skip_space(x);
    x->line_starting = x->s.ptr[x->at - 1] == '\n';
    for (size_t at = x->at; at < x->s.len; at++) {
        size_t tail = match_raw_tag(x, at, "endraw");
        if (!tail) continue;
        put_data(x, at, sign_at(x, at + 2), true);
        advance(x, tail);
        end_tag(x, "%}", true);
        return;
    }
    x->j->line = from;
    jinja_fail(x->j, "a raw block has no end: expected {%% endraw %%}");
}

// ---- literals

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static size_t read_hex(Lexer *x, Str body, size_t at, int n_digits, JText *t) {
    int64_t cp = 0;
    for (int i = 0; i < n_digits; i++) {
        int digit = at + (size_t)i < body.len ? hex_value(body.ptr[at + (size_t)i]) : -1;
        if (digit < 0) jinja_fail(x->j, "a \\x, \\u or \\U escape needs %d hexadecimal digits", n_digits);
        cp = cp * 16 + digit;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
        jinja_fail(x->j, "an escape in a string is not a character");
    jtext_put_code_point(x->j, t, (int32_t)cp);
    return at + (size_t)n_digits;
}

static size_t read_octal(Lexer *x, Str body, size_t at, JText *t) {
    int32_t cp = 0;
    for (int i = 0; i < 3 && at < body.len && body.ptr[at] >= '0' && body.ptr[at] <= '7'; i++)
        cp = cp * 8 + (body.ptr[at++] - '0');
    jtext_put_code_point(x->j, t, cp);
    return at;
}

// `at` is behind the backslash; returns the place behind the escape.
static size_t read_escape(Lexer *x, Str body, size_t at, JText *t) {
    static const char plain[] = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    char c = body.ptr[at];
    for (const char *p = plain; *p; p += 2) {
        if (*p != c) continue;
        jtext_putc(x->j, t, p[1]);
        return at + 1;
    }
    switch (c) {
    case '\n': return at + 1;
    case 'x': return read_hex(x, body, at + 1, 2, t);
    case 'u': return read_hex(x, body, at + 1, 4, t);
    case 'U': return read_hex(x, body, at + 1, 8, t);
    case 'N': jinja_fail(x->j, "\\N{…} escapes are not supported");
    default: break;
    }
    if (c >= '0' && c <= '7') return read_octal(x, body, at, t);
    jtext_putc(x->j, t, '\\'); // Python keeps an escape that it does not know
    return at;
}

static Str unescape(Lexer *x, Str body) {
    if (!body.len || !memchr(body.ptr, '\\', body.len)) return body;
    JText t = {0};
    for (size_t at = 0; at < body.len;) {
        const char *slash = memchr(body.ptr + at, '\\', body.len - at);
        size_t to = slash ? (size_t)(slash - body.ptr) : body.len;
        jtext_put(x->j, &t, jstr_sub(body, at, to));
        at = slash ? read_escape(x, body, to + 1, &t) : to;
    }
    return jtext_finish(x->j, &t);
}

static void lex_string(Lexer *x) {
    char quote = peek(x, 0);
    size_t to = x->at + 1;
    while (to < x->s.len && x->s.ptr[to] != quote) to += x->s.ptr[to] == '\\' ? 2 : 1;
    if (to >= x->s.len) jinja_fail(x->j, "a string has no end: expected %c", quote);
    JToken *token = push(x, T_STRING, STR(""));
    token->value = jv_str(unescape(x, jstr_sub(x->s, x->at + 1, to)));
    advance(x, to + 1 - x->at);
}

// Digits of the base with single underscores between them; the length.
static size_t digit_run(Str s, size_t at, int base) {
    size_t from = at;
    while (at < s.len) {
        size_t digit = at + (s.ptr[at] == '_' && at > from);
        int value = digit < s.len ? hex_value(s.ptr[digit]) : -1;
        if (value < 0 || value >= base) break;
        at = digit + 1;
    }
    return at - from;
}

static size_t float_length(const Lexer *x, size_t whole) {
    size_t n = whole;
    if (peek(x, n) == '.' && digit_run(x->s, x->at + n + 1, 10)) n += 1 + digit_run(x->s, x->at + n + 1, 10);
    if (peek(x, n) == 'e' || peek(x, n) == 'E') {
        size_t sign = peek(x, n + 1) == '+' || peek(x, n + 1) == '-';
        size_t digits = digit_run(x->s, x->at + n + 1 + sign, 10);
        if (digits) n += 1 + sign + digits;
    }
    return n;
}

// Copies a number without its underscores, for the C library.
static void copy_number(Lexer *x, Str s, char out[static 64]) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '_') continue;
        if (n == 63) jinja_fail(x->j, "a number has too many digits");
        out[n++] = s.ptr[i];
    }
    out[n] = '\0';
}

static void push_integer(Lexer *x, size_t prefix, size_t n, int base) {
    char digits[64];
    copy_number(x, str_sub(x->s, x->at + prefix, n), digits);
    errno = 0;
    long long value = strtoll(digits, NULL, base);
    if (errno) jinja_fail(x->j, "an integer is too large");
    JToken *token = push(x, T_INTEGER, STR(""));
    token->value = jv_int(value);
    advance(x, prefix + n);
}

static bool lex_based_integer(Lexer *x) {
    static const struct {
        char letter;
        int base;
    } bases[] = {{'b', 2}, {'o', 8}, {'x', 16}};
    if (peek(x, 0) != '0') return false;
    for (size_t i = 0; i < 3; i++) {
        size_t n = digit_run(x->s, x->at + 2, bases[i].base);
        if ((peek(x, 1) | 0x20) != bases[i].letter || !n) continue;
        push_integer(x, 2, n, bases[i].base);
        return true;
    }
    return false;
}

static void lex_number(Lexer *x) {
    if (lex_based_integer(x)) return;
    size_t whole = digit_run(x->s, x->at, 10);
    bool after_dot = x->at > 0 && x->s.ptr[x->at - 1] == '.'; // a.0.1 is two items, no float
    size_t n = after_dot ? whole : float_length(x, whole);
    if (n == whole) {
        push_integer(x, 0, n, 10);
        return;
    }
    char digits[64];
    copy_number(x, str_sub(x->s, x->at, n), digits);
    JToken *token = push(x, T_FLOAT, STR(""));
    token->value = jv_float(strtod(digits, NULL));
    advance(x, n);
}

// ---- inside tags

static bool name_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static void lex_name(Lexer *x) {
    size_t to = x->at;
    while (to < x->s.len && name_char(x->s.ptr[to])) to++;
    push(x, T_NAME, jstr_sub(x->s, x->at, to));
    advance(x, to - x->at);
}

static void balance(Lexer *x, JTokenKind kind) {
    static const char closing[T_N_KINDS] = {[T_LPAREN] = ')', [T_LBRACKET] = ']', [T_LBRACE] = '}'};
    if (closing[kind]) {
        if (x->n_brackets == MAX_BRACKETS) jinja_fail(x->j, "more than %d brackets are open", MAX_BRACKETS);
        x->brackets[x->n_brackets++] = closing[kind];
        return;
    }
    if (kind != T_RPAREN && kind != T_RBRACKET && kind != T_RBRACE) return;
    if (!x->n_brackets) jinja_fail(x->j, "unexpected %s", token_names[kind]);
    char expected = x->brackets[--x->n_brackets];
    if (expected != token_names[kind][1])
        jinja_fail(x->j, "unexpected %s, expected '%c'", token_names[kind], expected);
}

static void lex_operator(Lexer *x) {
    // Longer ones before their beginnings.
    static const JTokenKind operators[] = {
        T_FLOORDIV, T_POW,       T_EQ,     T_NE,     T_LE,       T_GE,       T_ADD,    T_SUB,   T_MUL,
        T_DIV,      T_MOD,       T_TILDE,  T_LT,     T_GT,       T_ASSIGN,   T_DOT,    T_COLON, T_PIPE,
        T_COMMA,    T_SEMICOLON, T_LPAREN, T_RPAREN, T_LBRACKET, T_RBRACKET, T_LBRACE, T_RBRACE};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        const char *name = token_names[operators[i]]; // quoted
        Str text = {name + 1, strlen(name) - 2};
        if (!str_starts_with(str_skip(x->s, x->at), text)) continue;
        balance(x, operators[i]);
        push(x, operators[i], text);
        advance(x, text.len);
        return;
    }
    jinja_fail(x->j, "unexpected character '%.*s'", (int)jstr_offset(str_skip(x->s, x->at), 1),
               x->s.ptr + x->at);
}

static void lex_code(Lexer *x) {
    char c = peek(x, 0);
    if (isdigit((unsigned char)c))
        lex_number(x);
    else if (name_char(c))
        lex_name(x);
    else if (c == '"' || c == '\'')
        lex_string(x);
    else
        lex_operator(x);
}

static void lex_tag(Lexer *x, bool block) {
    int from = x->line;
    const char *end = block ? "%}" : "}}";
    push(x, block ? T_BLOCK_BEGIN : T_VAR_BEGIN, STR(""));
    advance(x, 2 + (sign_at(x, x->at + 2) != 0));
    x->n_brackets = 0;
    for (;;) {
        skip_space(x);
        if (x->at >= x->s.len) {
            x->j->line = from;
            jinja_fail(x->j, "a tag has no end: expected '%s'", end);
        }
        int line = x->line;
        if (!x->n_brackets && end_tag(x, end, block)) {
            push(x, block ? T_BLOCK_END : T_VAR_END, STR(""))->line = line;
            return;
        }
        lex_code(x);
    }
}

static void lex_next(Lexer *x) {
    size_t tag = find_tag(x);
    if (tag == x->s.len) {
        put_data(x, tag, '+', false);
        return;
    }
    char kind = x->s.ptr[tag + 1];
    put_data(x, tag, sign_at(x, tag + 2), kind != '{');
    size_t raw = kind == '%' ? match_raw_tag(x, x->at, "raw") : 0;
    if (raw)
        lex_raw(x, raw);
    else if (kind != '#')
        lex_tag(x, kind == '%');
    else {
        advance(x, 2 + (sign_at(x, x->at + 2) != 0));
        skip_comment(x);
    }
}

// CR LF and CR become LF; one newline at the end goes.
static Str normalize(Jinja *j, Str s) {
    if (s.len && memchr(s.ptr, '\r', s.len)) {
        JText t = {0};
        for (size_t i = 0; i < s.len; i++) {
            if (s.ptr[i] != '\r')
                jtext_putc(j, &t, s.ptr[i]);
            else if (i + 1 == s.len || s.ptr[i + 1] != '\n')
                jtext_putc(j, &t, '\n');
        }
        s = jtext_finish(j, &t);
    }
    return s.len && s.ptr[s.len - 1] == '\n' ? str_sub(s, 0, s.len - 1) : s;
}

JToken *jinja_lex(Jinja *j, Str source) {
    Lexer x = {.j = j, .s = normalize(j, source), .line = 1, .line_starting = true};
    while (x.at < x.s.len) lex_next(&x);
    push(&x, T_END, STR(""));
    return x.tokens;
}
