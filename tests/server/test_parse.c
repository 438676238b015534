#include "harness.h"

#include "base/buf.h"
#include "server/parse.h"

#include <string.h>

static json_t *object_of(const char *text) {
    ApiError e = {0};
    json_t *object = parse_body(str_from(text), &e);
    if (!object) print_error("%s\n", e.message);
    assert_non_null(object);
    return object;
}

static void expect_bad_body(Str body, const char *words) {
    ApiError e = {0};
    assert_null(parse_body(body, &e));
    assert_int_equal(e.status, 400);
    if (!strstr(e.message, words)) fail_msg("'%s' does not contain '%s'", e.message, words);
}

static void test_bodies(void **state) {
    (void)state;
    char deep[4000];
    json_decref(object_of(" {\"a\":[1,{\"b\":\"\\u0000\"}]} "));
    expect_bad_body(STR(""), "no body");
    expect_bad_body(STR("[1]"), "an array");
    expect_bad_body(STR("{\"a\":}"), "line 1 column");
    expect_bad_body(STR("{\"a\":1,\"a\":2}"), "duplicate");
    expect_bad_body(STR("{\"a\":\"\xFF\"}"), "unable to decode");
    expect_bad_body(STR("{\"a\":1} x"), "end of file");
    memset(deep, '[', sizeof deep);
    expect_bad_body((Str){deep, sizeof deep}, "nested");
    json_t *brackets = object_of("{\"a\":\"[[[[[[[[\\\"[[[[[[\"}"); // in a string they nest nothing
    json_decref(brackets);
}

static void test_depth_limit_is_exact(void **state) {
    (void)state;
    char text[3 * PARSE_MAX_DEPTH + 20];
    for (int depth = PARSE_MAX_DEPTH; depth <= PARSE_MAX_DEPTH + 1; depth++) {
        ApiError e = {0};
        size_t n = 0;
        memcpy(text, "{\"a\":", 5), n = 5;
        for (int i = 1; i < depth; i++) text[n++] = '[';
        for (int i = 1; i < depth; i++) text[n++] = ']';
        text[n++] = '}';
        json_t *object = parse_body((Str){text, n}, &e);
        assert_int_equal(object != NULL, depth <= PARSE_MAX_DEPTH);
        json_decref(object);
    }
}

static void test_number_of_values(void **state) {
    (void)state;
    Buf text = {0};
    buf_puts(&text, "{\"a\":[1");
    for (int i = 3; i < PARSE_MAX_VALUES; i++) buf_puts(&text, ",1");
    buf_puts(&text, "],\"b\":\"");
    for (int i = 0; i < PARSE_MAX_VALUES; i++) buf_puts(&text, "[,"); // in a string they are no values
    buf_puts(&text, "\"}");
    assert_false(text.failed);
    json_decref(object_of(text.ptr));
    buf_drop_front(&text, strlen("{\"a\":["));
    Buf more = {0};
    buf_puts(&more, "{\"a\":[1,1,1,");
    buf_put(&more, buf_str(&text));
    expect_bad_body(buf_str(&more), "more than 262144 values");
    buf_free(&text);
    buf_free(&more);
}

typedef struct Case {
    const char *body;
    const char *words; // NULL: accepted
    double value;
} Case;

