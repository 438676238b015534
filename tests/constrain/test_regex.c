#include "harness.h"

#include "constrain/regex.h"
#include "grammar_kit.h"

// Texts that match as a whole before the NULL, and not behind it.
typedef struct Case {
    const char *pattern;
    const char *texts[12];
} Case;

static const Case cases[] = {
    {"abc", {"abc", NULL, "ab", "abcd"}},
    {"^abc$", {"abc", NULL, "xabc"}},
    {"a|b*|cd", {"a", "", "bbb", "cd", NULL, "ab", "c"}},
    {"(a|b)+c?", {"a", "abab", "bc", NULL, "", "c", "cc"}},
    {"a{2}b{1,}c{0,2}d{,", {NULL, "aab"}},
    {"a{2}b{1,}c{0,2}", {"aab", "aabbbcc", NULL, "ab", "aabccc"}},
    {"a+?b*?c??", {"a", "aab", "ac", NULL, "b"}},
    {"\\d\\D\\w\\W\\s\\S",
     {"1x_ \tz",
      "0\xC3\xA9"
      "A!\xE2\x80\x83.",
      NULL, "xx_ \tz"}},
    {"[^\\d\\sa]", {"b", "\xC3\xA9", NULL, "1", " ", "a"}},
    {"[\\w.-]+", {"a.b-c_9", NULL, "a b", ""}},
    {"[a\\-z]", {"a", "-", "z", NULL, "b"}},
    {"[\\]\\\\^]", {"]", "\\", "^", NULL, "a"}},
    {".", {"a", "\xE2\x82\xAC", "\"", NULL, "\n", "\r", "\xE2\x80\xA8", ""}},
    {"\\.\\*\\(\\$\\^\\/", {".*($^/", NULL, "a"}},
    {"\\x41\\u00e9\\u{1F600}\\t\\0", {NULL, "A"}},
    {"\\x41\\u00e9\\u{1F600}\\t", {"A\xC3\xA9\xF0\x9F\x98\x80\t", NULL, "A"}},
    {"(?:a|(?<name>b))c", {"ac", "bc", NULL, "c"}},
    {"^(GET|POST) /[a-z]*$", {"GET /", "POST /abc", NULL, "PUT /"}},
    {"()|x", {"", "x", NULL, "xx"}},
};

static Grammar *compile(const char *pattern, CharForm form, bool whole, Err *err) {
    Rules *r = rules_new(err);
    int32_t root = rules_add(r, STR("root"));
    rules_define(r, root, regex_parse(r, str_from(pattern), form, whole).rx);
    return grammar_of_rules(r, err);
}

static void test_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Err err = {0};
        Grammar *g = compile(cases[i].pattern, CHARS_PLAIN, true, &err);
        if (!g && !cases[i].texts[0]) continue; // refused, as it should be
        if (!g) fail_msg("%s: %s", cases[i].pattern, err.msg);
        bool wanted = true;
        for (int k = 0, nulls = 0; k < 12; k++) {
            const char *text = cases[i].texts[k];
            if (!text && ++nulls == 2) break;
            if (!text) wanted = false;
            if (text && (grammar_fit(g, str_from(text)) == FIT_WHOLE) != wanted)
                fail_msg("%s: \"%s\" should%s match", cases[i].pattern, text, wanted ? "" : " not");
        }
        grammar_free(g);
    }
}

static void check(const char *pattern, CharForm form, const char *text, Fit wanted) {
    Err err = {0};
    Grammar *g = compile(pattern, form, false, &err);
    if (!g) fail_msg("%s: %s", pattern, err.msg);
    if (grammar_fit(g, str_from(text)) != wanted) fail_msg("%s: \"%s\"", pattern, text);
    grammar_free(g);
}

