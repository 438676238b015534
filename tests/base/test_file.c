#include "harness.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_temporary(char *path, size_t n) {
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void test_whole_files(void **state) {
    (void)state;
    char path[] = "/tmp/cllm-file-XXXXXX";
    Buf all = {0};
    Err err;
    write_temporary(path, 100);
    assert_true(file_read(path, 0, &all, &err));
    assert_true(file_read(path, 100, &all, &err)); // appends
    assert_int_equal(all.len, 200);
    assert_false(file_read(path, 99, &all, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    unlink(path);
    assert_false(file_read(path, 0, &all, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_false(file_read("/", 0, &all, &err)); // opens, and cannot be read
    assert_int_equal(err.code, ERR_IO);
    buf_free(&all);
}

SUITE(file, cmocka_unit_test(test_whole_files))
