#include "harness.h"

#include "grammar_kit.h"

#include <stdio.h>

// Which texts a grammar has: those before the NULL, and not those behind it.
typedef struct Case {
    const char *grammar;
    const char *texts[14];
} Case;

static const Case cases[] = {
    {"root ::= \"a\"", {"a", NULL, "", "b", "aa"}},
    {"root ::= \"\"", {"", NULL, "a"}},
    {"root ::= \"yes\" | \"no\" | \"nothing\" | \"\"",
     {"yes", "no", "nothing", "", NULL, "noth", "nyes", "y"}},
    {"root ::= [a-c]", {"a", "b", "c", NULL, "d", "", "ab"}},
    {"root ::= [^a-c]", {"d", "\n", "\xC3\xA9", "\xF0\x9F\x98\x80", NULL, "a", "", "\xC3", "\xFF"}},
    {"root ::= [a\\-\\]z]", {"-", "]", "a", NULL, "b", "\\"}},
    {"root ::= [-a]", {"-", "a", NULL, "b"}},
    {"root ::= [a-]", {"-", "a", NULL, "b"}},
    {"root ::= .",
     {"a", "\n", "\xE2\x82\xAC", NULL, "", "ab", "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80"}},
    {"root ::= [\\u00E0-\\u0800]",
     {"\xC3\xA0", "\xDF\xBF", "\xE0\xA0\x80", NULL, "\xC3\x9F", "\xE0\xA0\x81"}},
    {"root ::= [\\x41\\u0042\\U00000043]", {"A", "B", "C", NULL, "D"}},
    {"root ::= \"\\x41\\u00e9\\n\\t\\r\\\\\\\"\"", {"A\xC3\xA9\n\t\r\\\"", NULL, "A"}},
    {"root ::= \"a\"?", {"", "a", NULL, "aa"}},
    {"root ::= \"a\"*", {"", "a", "aaaaa", NULL, "b", "aab"}},
    {"root ::= \"ab\"+", {"ab", "abab", NULL, "", "a", "aba"}},
    {"root ::= \"a\"{3}", {"aaa", NULL, "aa", "aaaa"}},
    {"root ::= \"a\"{2,}", {"aa", "aaa", "aaaaaa", NULL, "a", ""}},
    {"root ::= \"a\"{,2}", {"", "a", "aa", NULL, "aaa"}},
    {"root ::= (\"a\" | \"b\" \"c\"){1,2} \"!\"", {"a!", "bc!", "abc!", "bca!", NULL, "!", "b!", "aaa!"}},
    {"root ::= (\"a\"?){2,3} \"b\"", {"b", "ab", "aaab", NULL, "aaaab"}},
    {"root ::= (\"a\"* \"b\"*)*", {"", "abba", "bbb", NULL, "c"}},
    {"root ::= (\"a\"{0,2} \"b\"?){0,2}", {"", "aa", "aabaab", "baa", NULL, "aaaaa", "bbb"}},
    {"root ::= x y\nx ::= \"1\"\ny ::= \"2\" | x # a comment\n", {"12", "11", NULL, "1", "2"}},
    {"# first\nroot ::=\n  \"a\"\n  | \"b\" # or\n  | \"c\"\n\n", {"a", "b", "c", NULL, "d"}},
    {"root ::= \"a\"\n \"b\"\nx::=\"c\"", {"ab", NULL, "a"}},
    {"root ::= \"(\" root \")\" | \"x\"", {"x", "(x)", "(((x)))", NULL, "(x", "((x)", "()"}},
    {"root ::= \"a\" root | \"b\"", {"b", "ab", "aaaab", NULL, "a", "ba"}},
    {"root ::= \"a\" root \"b\" | ", {"", "ab", "aaabbb", NULL, "aab", "abb"}},
    {"root ::= s*\ns ::= [a-z]+ \" \"?", {"", "ab cd", "ab", NULL, " ", "a  b"}},
    {"root ::= \"for\" | [a-z]{1,4} \"!\"", {"for", "for!", "fors!", NULL, "fo", "forst!"}},
};

