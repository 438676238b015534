#include "harness.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The first line of what was logged while `path` was the log, from the end of the time stamp on.
static void read_line(const char *path, size_t stamp, char *out, size_t size) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(out, (int)size, f));
    fclose(f);
    memmove(out, out + stamp, strlen(out + stamp) + 1);
}

static void new_log(char *path) {
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(log_open(path, NULL));
}

static void test_one_line_whatever_comes(void **state) {
    (void)state;
    char path[] = "/tmp/cllm-log-XXXXXX", line[512];
    new_log(path);
    log_event(LOG_INFO, "event", "plain", "abc", "odd", "a \"b\"\nc=\x01", "empty", "", NULL);
    log_event(LOG_DEBUG, "hidden", NULL);
    assert_true(log_open(NULL, NULL));
    read_line(path, 25, line, sizeof line);
    assert_string_equal(line, "info  event plain=abc odd=\"a \\\"b\\\"\\x0ac=\\x01\" empty=\"\"\n");
    unlink(path);
}

static void test_json_whatever_comes(void **state) {
    (void)state;
    char path[] = "/tmp/cllm-log-XXXXXX", line[1024];
    new_log(path);
    log_set_format(LOG_JSON);
    log_event(LOG_INFO, "event", "odd", "a \"b\"\n\\\x01", "bytes", "\xC3\xA4\xFFz", "empty", "", NULL);
    log_set_format(LOG_TEXT);
    assert_true(log_open(NULL, NULL));
    read_line(path, 35, line, sizeof line);
    assert_string_equal(line,
                        "\"level\":\"info\",\"event\":\"event\",\"odd\":\"a \\\"b\\\"\\u000a\\\\\\u0001\","
                        "\"bytes\":\"\xC3\xA4\xEF\xBF\xBDz\",\"empty\":\"\"}\n");
    unlink(path);
}

static void test_json_numbers(void **state) {
    (void)state;
    char path[] = "/tmp/cllm-log-XXXXXX", line[1024];
    new_log(path);
    log_set_format(LOG_JSON);
    log_f(LOG_WARN, "n", "id=%s a=%d b=%.1f c=007 d=1e5 e=- f=1. g=0.5x h=%s",
          "01234567890123456789012345678901", -7, 2.5, "12345678901234567");
    log_set_format(LOG_TEXT);
    assert_true(log_open(NULL, NULL));
    read_line(path, 35, line, sizeof line);
    assert_string_equal(line,
                        "\"level\":\"warn\",\"event\":\"n\",\"id\":\"01234567890123456789012345678901\","
                        "\"a\":-7,\"b\":2.5,\"c\":\"007\",\"d\":\"1e5\",\"e\":\"-\",\"f\":\"1.\","
                        "\"g\":\"0.5x\",\"h\":12345678901234567}\n");
    unlink(path);
}

static void test_reopens_after_a_rename(void **state) {
    (void)state;
    char path[] = "/tmp/cllm-log-XXXXXX", moved[64], line[512];
    new_log(path);
    log_event(LOG_INFO, "first", NULL);
    snprintf(moved, sizeof moved, "%s.1", path);
    assert_int_equal(rename(path, moved), 0);
    log_event(LOG_INFO, "second", NULL);
    assert_true(log_reopen(NULL));
    log_event(LOG_INFO, "third", NULL);
    assert_true(log_open(NULL, NULL));
    read_line(path, 25, line, sizeof line);
    assert_string_equal(line, "info  third\n");
    read_line(moved, 25, line, sizeof line);
    assert_string_equal(line, "info  first\n");
    assert_true(log_reopen(NULL)); // stderr: nothing to do
    unlink(path);
    unlink(moved);
}

static void test_levels(void **state) {
    (void)state;
    LogLevel level;
    assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
    assert_false(log_level_parse("loud", &level));
    assert_string_equal(log_level_name(LOG_WARN), "warn");
    Err err;
    assert_false(log_open("/nonexistent/folder/log", &err));
    assert_int_equal(err.code, ERR_IO);
}

SUITE(base_log, cmocka_unit_test(test_one_line_whatever_comes), cmocka_unit_test(test_json_whatever_comes),
      cmocka_unit_test(test_json_numbers), cmocka_unit_test(test_reopens_after_a_rename),
      cmocka_unit_test(test_levels))
