#include "harness.h"

#include "server/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static void make_path(char path[32]) {
    strcpy(path, "/tmp/cllm-keys-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
}

static bool admits(const Keys *k, const char *authorization, const char *x_api_key) {
    return keys_admit(k, str_from(authorization), str_from(x_api_key));
}

static void test_nothing_is_required_without_keys(void **state) {
    (void)state;
    Keys *k = keys_new(NULL, "", NULL);
    assert_non_null(k);
    assert_false(keys_required(k));
    assert_true(admits(k, NULL, NULL) && admits(k, "Basic x", "y"));
    keys_free(k);
}

static void test_headers(void **state) {
    (void)state;
    Keys *k = keys_new("sk-right", NULL, NULL);
    assert_true(keys_required(k));
    assert_true(admits(k, "Bearer sk-right", NULL));
    assert_true(admits(k, "bearer   sk-right ", NULL));
    assert_true(admits(k, NULL, "sk-right"));
    assert_true(admits(k, "Bearer none", "sk-right"));
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Bearer ",
                                      "Bearer sk-righ",
                                      "sk-right",
                                      "Basic sk-right",
                                      "Bearer sk-rightt",
                                      "Bearer SK-RIGHT",
                                      "Bearersk-right"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(admits(k, bad[i], NULL));
    assert_false(admits(k, NULL, NULL) || admits(k, NULL, "") || admits(k, NULL, "sk-wrong"));
    keys_free(k);
}

static void test_file_is_read_anew(void **state) {
    (void)state;
    char path[32];
    Err err;
    make_path(path);
    write_file(path, "# team\n  first \r\n\nsecond");
    Keys *k = keys_new("single", path, &err);
    assert_non_null(k);
    assert_int_equal(keys_count(k), 3);
    assert_true(admits(k, NULL, "single") && admits(k, NULL, "first") && admits(k, NULL, "second"));
    assert_false(admits(k, NULL, "# team") || admits(k, NULL, ""));
    write_file(path, "third\n");
    assert_true(keys_reload(k, &err));
    assert_true(admits(k, NULL, "third") && admits(k, NULL, "single"));
    assert_false(admits(k, NULL, "first"));
    keys_free(k);
    unlink(path);
}

// A broken file keeps the old keys, and the message holds none of the new ones.
static void test_broken_files(void **state) {
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "good\nsecret with blanks\n",
                                        "good\nsecret\x01\n"};
    char path[32];
    Err err;
    make_path(path);
    write_file(path, "old\n");
    Keys *k = keys_new("", path, &err);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_file(path, texts[i]);
        assert_false(keys_reload(k, &err));
        assert_non_null(strstr(err.msg, path));
        assert_null(strstr(err.msg, "secret"));
        assert_true(admits(k, NULL, "old"));
        assert_false(admits(k, NULL, "good"));
    }
    unlink(path);
    assert_false(keys_reload(k, &err));
    assert_true(admits(k, NULL, "old"));
    keys_free(k);
    assert_null(keys_new(NULL, path, &err));
    assert_null(keys_new("a b", NULL, &err));
}

SUITE(server_keys, cmocka_unit_test(test_nothing_is_required_without_keys), cmocka_unit_test(test_headers),
      cmocka_unit_test(test_file_is_read_anew), cmocka_unit_test(test_broken_files))