static void test_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Err err = {0};
        Grammar *g = grammar_of_gbnf(cases[i].grammar, &err);
        if (!g) fail_msg("%s: %s", cases[i].grammar, err.msg);
        bool wanted = true;
        for (int k = 0, nulls = 0; k < 14; k++) {
            const char *text = cases[i].texts[k];
            if (!text && ++nulls == 2) break;
            if (!text) wanted = false;
            if (text && (grammar_fit(g, str_from(text)) == FIT_WHOLE) != wanted)
                fail_msg("%s: \"%s\" should%s match", cases[i].grammar, text, wanted ? "" : " not");
        }
        grammar_free(g);
    }
}

static const char *const bad[][2] = {
    {"", "no rule named root"},
    {"x ::= \"a\"", "no rule named root"},
    {"root", "line 1, column 5: expected ::="},
    {"root ::= \"a", "line 1, column 10: the literal has no closing quote"},
    {"root ::= \"a\"\nb ::= [a-", "line 2, column 7: the class has no closing bracket"},
    {"root ::= [z-a]", "the range ends before it begins"},
    {"root ::= []", "the class is empty"},
    {"root ::= (\"a\"", "line 1, column 10: the group has no closing"},
    {"root ::= \"a\")", "line 1, column 13: expected the next rule"},
    {"root ::= ?", "expected a literal"},
    {"root ::= \"\\q\"", "unknown escape"},
    {"root ::= \"\\ud800\"", "no Unicode character"},
    {"root ::= \"\\u12\"", "hexadecimal digit"},
    {"root ::= \"a\"{3,2}", "end is below its beginning"},
    {"root ::= \"a\"{x}", "expected a number"},
    {"root ::= \"a\"{1,99999999999}", "too long"},
    {"root ::= \"a\"{1", "expected }"},
    {"root ::= b", "rule b is not defined"},
    {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: the rule is defined twice"},
    {"root ::= root \"a\" | \"b\"", "rule root is left-recursive"},
    {"root ::= \"a\"? b\nb ::= \"x\"* c\nc ::= root | \"z\"", "left-recursive"},
    {"root ::= (\"a\"* | b)+ root | \"x\"\nb ::= \"c\"", "left-recursive"},
    {"root ::= \"a\" root", "rule root can never end"},
    {"root ::= \"x\" | b\nb ::= \"a\" b", "rule b can never end"},
    {"root ::= \"a\"\xFF", "expected a literal"},
    {"root ::= \"\xFF\"", "not valid UTF-8"},
    {"root ::= [^\\u0000-\\U0010FFFF]", "matches no character"},
};

static void test_bad(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Err err = {0};
        Grammar *g = grammar_of_gbnf(bad[i][0], &err);
        if (g || !strstr(err.msg, bad[i][1]))
            fail_msg("%s: %s; expected: %s", bad[i][0], g ? "accepted" : err.msg, bad[i][1]);
    }
}

static Grammar *grammar_of_buf(Buf *b, Err *err) {
    Grammar *g = grammar_of_gbnf(b->ptr, err);
    buf_free(b);
    return g;
}

static void test_nesting_is_bounded(void **state) {
    (void)state;
    Err err = {0};
    Buf b = {0};
    buf_puts(&b, "root ::= ");
    for (int i = 0; i < 100000; i++) buf_putc(&b, '(');
    assert_null(grammar_of_buf(&b, &err));
    assert_non_null(strstr(err.msg, "nested too deeply"));
    buf_puts(&b, "root ::= \"a\"");
    for (int i = 0; i < 1000; i++) buf_puts(&b, "*?");
    assert_null(grammar_of_buf(&b, &err));
    assert_non_null(strstr(err.msg, "nested too deeply"));
}

