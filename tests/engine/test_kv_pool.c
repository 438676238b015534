#include "engine/kv_pool.h"
#include "harness.h"
#include "request_kit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_takes_every_block_once_latest_first(void **state) {
    (void)state;
    KvPool *p = kv_pool_new(5, 5, NULL);
    for (int32_t i = 0; i < 5; i++) assert_int_equal(kv_pool_take(p), i);
    assert_int_equal(kv_pool_take(p), -1);
    static const int32_t ORDER[] = {3, 0, 4, 1, 2};
    for (int i = 0; i < 5; i++) kv_pool_release(p, ORDER[i]);
    for (int i = 0; i < 5; i++) assert_int_equal(kv_pool_take(p), ORDER[4 - i]);
    kv_pool_check(p);
    for (int32_t i = 0; i < 5; i++) kv_pool_release(p, i);
    assert_int_equal(kv_pool_n_free(p), 5);
    kv_pool_free(p);
}

static void test_a_block_is_free_after_its_last_reference(void **state) {
    (void)state;
    KvPool *p = kv_pool_new(2, 2, NULL);
    int32_t b = kv_pool_take(p);
    kv_pool_retain(p, b);
    kv_pool_release(p, b);
    assert_int_equal(kv_pool_n_free(p), 1);
    kv_pool_release(p, b);
    assert_int_equal(kv_pool_n_free(p), 2);
    kv_pool_check(p);
    kv_pool_free(p);
}

static void test_kept_blocks_are_taken_last_and_the_oldest_first(void **state) {
    (void)state;
    KvPool *p = kv_pool_new(5, 5, NULL);
    for (int i = 0; i < 5; i++) kv_pool_take(p);
    for (int32_t b = 0; b < 3; b++) kv_pool_keep(p, b);
    static const int32_t RELEASED[] = {2, 4, 0, 3, 1}, TAKEN[] = {3, 4, 2, 0, 1};
    for (int i = 0; i < 5; i++) kv_pool_release(p, RELEASED[i]);
    assert_int_equal(kv_pool_n_free(p), 5);
    kv_pool_retain(p, 2); // found again, and in the end used later than the others
    kv_pool_retain(p, 2);
    kv_pool_check(p);
    assert_int_equal(kv_pool_refs(p, 2), 2);
    assert_int_equal(kv_pool_n_free(p), 4);
    for (int i = 0; i < 2; i++) assert_int_equal(kv_pool_take(p), TAKEN[i]);
    kv_pool_release(p, 2);
    kv_pool_release(p, 2);
    for (int i = 3; i < 5; i++) assert_int_equal(kv_pool_take(p), TAKEN[i]);
    assert_true(kv_pool_is_kept(p, 2));
    assert_int_equal(kv_pool_take(p), 2);
    assert_false(kv_pool_is_kept(p, 2));
    kv_pool_check(p);
    for (int32_t b = 0; b < 5; b++) kv_pool_release(p, b);
    kv_pool_free(p);
}

// Blocks that were never taken are left alone while there is content enough to make room.
static void test_untouched_blocks_are_taken_last(void **state) {
    (void)state;
    KvPool *p = kv_pool_new(6, 2, NULL);
    for (int32_t b = 0; b < 2; b++) {
        assert_int_equal(kv_pool_take(p), b);
        kv_pool_keep(p, b);
    }
    kv_pool_release(p, 1);
    assert_int_equal(kv_pool_take(p), 2); // one kept block is fewer than two
    kv_pool_release(p, 0);
    assert_int_equal(kv_pool_n_kept(p), 2);
    assert_int_equal(kv_pool_take(p), 1);
    assert_int_equal(kv_pool_take(p), 3);
    kv_pool_release(p, 1);
    assert_int_equal(kv_pool_take(p), 1); // plain, and was used before
    assert_int_equal(kv_pool_n_touched(p), 4);
    static const int32_t REST[] = {4, 5, 0, -1};
    for (int i = 0; i < 4; i++) assert_int_equal(kv_pool_take(p), REST[i]);
    assert_int_equal(kv_pool_n_touched(p), 6);
    kv_pool_check(p);
    for (int32_t b = 0; b < 6; b++) kv_pool_release(p, b);
    kv_pool_free(p);
}

static void test_random_use(void **state) {
    (void)state;
    enum { BLOCKS = 23 };
    Rng r = {kit_seed("kv_pool", 5)};
    int32_t refs[BLOCKS] = {0}, taken = 0;
    KvPool *p = kv_pool_new(BLOCKS, BLOCKS / 4, NULL);
    for (int i = 0; i < 20000; i++) {
        int32_t b = kit_below(&r, BLOCKS);
        if (kit_below(&r, 2)) {
            int32_t got = kv_pool_take(p);
            assert_int_equal(got < 0, taken == BLOCKS);
            if (got >= 0) assert_int_equal(refs[got]++, 0);
            taken += got >= 0;
        } else if (kv_pool_is_kept(p, b) && kit_below(&r, 3) == 0) {
            kv_pool_retain(p, b);
            taken += refs[b]++ == 0;
        } else if (refs[b] > 0 && !kv_pool_is_kept(p, b) && kit_below(&r, 4) == 0) {
            kv_pool_keep(p, b);
        } else if (refs[b] > 0 && kit_below(&r, 4) == 0) {
            kv_pool_retain(p, b);
            refs[b]++;
        } else if (refs[b] > 0) {
            kv_pool_release(p, b);
            taken -= --refs[b] == 0;
        }
        assert_int_equal(kv_pool_n_free(p), BLOCKS - taken);
        kv_pool_check(p);
    }
    for (int32_t b = 0; b < BLOCKS; b++)
        while (refs[b]-- > 0) kv_pool_release(p, b);
    kv_pool_free(p);
}

static void release_twice(void) {
    KvPool *p = kv_pool_new(2, 2, NULL);
    int32_t b = kv_pool_take(p);
    kv_pool_release(p, b);
    kv_pool_release(p, b);
}

static void release_out_of_range(void) {
    kv_pool_release(kv_pool_new(2, 2, NULL), 2);
}

static void retain_a_free_block(void) {
    kv_pool_retain(kv_pool_new(2, 2, NULL), 1);
}

static void keep_a_free_block(void) {
    kv_pool_keep(kv_pool_new(2, 2, NULL), 1);
}

static void free_while_taken(void) {
    KvPool *p = kv_pool_new(2, 2, NULL);
    kv_pool_take(p);
    kv_pool_free(p);
}

static void assert_aborts(void (*body)(void)) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); // cmocka's own handler would report it
        if (!freopen("/dev/null", "w", stderr)) _exit(1);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_misuse_aborts(void **state) {
    (void)state;
    assert_aborts(release_twice);
    assert_aborts(release_out_of_range);
    assert_aborts(retain_a_free_block);
    assert_aborts(keep_a_free_block);
    assert_aborts(free_while_taken);
}

static void test_a_pool_of_nothing_is_refused(void **state) {
    (void)state;
    Err err = {0};
    assert_null(kv_pool_new(0, 0, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

SUITE(kv_pool, cmocka_unit_test(test_takes_every_block_once_latest_first),
      cmocka_unit_test(test_a_block_is_free_after_its_last_reference),
      cmocka_unit_test(test_kept_blocks_are_taken_last_and_the_oldest_first),
      cmocka_unit_test(test_untouched_blocks_are_taken_last), cmocka_unit_test(test_random_use),
      cmocka_unit_test(test_misuse_aborts), cmocka_unit_test(test_a_pool_of_nothing_is_refused))
