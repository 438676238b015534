#define _DEFAULT_SOURCE // flock
// Images of packed weights: what is mapped equals what packing gives, and whatever is not exactly that
// is refused and replaced.
#include "harness.h"

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/packed.h"
#include "model/model.h"
#include "model/pack_image.h"
#include "model/tiny_model.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REGION_BYTES = 3 * 4096, N_TENSORS = 2, HEAD_BYTES = 2 << 20, HEADER_BYTES = 72 };

static const PackTensor tensors[N_TENSORS] = {
    {WEIGHT_Q8_0, 50, 64, 0, 4352},
    {WEIGHT_Q4_K, 16, 256, 8192, 2500},
};

typedef struct Rig {
    Workers *workers;
    char folder[64], image[160], temporary[160];
    uint8_t region[REGION_BYTES];
    PackKey key;
} Rig;

static void name_files(Rig *r) {
    unsigned long long high = r->key.model.high, low = r->key.model.low;
    snprintf(r->image, sizeof r->image, "%s/%016llx%016llx.pack", r->folder, high, low);
    snprintf(r->temporary, sizeof r->temporary, "%s/%016llx%016llx.tmp", r->folder, high, low);
}

static int setup(void **state) {
    Rig *r = calloc(1, sizeof *r);
    Rng rng = {3};
    r->workers = workers_new(2, NULL);
    r->key = (PackKey){{0x1234, 0xabcdef}, tensors, N_TENSORS, REGION_BYTES};
    for (int i = 0; i < REGION_BYTES; i++) r->region[i] = (uint8_t)rng_next(&rng);
    snprintf(r->folder, sizeof r->folder, "/tmp/cllm-pack-XXXXXX");
    if (!mkdtemp(r->folder)) return -1;
    name_files(r);
    *state = r;
    return 0;
}

