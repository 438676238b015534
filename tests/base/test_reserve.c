#include "harness.h"

#include "base/reserve.h"
#include "engine/alloc_hook.h"

#include <stdlib.h>
#include <string.h>

enum { MORE_THAN_ALL = 3000, SMALL = 100, LARGE = 5000 };

static void *take(size_t n, bool refused) {
    bool short_of = false;
    if (refused) alloc_hook_fail_at(1);
    void *p = reserve_malloc(n, &short_of);
    assert_int_equal(short_of, refused);
    return p;
}

static void test_malloc_comes_first(void **state) {
    (void)state;
    void *p = take(SMALL, false);
    assert_non_null(p);
    free(p);
}

static void test_small_ones_come_all_the_same(void **state) {
    (void)state;
    if (!alloc_hook_works()) skip();
    char *p = take(SMALL, true);
    assert_non_null(p);
    memset(p, 'x', SMALL);
    char *grown = reserve_realloc(p, LARGE); // beyond a block
    assert_non_null(grown);
    for (int i = 0; i < SMALL; i++) assert_int_equal(grown[i], 'x');
    alloc_hook_fail_at(1);
    char *small = reserve_realloc(grown, SMALL); // from the stock
    assert_non_null(small);
    assert_int_equal(small[SMALL - 1], 'x');
    free(small);
    assert_null(take(LARGE, true));
}

static void test_the_stock_is_filled_up(void **state) {
    (void)state;
    static void *taken[MORE_THAN_ALL];
    if (!alloc_hook_works()) skip();
    for (int round = 0; round < 3; round++) {
        int n = 0;
        reserve_free(take(SMALL, false));
        while (n < MORE_THAN_ALL && (taken[n] = take(SMALL, true))) n++;
        assert_true(n > 100 && n < MORE_THAN_ALL);
        for (int i = 0; i < n; i++) i % 2 ? free(taken[i]) : reserve_free(taken[i]);
    }
}

// What is taken and given back does not use it up.
static void test_blocks_come_back(void **state) {
    (void)state;
    if (!alloc_hook_works()) skip();
    for (int i = 0; i < MORE_THAN_ALL; i++) {
        void *p = take(SMALL, true);
        assert_non_null(p);
        reserve_free(p);
    }
}

SUITE(reserve, cmocka_unit_test(test_malloc_comes_first), cmocka_unit_test(test_small_ones_come_all_the_same),
      cmocka_unit_test(test_the_stock_is_filled_up), cmocka_unit_test(test_blocks_come_back))
