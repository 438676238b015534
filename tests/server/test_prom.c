#include "harness.h"

#include "server/prom.h"

static const HistogramScale scale = {1e-9, 2, {1000000, 2500000000}};

static void test_labels_whatever_comes(void **state) {
    (void)state;
    Buf labels = {0};
    prom_label(&labels, "a", STR("x\\y\"z\nw"));
    prom_label(&labels, "b", STR("\xC3\xA4\xFF"));
    prom_label(&labels, "c", STR(""));
    assert_string_equal(labels.ptr, "a=\"x\\\\y\\\"z\\nw\",b=\"\xC3\xA4\xEF\xBF\xBD\",c=\"\"");
    buf_free(&labels);
}

static void test_samples(void **state) {
    (void)state;
    Buf out = {0};
    prom_head(&out, "m_total", "counter", "Things.");
    prom_sample(&out, "m_total", "", 123456789012345);
    prom_sample(&out, "m_total", "k=\"v\"", 0.1);
    assert_string_equal(out.ptr, "# HELP m_total Things.\n# TYPE m_total counter\n"
                                 "m_total 123456789012345\nm_total{k=\"v\"} 0.1\n");
    buf_free(&out);
}

static void test_histogram(void **state) {
    (void)state;
    Buf out = {0};
    Histogram h = {0};
    histogram_add(&h, &scale, 1000000);
    histogram_add(&h, &scale, 2000000000);
    histogram_add(&h, &scale, 2600000000);
    prom_histogram(&out, "t", "", &scale, &h);
    prom_histogram(&out, "t", "k=\"v\"", &scale, &h);
    assert_string_equal(out.ptr,
                        "t_bucket{le=\"0.001\"} 1\nt_bucket{le=\"2.5\"} 2\nt_bucket{le=\"+Inf\"} 3\n"
                        "t_sum 4.601\nt_count 3\n"
                        "t_bucket{k=\"v\",le=\"0.001\"} 1\nt_bucket{k=\"v\",le=\"2.5\"} 2\n"
                        "t_bucket{k=\"v\",le=\"+Inf\"} 3\nt_sum{k=\"v\"} 4.601\nt_count{k=\"v\"} 3\n");
    buf_free(&out);
}

SUITE(server_prom, cmocka_unit_test(test_labels_whatever_comes), cmocka_unit_test(test_samples),
      cmocka_unit_test(test_histogram))