static void test_size_is_bounded(void **state) {
    (void)state;
    Err err = {0};
    Buf b = {0};
    buf_puts(&b, "root ::= \"a\"");
    for (int i = 0; i < 20000; i++) buf_printf(&b, "\nr%d ::= \"b\"", i);
    assert_null(grammar_of_buf(&b, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    buf_puts(&b, "root ::= \"a\"");
    for (int i = 0; i < 300000; i++) buf_puts(&b, " .");
    assert_null(grammar_of_buf(&b, &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

// Rules in the worst order for the checks, which look at each often.
static void test_long_chains(void **state) {
    (void)state;
    Err err = {0};
    Buf b = {0};
    enum { N = 3000 };
    buf_puts(&b, "root ::= r0");
    for (int i = 0; i < N; i++) buf_printf(&b, "\nr%d ::= r%d | r%d \"x\"", i, i + 1, i + 1);
    buf_printf(&b, "\nr%d ::= \"y\"", N);
    Grammar *g = grammar_of_buf(&b, &err);
    if (g) assert_int_equal(grammar_fit(g, STR("y")), FIT_NOT); // deeper than AUTOMATON_MAX_DEPTH allows
    if (!g) assert_int_equal(err.code, ERR_LIMIT);
    grammar_free(g);
}

static void test_counts_cost_nothing(void **state) {
    (void)state;
    Err err = {0};
    Grammar *g = grammar_of_gbnf("root ::= (\"ab\"{0,1000000} \"c\"){1000000}", &err);
    assert_non_null(g);
    assert_true(g->n_nodes < 20);
    assert_int_equal(grammar_fit(g, STR("abababcccab")), FIT_PREFIX);
    grammar_free(g);
}

static void test_many_words(void **state) {
    (void)state;
    Err err = {0};
    Buf b = {0};
    buf_puts(&b, "root ::= \"word\"");
    for (int i = 0; i < 3000; i++) buf_printf(&b, " | \"word %d\"", i * 7);
    Grammar *g = grammar_of_buf(&b, &err);
    assert_non_null(g);
    assert_int_equal(grammar_fit(g, STR("word")), FIT_WHOLE);
    assert_int_equal(grammar_fit(g, STR("word 20993")), FIT_WHOLE);
    assert_int_equal(grammar_fit(g, STR("word 20992")), FIT_NOT);
    assert_int_equal(grammar_fit(g, STR("word 2")), FIT_PREFIX);
    grammar_free(g);
}

// Longer than the tables hold: room is made on the way.
static void test_endless(void **state) {
    (void)state;
    Err err = {0};
    Grammar *g = grammar_of_gbnf("root ::= [a-z]{100000}", &err);
    Buf b = {0};
    assert_non_null(g);
    for (int i = 0; i < 99999; i++) buf_putc(&b, (char)('a' + i % 26));
    assert_int_equal(grammar_fit(g, buf_str(&b)), FIT_PREFIX);
    buf_putc(&b, 'z');
    assert_int_equal(grammar_fit(g, buf_str(&b)), FIT_WHOLE);
    buf_putc(&b, 'z');
    assert_int_equal(grammar_fit(g, buf_str(&b)), FIT_NOT);
    buf_free(&b);
    grammar_free(g);
}

// Every class of two ranges over all code points near their ends.
static void test_classes(void **state) {
    (void)state;
    static const uint32_t ends[] = {0,       1,       0x7E,     0x7F,     0x80,    0x81,    0xBF,
                                    0xC0,    0x7FF,   0x800,    0x801,    0xFFF,   0x1000,  0xD7FF,
                                    0xE000,  0xFFFD,  0xFFFF,   0x10000,  0x1003F, 0x10040, 0x3FFFF,
                                    0x40000, 0xFFFFF, 0x100000, 0x10FFFE, 0x10FFFF};
    enum { N = sizeof ends / sizeof ends[0] };
    for (int i = 0; i < N; i++)
        for (int k = i; k < N; k++) {
            Err err = {0};
            Rules *r = rules_new(&err);
            rules_define(r, rules_add(r, STR("root")), rx_class(r, &(CodeRange){ends[i], ends[k]}, 1));
            Grammar *g = grammar_of_rules(r, &err);
            assert_non_null(g);
            for (int m = 0; m < N; m++) {
                Buf b = {0};
                buf_put_utf8(&b, ends[m]);
                Fit fit = grammar_fit(g, (Str){b.ptr, b.len});
                assert_int_equal(fit, ends[m] >= ends[i] && ends[m] <= ends[k] ? FIT_WHOLE : FIT_NOT);
                buf_free(&b);
            }
            grammar_free(g);
        }
}

SUITE(gbnf, cmocka_unit_test(test_texts), cmocka_unit_test(test_bad),
      cmocka_unit_test(test_nesting_is_bounded), cmocka_unit_test(test_size_is_bounded),
      cmocka_unit_test(test_long_chains), cmocka_unit_test(test_counts_cost_nothing),
      cmocka_unit_test(test_many_words), cmocka_unit_test(test_endless), cmocka_unit_test(test_classes))
