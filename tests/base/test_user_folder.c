#include "harness.h"

#include "base/user_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_folder_create(void **state) {
    (void)state;
    char base[] = "/tmp/cllm-folder-XXXXXX", path[64], file[80];
    Err err;
    assert_non_null(mkdtemp(base));
    snprintf(path, sizeof path, "%s/a/b", base);
    snprintf(file, sizeof file, "%s/file", path);
    assert_true(folder_create(path, &err));
    assert_true(folder_create(path, &err)); // is there
    fclose(fopen(file, "w"));
    assert_false(folder_create(file, &err));
    assert_non_null(strstr(err.msg, "is no folder"));
    unlink(file);
    rmdir(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
    assert_int_equal(rmdir(base), 0);
}

// What the system said of making it, not of looking for it afterwards.
static void test_refused(void **state) {
    (void)state;
    Err err;
    if (access("/sys", F_OK) != 0) skip();
    assert_false(folder_create("/sys/cllm", &err)); // where nobody may make one
    assert_null(strstr(err.msg, "No such file"));
}

SUITE(user_folder, cmocka_unit_test(test_folder_create), cmocka_unit_test(test_refused))
