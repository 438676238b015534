// The unit tests: every file under tests/<module>/ registers its suite, one binary runs them all.
//
//     static void test_adds(void **state) { (void)state; assert_int_equal(1 + 1, 2); }
//     SUITE(arithmetic, cmocka_unit_test(test_adds))
#ifndef CLLM_TESTS_HARNESS_H
#define CLLM_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct Suite {
    const char *name;
    int (*run)(void);
    struct Suite *next;
} Suite;

void suite_register(Suite *suite);

#define SUITE(suite_name, ...)                                                                               \
    static int suite_name##_run(void) {                                                                      \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                                     \
        return cmocka_run_group_tests_name(#suite_name, tests, NULL, NULL);                                  \
    }                                                                                                        \
    __attribute__((constructor)) static void suite_name##_register(void) {                                   \
        static Suite suite = {#suite_name, suite_name##_run, NULL};                                          \
        suite_register(&suite);                                                                              \
    }

#endif
