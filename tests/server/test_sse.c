#include "harness.h"

#include "server/api_stream.h"

static void expect(json_t *value, const char *line) {
    Buf out = {0};
    assert_true(sse_format(value, &out));
    assert_string_equal(out.ptr, line);
    buf_free(&out);
    json_decref(value);
}

static void test_lines(void **state) {
    (void)state;
    expect(json_pack("{s:s, s:b}", "token", "a\nb\r\"\\", "done", 0),
           "data: {\"token\":\"a\\nb\\r\\\"\\\\\",\"done\":false}\n\n");
    expect(json_pack("{s:s}", "token", "\xE4\xBD\xA0"), "data: {\"token\":\"\xE4\xBD\xA0\"}\n\n");
    expect(json_pack("{s:s%}", "token", "a\0b", (size_t)3), "data: {\"token\":\"a\\u0000b\"}\n\n");
}

static void test_nothing(void **state) {
    (void)state;
    Buf out = {0};
    assert_false(sse_format(NULL, &out));
    assert_int_equal(out.len, 0);
}

SUITE(server_sse, cmocka_unit_test(test_lines), cmocka_unit_test(test_nothing))