static int count_files(const char *folder) {
    DIR *dir = opendir(folder);
    int n = 0;
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

static int teardown(void **state) {
    Rig *r = *state;
    DIR *dir = opendir(r->folder);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.') unlinkat(dirfd(dir), e->d_name, 0);
    if (dir) closedir(dir);
    rmdir(r->folder);
    workers_free(r->workers);
    free(r);
    return 0;
}

static void write_image(Rig *r) {
    Err err;
    if (!pack_image_write(r->folder, &r->key, r->region, r->workers, &err)) fail_msg("%s", err.msg);
}

static void expect_used(Rig *r) {
    PackImage image;
    Err err;
    if (!pack_image_map(r->folder, &r->key, r->workers, &image, &err)) fail_msg("%s", err.msg);
    assert_memory_equal(image.region, r->region, REGION_BYTES);
    pack_image_unmap(&image);
    assert_null(image.base);
}

static void expect_refused(Rig *r, const char *says) {
    PackImage image;
    Err err = {0};
    assert_false(pack_image_map(r->folder, &r->key, r->workers, &image, &err));
    assert_null(image.base);
    if (!strstr(err.msg, says)) fail_msg("'%s' does not say '%s'", err.msg, says);
}

static void change_byte(const char *path, off_t at, uint8_t flip) {
    uint8_t byte = 0;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte ^= flip;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void test_round_trip(void **state) {
    Rig *r = *state;
    PackImage image;
    Err err;
    struct stat st;
    assert_false(pack_image_map(r->folder, &r->key, r->workers, &image, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    write_image(r);
    expect_used(r);
    assert_int_equal(stat(r->image, &st), 0);
    assert_int_equal(st.st_size, HEAD_BYTES + REGION_BYTES);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(count_files(r->folder), 1);
}

static void test_makes_private_folder(void **state) {
    Rig *r = *state;
    struct stat st;
    rmdir(r->folder);
    write_image(r);
    assert_int_equal(stat(r->folder, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

// Each byte of header and directory, and samples of the zeros behind them and of the region.
static void test_every_field_counts(void **state) {
    Rig *r = *state;
    write_image(r);
    off_t directory_end = HEADER_BYTES + (off_t)sizeof tensors;
    for (off_t at = 0; at < HEAD_BYTES + REGION_BYTES;) {
        change_byte(r->image, at, 0x40);
        expect_refused(r, "");
        change_byte(r->image, at, 0x40);
        at += at < directory_end ? 1 : at < HEAD_BYTES ? 299593 : 769;
    }
    expect_used(r);
}

static void test_tells_what_is_wrong(void **state) {
    static const struct {
        off_t at;
        const char *says;
    } cases[] = {
        {0, "not an image"},
        {8, "version 3, not 1"},
        {16, "another model"},
        {31, "another model"},
        {32, "counts or sizes"},
        {40, "counts or sizes"},
        {48, "counts or sizes"},
        {56, "checksum"},
        {HEADER_BYTES, "directory"},
        {HEADER_BYTES + (off_t)sizeof tensors - 1, "directory"},
        {HEAD_BYTES - 1, "directory"},
        {HEAD_BYTES, "checksum"},
        {HEAD_BYTES + REGION_BYTES - 1, "checksum"},
    };
    Rig *r = *state;
    write_image(r);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        change_byte(r->image, cases[i].at, 2);
        expect_refused(r, cases[i].says);
        write_image(r); // in the place of the bad one
        expect_used(r);
    }
}

static void test_wrong_lengths(void **state) {
    static const off_t lengths[] = {
        0,
        1,
        8,
        HEADER_BYTES - 1,
        HEADER_BYTES,
        HEADER_BYTES + (off_t)sizeof tensors,
        4096,
        HEAD_BYTES - 1,
        HEAD_BYTES,
        HEAD_BYTES + 4096,
        HEAD_BYTES + REGION_BYTES - 1,
        HEAD_BYTES + REGION_BYTES + 1,
    };
    Rig *r = *state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        write_image(r);
        assert_int_equal(truncate(r->image, lengths[i]), 0);
        expect_refused(r, lengths[i] < HEADER_BYTES ? "cut off" : "bytes instead of");
    }
}

// A file that is sound in itself, under the name that another key looks for.
static void test_other_key(void **state) {
    Rig *r = *state;
    PackTensor others[N_TENSORS];
    char found[sizeof r->image];
    memcpy(others, tensors, sizeof others);
    memcpy(found, r->image, sizeof found);
    write_image(r);
    others[1].k = 512;
    r->key.tensors = others;
    expect_refused(r, "directory");
    r->key.n_tensors = 1;
    expect_refused(r, "counts or sizes");
    r->key = (PackKey){{0x1234, 0xabcdef}, tensors, N_TENSORS, REGION_BYTES - 4096};
    expect_refused(r, "counts or sizes");
    r->key = (PackKey){{0x1234, 0xabcdee}, tensors, N_TENSORS, REGION_BYTES};
    expect_refused(r, "No such file");
    name_files(r);
    assert_int_equal(rename(found, r->image), 0);
    expect_refused(r, "another model");
}

static void test_not_only_ours(void **state) {
    Rig *r = *state;
    write_image(r);
    static const mode_t modes[] = {0620, 0602, 0666};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(r->image, modes[i]), 0);
        expect_refused(r, "others may write");
    }
    assert_int_equal(chmod(r->image, 0644), 0); // reading harms nothing
    expect_used(r);
    if (geteuid() != 0) return; // only root can give files away
    assert_int_equal(chown(r->image, 12345, (gid_t)-1), 0);
    expect_refused(r, "another user's");
    write_image(r);
    expect_used(r);
}

static void test_not_a_file(void **state) {
    Rig *r = *state;
    write_image(r);
    char moved[200];
    snprintf(moved, sizeof moved, "%s.moved", r->image);
    assert_int_equal(rename(r->image, moved), 0);
    assert_int_equal(symlink(moved, r->image), 0);
    expect_refused(r, strerror(ELOOP));
    unlink(r->image);
    assert_int_equal(mkfifo(r->image, 0600), 0);
    expect_refused(r, "not a regular file");
    write_image(r);
    expect_used(r);
    unlink(r->image);
    assert_int_equal(mkdir(r->image, 0700), 0);
    expect_refused(r, "not a regular file");
    Err err;
    assert_false(pack_image_write(r->folder, &r->key, r->region, r->workers, &err));
    assert_non_null(strstr(err.msg, "cannot rename"));
    assert_int_equal(rmdir(r->image), 0);
    assert_int_equal(count_files(r->folder), 1); // `moved`; no temporary file
}

static void expect_no_write(Rig *r, const char *says) {
    Err err = {0};
    assert_false(pack_image_write(r->folder, &r->key, r->region, r->workers, &err));
    if (!strstr(err.msg, says)) fail_msg("'%s' does not say '%s'", err.msg, says);
}

// In the middle of the file, as on a full disk; the image that is there stays.
static void test_write_fails_midway(void **state) {
    Rig *r = *state;
    struct rlimit old, low;
    write_image(r);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    static const rlim_t limits[] = {0, 4096, HEAD_BYTES, HEAD_BYTES + REGION_BYTES - 1};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        low = (struct rlimit){limits[i], old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
        Err err = {0};
        bool ok = pack_image_write(r->folder, &r->key, r->region, r->workers, &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_false(ok);
        assert_non_null(strstr(err.msg, "cannot write"));
        assert_int_equal(count_files(r->folder), 1);
    }
    signal(SIGXFSZ, handler);
    expect_used(r);
}

static void test_no_place_to_write(void **state) {
    Rig *r = *state;
    char folder[sizeof r->folder];
    memcpy(folder, r->folder, sizeof folder);
    snprintf(r->folder, sizeof r->folder, "%.40s/a/b", folder);
    expect_no_write(r, "No such file");
    snprintf(r->folder, sizeof r->folder, "%s", "/dev/null");
    expect_no_write(r, "Not a directory");
    expect_refused(r, "Not a directory");
    memcpy(r->folder, folder, sizeof folder);
    assert_int_equal(count_files(r->folder), 0);
}

// One process writes at a time; what a killed one left is used up.
static void test_temporary_file(void **state) {
    Rig *r = *state;
    int fd = open(r->temporary, O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 12 << 20), 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    expect_no_write(r, "another process is writing");
    assert_int_equal(access(r->temporary, F_OK), 0);
    close(fd);
    write_image(r);
    expect_used(r);
    assert_int_equal(count_files(r->folder), 1);
    assert_int_equal(symlink(r->image, r->temporary), 0);
    expect_no_write(r, strerror(ELOOP));
    expect_used(r);
}

static void test_many_writers(void **state) {
    enum { N = 6 };
    Rig *r = *state;
    pid_t children[N];
    for (int i = 0; i < N; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i]) continue;
        Workers *alone = workers_new(1, NULL); // the parent's threads are not here
        for (int round = 0; round < 20; round++) {
            PackImage image;
            Err err;
            pack_image_write(r->folder, &r->key, r->region, alone, &err);
            bool used = pack_image_map(r->folder, &r->key, alone, &image, &err);
            if (!used && err.code != ERR_NOT_FOUND) _exit(1);
            pack_image_unmap(&image);
        }
        _exit(0);
    }
    for (int i = 0; i < N; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    expect_used(r);
    assert_int_equal(count_files(r->folder), 1);
}

// ---- the hash ----

static void count_bytes(void *user, const void *from, size_t n) {
    (void)from;
    *(size_t *)user += n;
}

static void test_hash(void **state) {
    (void)state;
    enum { N = (64 << 20) + (300 << 10) + 7 }; // a batch, a piece and a rest
    uint8_t *bytes = calloc(1, N);
    Workers *one = workers_new(1, NULL), *three = workers_new(3, NULL);
    size_t seen = 0;
    ContentHash whole = content_hash(bytes, N, one, count_bytes, &seen);
    assert_int_equal(seen, N);
    ContentHash again = content_hash(bytes, N, three, NULL, NULL);
    assert_memory_equal(&whole, &again, sizeof whole);
    static const size_t places[] = {0, 262143, 262144, (64 << 20) - 1, 64 << 20, N - 1};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bytes[places[i]] = 1;
        again = content_hash(bytes, N, three, NULL, NULL);
        assert_memory_not_equal(&whole, &again, sizeof whole);
        bytes[places[i]] = 0;
    }
    again = content_hash(bytes, N - 1, three, NULL, NULL);
    assert_memory_not_equal(&whole, &again, sizeof whole);
    workers_free(one);
    workers_free(three);
    free(bytes);
}

// Images outlive the program that wrote them. If this fails, the panels' layout has changed: raise
// PACKED_LAYOUT_VERSION, then put the new hash here.
static void test_layout_version(void **state) {
    (void)state;
    enum { K = 512, ROWS = 13 };
    Rng rng = {11};
    Workers *w = workers_new(1, NULL);
    ContentHash all[N_WEIGHT_TYPES];
    for (int type = 0; type < N_WEIGHT_TYPES; type++) {
        size_t n = weight_row_bytes((WeightType)type, K) * ROWS,
               n_panel = packed_panel_bytes((WeightType)type, K);
        uint8_t *rows = malloc(n), *panel = aligned_alloc(64, n_panel);
        for (size_t i = 0; i < n; i++) rows[i] = (uint8_t)rng_next(&rng);
        packed_panel_write((WeightType)type, rows, ROWS, K, panel);
        all[type] = content_hash(panel, n_panel, w, NULL, NULL);
        free(rows);
        free(panel);
    }
    assert_int_equal(PACKED_LAYOUT_VERSION, 1);
    assert_int_equal(content_hash(all, sizeof all, w, NULL, NULL).low, 0x4d63f55dd45d63f2);
    workers_free(w);
}

// ---- whole models ----

static PackOutcome open_model(const char *path, const char *folder, const char *says) {
    Workers *w = workers_new(2, NULL);
    Err err;
    Model *m = model_open(path, folder, w, NULL, NULL, &err);
    if (!m) fail_msg("%s", err.msg);
    PackReport report = model_info(m)->packed;
    if (!strstr(report.why, says)) fail_msg("'%s' does not say '%s'", report.why, says);
    model_close(m);
    workers_free(w);
    return report.outcome;
}

static void find_image(const char *folder, char *out, size_t size) {
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir));)
        if (strstr(e->d_name, ".pack")) snprintf(out, size, "%s/%s", folder, e->d_name);
    closedir(dir);
}