// Anywhere in the text, unless an anchor says where.
static void test_search(void **state) {
    (void)state;
    check("b", CHARS_PLAIN, "abc\n", FIT_WHOLE);
    check("b", CHARS_PLAIN, "a", FIT_PREFIX);
    check("^b", CHARS_PLAIN, "bx", FIT_WHOLE);
    check("^b", CHARS_PLAIN, "xb", FIT_NOT);
    check("b$", CHARS_PLAIN, "xb", FIT_WHOLE);
    check("b$", CHARS_PLAIN, "bx", FIT_PREFIX);
    check("^a$|b", CHARS_PLAIN, "a", FIT_WHOLE);
    check("^a$|b", CHARS_PLAIN, "ab", FIT_WHOLE);
    check("^a$|b", CHARS_PLAIN, "ac", FIT_PREFIX);
}

// As inside a string of JSON.
static void test_in_json(void **state) {
    (void)state;
    check("^[^a]$", CHARS_IN_JSON, "\\\"", FIT_WHOLE);
    check("^[^a]$", CHARS_IN_JSON, "\"", FIT_NOT);
    check("^[^a]$", CHARS_IN_JSON, "\\u0001", FIT_WHOLE);
    check("^[^a]$", CHARS_IN_JSON, "\\n", FIT_WHOLE);
    check("^[^a]$", CHARS_IN_JSON, "\x01", FIT_NOT);
    check("^\\n$", CHARS_IN_JSON, "\\n", FIT_WHOLE);
    check("^\\\\$", CHARS_IN_JSON, "\\\\", FIT_WHOLE);
    check("^.$", CHARS_IN_JSON, "\\n", FIT_NOT);
}

static void test_lengths(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        int64_t min, max;
    } lengths[] = {{"abc", 3, 3},    {"a?b*", 0, REGEX_ENDLESS}, {"(ab|c){2,5}", 2, 10}, {"", 0, 0},
                   {"a{3}|b", 1, 3}, {"(a{0,9}){4}", 0, 36},     {"[a-z]\\d\\n", 3, 3},  {"(a*){0}", 0, 0}};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        Rules *r = rules_new(NULL);
        Regex x = regex_parse(r, str_from(lengths[i].pattern), CHARS_PLAIN, true);
        assert_false(r->failed);
        assert_true(x.min == lengths[i].min && x.max == lengths[i].max);
        rules_free(r);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"(?=a)", "lookahead"},
        {"(?!a)", "lookahead"},
        {"(?<=a)b", "lookbehind"},
        {"(?<!a)b", "lookbehind"},
        {"(a)\\1", "not supported"},
        {"\\bword", "not supported"},
        {"\\p{L}", "not supported"},
        {"a^b", "anchors"},
        {"(^a)", "anchors"},
        {"a$b", "anchors"},
        {"*a", "nothing to repeat"},
        {"a**", "nothing to repeat"},
        {"(a", "closing parenthesis"},
        {"a)", "no group to close"},
        {"[a", "closing bracket"},
        {"[z-a]", "before it begins"},
        {"[]", "empty"},
        {"a{2,1}", "below its beginning"},
        {"\\", "ends behind a backslash"},
        {"\\xZ1", "hexadecimal"},
        {"\\ud800", "no character"},
        {"a{99999999}", "too long"},
        {"\xFF", "not valid UTF-8"},
        {"[^\\d\\D]", "matches no character"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Err err = {0};
        Grammar *g = compile(bad[i][0], CHARS_PLAIN, true, &err);
        if (g || !strstr(err.msg, bad[i][1])) fail_msg("%s: %s", bad[i][0], g ? "accepted" : err.msg);
    }
}

static void test_depth(void **state) {
    (void)state;
    Err err = {0};
    Buf b = {0};
    for (int i = 0; i < 100000; i++) buf_putc(&b, '(');
    assert_null(compile(b.ptr, CHARS_PLAIN, true, &err));
    assert_non_null(strstr(err.msg, "nested too deeply"));
    buf_free(&b);
}

SUITE(regex, cmocka_unit_test(test_texts), cmocka_unit_test(test_search), cmocka_unit_test(test_in_json),
      cmocka_unit_test(test_lengths), cmocka_unit_test(test_refused), cmocka_unit_test(test_depth))
