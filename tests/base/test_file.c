#include "harness.h"

#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

static void expect_content(const char *path, const char *content) {
    Buf all = {0};
    assert_true(file_read(path, 0, &all, NULL));
    assert_true(str_eq(buf_str(&all), str_from(content)));
    buf_free(&all);
}

static int count_files(const char *folder) {
    DIR *dir = opendir(folder);
    int n = 0;
    for (const struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void test_replaces(void **state) {
    (void)state;
    char folder[] = "/tmp/cllm-file-XXXXXX", path[64], link[64];
    struct stat info;
    Err err;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    assert_true(file_write(path, STR("old"), 0600, &err));
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("file", link), 0);
    assert_true(file_write(link, STR("newer"), 0600, &err));
    expect_content(path, "newer");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0640);
    assert_int_equal(count_files(folder), 2);
    struct rlimit old, none; // as on a full disk
    getrlimit(RLIMIT_FSIZE, &old);
    none = (struct rlimit){2, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
    void (*handled)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_false(file_write(path, STR("too long for it"), 0600, &err));
    signal(SIGXFSZ, handled);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_non_null(strstr(err.msg, "File too large"));
    expect_content(path, "newer");
    assert_int_equal(count_files(folder), 2);
    unlink(link);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    assert_false(file_write(path, STR("x"), 0600, &err));
    assert_non_null(strstr(err.msg, "No such file"));
}

// As /dev/null, which a superuser could replace.
static void test_a_device_stays(void **state) {
    (void)state;
    char folder[] = "/tmp/cllm-file-XXXXXX", path[64], got[8] = "";
    struct stat info;
    Err err;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_true(file_write(path, STR("told"), 0600, &err));
    assert_int_equal(read(reader, got, sizeof got - 1), 4);
    assert_string_equal(got, "told");
    close(reader);
    assert_true(stat(path, &info) == 0 && S_ISFIFO(info.st_mode));
    assert_int_equal(count_files(folder), 1);
    unlink(path);
    assert_false(file_write(folder, STR("x"), 0600, &err)); // nor does a folder
    assert_int_equal(rmdir(folder), 0);
}

SUITE(file, cmocka_unit_test(test_whole_files), cmocka_unit_test(test_replaces),
      cmocka_unit_test(test_a_device_stays))