static void test_floats(void **state) {
    (void)state;
    static const Case cases[] = {
        {"{}", NULL, 0.5},
        {"{\"t\":null}", NULL, 0.5},
        {"{\"t\":0}", NULL, 0},
        {"{\"t\":2}", NULL, 2},
        {"{\"t\":1.25}", NULL, 1.25},
        {"{\"t\":2.01}", "t must be between 0 and 2", 0},
        {"{\"t\":-1}", "not -1", 0},
        {"{\"t\":\"1\"}", "must be a number, not a string", 0},
        {"{\"t\":true}", "not a boolean", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ApiError e = {0};
        float t = 0.5f;
        json_t *object = object_of(cases[i].body);
        Fields f = fields_of(object, &e);
        fields_float(&f, "t", (Range){0, 2, false}, &t);
        assert_int_equal(f.ok, cases[i].words == NULL);
        if (f.ok)
            assert_float_equal(t, (float)cases[i].value, 0);
        else
            assert_non_null(strstr(e.message, cases[i].words));
        if (!f.ok) assert_string_equal(e.param, "t");
        json_decref(object);
    }
}

static void test_open_range(void **state) {
    (void)state;
    ApiError e = {0};
    float p = 1;
    json_t *object = object_of("{\"top_p\":0}");
    Fields f = fields_of(object, &e);
    fields_float(&f, "top_p", (Range){0, 1, true}, &p);
    assert_false(f.ok);
    assert_string_equal(e.message, "top_p must be above 0 and at most 1, not 0");
    json_decref(object);
}

static void test_integers(void **state) {
    (void)state;
    static const Case cases[] = {
        {"{}", NULL, 7},
        {"{\"n\":null}", NULL, 7},
        {"{\"n\":3}", NULL, 3},
        {"{\"n\":3.0}", NULL, 3},
        {"{\"n\":3.5}", "must be an integer", 0},
        {"{\"n\":0}", "between 1 and 9, not 0", 0},
        {"{\"n\":10}", "not 10", 0},
        {"{\"n\":[]}", "not an array", 0},
        {"{\"n\":1e30}", "must be an integer", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ApiError e = {0};
        int64_t n = 7;
        json_t *object = object_of(cases[i].body);
        Fields f = fields_of(object, &e);
        fields_int(&f, "n", 1, 9, &n);
        assert_int_equal(f.ok, cases[i].words == NULL);
        if (f.ok)
            assert_int_equal(n, (int64_t)cases[i].value);
        else
            assert_non_null(strstr(e.message, cases[i].words));
        json_decref(object);
    }
}

static void test_the_first_error_sticks(void **state) {
    (void)state;
    ApiError e = {0};
    bool flag = false;
    int64_t n = 1;
    json_t *object = object_of("{\"a\":1,\"b\":\"x\",\"c\":2}");
    Fields f = fields_of(object, &e);
    fields_bool(&f, "a", &flag);
    fields_int(&f, "b", 0, 9, &n);
    fields_int(&f, "c", 0, 9, &n);
    assert_false(f.ok);
    assert_string_equal(e.param, "a");
    assert_int_equal(n, 1);
    json_decref(object);
}

static void test_string_lists(void **state) {
    (void)state;
    ApiError e = {0};
    Str out[3];
    size_t n = 0;
    json_t *object = object_of("{\"one\":\"a\\u0000b\",\"two\":[\"x\",\"y\"],\"none\":[],"
                               "\"many\":[\"\",\"\",\"\",\"\"],\"odd\":[1]}");
    Fields f = fields_of(object, &e);
    fields_str_list(&f, "one", 3, out, &n);
    assert_true(n == 1 && out[0].len == 3);
    fields_str_list(&f, "two", 3, out, &n);
    assert_true(n == 2 && str_eq(out[1], STR("y")));
    fields_str_list(&f, "missing", 3, out, &n);
    assert_int_equal(n, 2);
    fields_str_list(&f, "none", 3, out, &n);
    assert_true(n == 0 && f.ok);
    fields_str_list(&f, "many", 3, out, &n);
    assert_non_null(strstr(e.message, "at most 3"));
    f = fields_of(object, &e);
    fields_str_list(&f, "odd", 3, out, &n);
    assert_non_null(strstr(e.message, "element 0 is an integer"));
    json_decref(object);
}

SUITE(server_parse, cmocka_unit_test(test_bodies), cmocka_unit_test(test_depth_limit_is_exact),
      cmocka_unit_test(test_number_of_values), cmocka_unit_test(test_floats),
      cmocka_unit_test(test_open_range), cmocka_unit_test(test_integers),
      cmocka_unit_test(test_the_first_error_sticks), cmocka_unit_test(test_string_lists))
