// Text from elsewhere made fit to be shown.
#include "harness.h"

#include "base/err.h"
#include "base/printable.h"

#include <stdio.h>

static void test_what_steers_a_terminal_is_marked(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},
        {"Ein Wörtchen, 你好 😀", "Ein Wörtchen, 你好 😀"},
        {"\033]0;x\007\r\n\t\177", "?]0;x?   ?"},
        {"\302\200\302\237\302\240", "????\302\240"}, // U+0080, U+009F, and a space that is wide
        {"a\233b", "a?b"},                            // U+009B in Latin-1
        {"a\342\202", "a??"},                         // cut inside a character
        {"\300\233\355\240\200", "?????"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "%s", pairs[i][0]);
        make_printable(text);
        assert_string_equal(text, pairs[i][1]);
    }
}

static void test_errors_can_be_shown(void **state) {
    (void)state;
    Err err;
    err_set(&err, ERR_INVALID, "no '%s'", "\033[2J");
    err_prefix(&err, "%s", "a\233.gguf");
    assert_string_equal(err.msg, "a?.gguf: no '?[2J'");
}

SUITE(base_printable, cmocka_unit_test(test_what_steers_a_terminal_is_marked),
      cmocka_unit_test(test_errors_can_be_shown))
