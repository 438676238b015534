#include "harness.h"

#include "base/nearest.h"

static const char *among(const char *written) {
    static const char *const names[] = {"port", "threads", "temperature", "qwen3-4b", "serve"};
    const char *best = NULL;
    Nearest near = nearest_to(written);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (nearest_take(&near, names[i], 0)) best = names[i];
    return best;
}

static void test_what_may_be_meant(void **state) {
    (void)state;
    assert_string_equal(among("prot"), "port");
    assert_string_equal(among("sevre"), "serve");
    assert_string_equal(among("temp"), "temperature");
    assert_string_equal(among("qwen3"), "qwen3-4b");
    assert_string_equal(among("temperature"), "temperature");
}

static void test_what_is_too_far_away(void **state) {
    (void)state;
    const char *const none[] = {"", "x", "foo", "se", "llama3", "nosuchname"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) assert_null(among(none[i]));
}

static void test_a_handicap_decides_between_equals(void **state) {
    (void)state;
    Nearest near = nearest_to("memory_mb");
    assert_true(nearest_take(&near, "memory_mb", 2));
    assert_false(nearest_take(&near, "memory", 0));
    assert_true(nearest_take(&near, "memory_m", 0));
}

SUITE(base_nearest, cmocka_unit_test(test_what_may_be_meant), cmocka_unit_test(test_what_is_too_far_away),
      cmocka_unit_test(test_a_handicap_decides_between_equals))
