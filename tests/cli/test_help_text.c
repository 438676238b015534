// Help is broken between words.
#include "harness.h"

#include "cli/help_text.h"

#include <string.h>

static void check(const char *text, size_t column, size_t indent, const char *expected) {
    Buf out = {0};
    help_put_words(&out, text, column, indent);
    assert_false(out.failed);
    assert_string_equal(out.ptr, expected);
    buf_free(&out);
}

static void test_short_texts(void **state) {
    (void)state;
    check("", 0, 0, "\n");
    check("one  two ", 0, 4, "one two\n");
}

static void test_lines_end_at_the_last_column(void **state) {
    (void)state;
    check("12345 789", 71, 2, "12345 789\n");    // to column 80
    check("12345 789", 72, 2, "12345\n  789\n"); // one too many
    check("123456789", 72, 2, "123456789\n");    // alone on its line, it is not broken
    check("1 123456789", 70, 2, "1\n  123456789\n");
}

// Letters count, not their bytes.
static void test_letters(void **state) {
    (void)state;
    check("ääääa öüö", 71, 2, "ääääa öüö\n");
    check("ääääa öüö", 72, 2, "ääääa\n  öüö\n");
}

SUITE(cli_help_text, cmocka_unit_test(test_short_texts), cmocka_unit_test(test_lines_end_at_the_last_column),
      cmocka_unit_test(test_letters))