static void test_model_outcomes(void **state) {
    Rig *r = *state;
    char image[400] = "";
    const char *path = tiny_model_write(NULL);
    CpuRung rung;
    assert_true(cpu_rung(&rung, NULL));
    assert_int_equal(open_model(path, "", ""), PACK_OFF);
    if (rung == CPU_SCALAR) {
        assert_int_equal(open_model(path, r->folder, "need no packing"), PACK_UNUSED);
    } else {
        assert_int_equal(open_model(path, r->folder, "there was none"), PACK_WRITTEN);
        assert_int_equal(open_model(path, r->folder, ""), PACK_USED);
        find_image(r->folder, image, sizeof image);
        change_byte(image, HEAD_BYTES + 100, 1);
        assert_int_equal(open_model(path, r->folder, "checksum"), PACK_REPLACED);
        assert_int_equal(open_model(path, r->folder, ""), PACK_USED);
        assert_int_equal(open_model(path, "/dev/null", "Not a directory"), PACK_FAILED);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        change_byte(path, st.st_size - 1, 1); // another model, then, if by one weight
        assert_int_equal(open_model(path, r->folder, "there was none"), PACK_WRITTEN);
        assert_int_equal(count_files(r->folder), 2);
    }
    tiny_model_remove();
}

// ---- when it is not wanted any more

