#include "harness.h"

#include "base/histogram.h"

static const HistogramScale scale = {1, 3, {1, 10, 100}};

static void test_a_value_falls_below_its_bound(void **state) {
    (void)state;
    Histogram h = {0};
    const uint64_t values[] = {0, 1, 2, 10, 11, 100, 101, 1000000};
    for (int i = 0; i < 8; i++) histogram_add(&h, &scale, values[i]);
    for (int i = 0; i < 4; i++) assert_int_equal(h.counts[i], 2);
    assert_int_equal(h.sum, 1000225);
    assert_int_equal(histogram_count(&h), 8);
}

static void test_nothing_is_lost_at_the_ends(void **state) {
    (void)state;
    Histogram h = {0};
    assert_int_equal(histogram_count(&h), 0);
    histogram_add(&h, &scale, UINT64_MAX);
    assert_int_equal(h.counts[3], 1);
    assert_int_equal(h.sum, UINT64_MAX);
}

SUITE(base_histogram, cmocka_unit_test(test_a_value_falls_below_its_bound),
      cmocka_unit_test(test_nothing_is_lost_at_the_ends))
