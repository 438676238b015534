#include "harness.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/num.h"

#include <stdlib.h>

static void test_grows(void **state) {
    (void)state;
    Buf b = {0};
    for (int i = 0; i < 1000; i++) buf_printf(&b, "%d,", i);
    buf_puts(&b, "end");
    buf_putc(&b, '.');
    assert_false(b.failed);
    assert_int_equal(b.ptr[b.len], '\0');
    assert_string_equal(b.ptr + b.len - 8, "999,end.");
    buf_drop_front(&b, b.len - 4);
    assert_string_equal(b.ptr, "end.");
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    buf_free(&b);
    assert_null(b.ptr);
}

static void test_impossible_size(void **state) {
    (void)state;
    Buf b = {0};
    buf_puts(&b, "x");
    assert_false(buf_reserve(&b, SIZE_MAX));
    assert_true(b.failed);
    buf_puts(&b, "ignored");
    assert_string_equal(b.ptr, "x");
    buf_free(&b);
}

static void test_utf8(void **state) {
    (void)state;
    Buf b = {0};
    static const uint32_t points[] = {0x24, 0xA2, 0x20AC, 0x1F600};
    for (size_t i = 0; i < 4; i++) buf_put_utf8(&b, points[i]);
    assert_string_equal(b.ptr, "$\xC2\xA2\xE2\x82\xAC\xF0\x9F\x98\x80");
    buf_free(&b);
}

static void test_views(void **state) {
    (void)state;
    Str s = STR("hello world");
    assert_true(str_starts_with(s, STR("hello")));
    assert_false(str_starts_with(STR("he"), STR("hello")));
    assert_true(str_eq(str_sub(s, 6, 99), STR("world")));
    assert_int_equal(str_skip(s, 99).len, 0);
    assert_true(str_eq(str_from(NULL), STR("")));
}

static void test_checked_numbers(void **state) {
    (void)state;
    size_t out;
    assert_true(num_add(1, 2, &out) && out == 3);
    assert_false(num_add(SIZE_MAX, 1, &out));
    assert_false(num_mul(SIZE_MAX / 2, 3, &out));
    assert_true(num_align(33, 32, &out) && out == 64);
    assert_false(num_align(SIZE_MAX, 32, &out));
    assert_int_equal(num_div_up(9, 4), 3);
    assert_int_equal(num_div_up(SIZE_MAX, 1) == SIZE_MAX, 1);
}

static void test_err(void **state) {
    (void)state;
    Err err;
    assert_false(err_set(&err, ERR_LIMIT, "%d is too many", 7));
    assert_false(err_prefix(&err, "file %s", "a.gguf"));
    assert_string_equal(err.msg, "file a.gguf: 7 is too many");
    assert_int_equal(err.code, ERR_LIMIT);
    assert_false(err_set(NULL, ERR_IO, "nobody listens"));
    char *longer = malloc(4096);
    memset(longer, 'x', 4095);
    longer[4095] = '\0';
    err_set(&err, ERR_IO, "%s", longer);
    err_prefix(&err, "prefix");
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    free(longer);
}

SUITE(base_buf, cmocka_unit_test(test_grows), cmocka_unit_test(test_impossible_size),
      cmocka_unit_test(test_utf8), cmocka_unit_test(test_views), cmocka_unit_test(test_checked_numbers),
      cmocka_unit_test(test_err))