static _Atomic bool unwanted;

static void give_up(double fraction, void *user) {
    (void)fraction;
    ++*(int *)user;
    atomic_store(&unwanted, true);
}

static void expect_given_up(const char *path, const char *folder, int n_mats) {
    Workers *w = workers_new(2, NULL);
    int n = 0;
    Err err;
    workers_set_cancel(w, &unwanted);
    assert_null(model_open(path, folder, w, give_up, &n, &err));
    assert_string_equal(err.msg, "interrupted");
    assert_int_equal(n, n_mats);
    workers_free(w);
}

static void test_cancelled(void **state) {
    Rig *r = *state;
    const char *path = tiny_model_write(NULL);
    Err err;
    atomic_store(&unwanted, false);
    expect_given_up(path, "", 1); // during the first matrix
    atomic_store(&unwanted, false);
    expect_given_up(path, r->folder, 1);
    expect_given_up(path, r->folder, 0); // from the start
    workers_set_cancel(r->workers, &unwanted);
    assert_false(pack_image_write(r->folder, &r->key, r->region, r->workers, &err));
    assert_non_null(strstr(err.msg, "interrupted"));
    assert_int_equal(count_files(r->folder), 0);
    tiny_model_remove();
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

SUITE(pack_image, WITH_RIG(test_round_trip), WITH_RIG(test_makes_private_folder),
      WITH_RIG(test_every_field_counts), WITH_RIG(test_tells_what_is_wrong), WITH_RIG(test_wrong_lengths),
      WITH_RIG(test_other_key), WITH_RIG(test_not_only_ours), WITH_RIG(test_not_a_file),
      WITH_RIG(test_write_fails_midway), WITH_RIG(test_no_place_to_write), WITH_RIG(test_temporary_file),
      WITH_RIG(test_many_writers), cmocka_unit_test(test_hash), cmocka_unit_test(test_layout_version),
      WITH_RIG(test_model_outcomes), WITH_RIG(test_cancelled))
