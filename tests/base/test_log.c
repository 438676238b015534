#include "harness.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What was logged while `path` was the log, with the time stamp cut off.
static void read_line(const char *path, char *out, size_t size) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(out, (int)size, f));
    fclose(f);
    memmove(out, out + 25, strlen(out + 25) + 1);
}

static void test_one_line_whatever_comes(void **state) {
    (void)state;
    char path[] = "/tmp/cllm-log-XXXXXX", line[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(log_open(path, NULL));
    log_event(LOG_INFO, "event", "plain", "abc", "odd", "a \"b\"\nc=\x01", "empty", "", NULL);
    log_event(LOG_DEBUG, "hidden", NULL);
    assert_true(log_open(NULL, NULL));
    read_line(path, line, sizeof line);
    assert_string_equal(line, "info  event plain=abc odd=\"a \\\"b\\\"\\x0ac=\\x01\" empty=\"\"\n");
    unlink(path);
}

static void test_levels(void **state) {
    (void)state;
    LogLevel level;
    assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
    assert_false(log_level_parse("loud", &level));
    Err err;
    assert_false(log_open("/nonexistent/folder/log", &err));
    assert_int_equal(err.code, ERR_IO);
}

SUITE(base_log, cmocka_unit_test(test_one_line_whatever_comes), cmocka_unit_test(test_levels))
