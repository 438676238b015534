#include "engine/kv_prefix.h"

#include "engine/engine.h"
#include "harness.h"
#include "request_kit.h"

static const int32_t NOUGHTS[KV_BLOCK_TOKENS], ONE[KV_BLOCK_TOKENS] = {[15] = 1};

static KvKey key(int32_t parent, const char *salt, const int32_t *tokens) {
    return (KvKey){parent, str_from(salt), tokens};
}

static void test_finds_by_parent_tokens_and_salt(void **state) {
    (void)state;
    KvPrefix *x = kv_prefix_new(8, NULL);
    assert_int_equal(kv_prefix_find(x, key(-1, NULL, NOUGHTS)), -1);
    assert_int_equal(kv_prefix_add(x, 3, key(-1, NULL, NOUGHTS)), 3);
    assert_int_equal(kv_prefix_add(x, 5, key(3, NULL, NOUGHTS)), 5);
    assert_int_equal(kv_prefix_add(x, 6, key(-1, "s", NOUGHTS)), 6);
    assert_int_equal(kv_prefix_find(x, key(-1, "", NOUGHTS)), 3);
    assert_int_equal(kv_prefix_find(x, key(3, NULL, NOUGHTS)), 5);
    assert_int_equal(kv_prefix_find(x, key(3, "t", NOUGHTS)), 5); // the parent tells
    assert_int_equal(kv_prefix_find(x, key(-1, "s", NOUGHTS)), 6);
    assert_int_equal(kv_prefix_find(x, key(-1, "t", NOUGHTS)), -1);
    assert_int_equal(kv_prefix_find(x, key(-1, "ss", NOUGHTS)), -1);
    assert_int_equal(kv_prefix_find(x, key(-1, NULL, ONE)), -1);
    assert_int_equal(kv_prefix_find(x, key(5, NULL, NOUGHTS)), -1);
    assert_int_equal(kv_prefix_find(x, key(6, "s", NOUGHTS)), -1);
    kv_prefix_free(x);
}

static void test_one_key_has_one_block(void **state) {
    (void)state;
    KvPrefix *x = kv_prefix_new(4, NULL);
    assert_int_equal(kv_prefix_add(x, 1, key(-1, NULL, ONE)), 1);
    assert_int_equal(kv_prefix_add(x, 2, key(-1, NULL, ONE)), 1);
    assert_false(kv_prefix_forget(x, 2));
    assert_true(kv_prefix_forget(x, 1));
    assert_int_equal(kv_prefix_find(x, key(-1, NULL, ONE)), -1);
    assert_int_equal(kv_prefix_add(x, 2, key(-1, NULL, ONE)), 2);
    kv_prefix_free(x);
}

static void test_the_longest_salt(void **state) {
    (void)state;
    char salt[ENGINE_MAX_SALT + 1] = {0};
    memset(salt, 'x', ENGINE_MAX_SALT);
    KvPrefix *x = kv_prefix_new(4, NULL);
    kv_prefix_add(x, 0, key(-1, salt, ONE));
    assert_int_equal(kv_prefix_find(x, key(-1, salt, ONE)), 0);
    salt[ENGINE_MAX_SALT - 1] = 'y';
    assert_int_equal(kv_prefix_find(x, key(-1, salt, ONE)), -1);
    kv_prefix_free(x);
}

// Few different tokens, so that buckets fill up and keys meet: compared with a search through a list.
static void test_random_use(void **state) {
    (void)state;
    enum { BLOCKS = 40 };
    Rng r = {kit_seed("kv_prefix", 3)};
    int32_t tokens[BLOCKS][KV_BLOCK_TOKENS], of[BLOCKS], there = 0;
    KvPrefix *x = kv_prefix_new(BLOCKS, NULL);
    for (int32_t b = 0; b < BLOCKS; b++) of[b] = -1; // what the block holds
    for (int32_t b = 0; b < BLOCKS; b++)
        for (int i = 0; i < KV_BLOCK_TOKENS; i++) tokens[b][i] = kit_below(&r, 2);
    for (int i = 0; i < 20000; i++) {
        int32_t b = kit_below(&r, BLOCKS), content = kit_below(&r, BLOCKS), holder = -1;
        for (int32_t j = 0; j < BLOCKS; j++)
            if (of[j] >= 0 && memcmp(tokens[of[j]], tokens[content], sizeof tokens[0]) == 0) holder = j;
        assert_int_equal(kv_prefix_find(x, key(-1, NULL, tokens[content])), holder);
        if (of[b] >= 0) {
            assert_true(kv_prefix_forget(x, b));
            of[b] = -1;
        } else if (kv_prefix_add(x, b, key(-1, NULL, tokens[content])) == b) {
            assert_int_equal(holder, -1);
            of[b] = content;
            there++;
        }
    }
    assert_true(there > 5000);
    kv_prefix_free(x);
}

SUITE(kv_prefix, cmocka_unit_test(test_finds_by_parent_tokens_and_salt),
      cmocka_unit_test(test_one_key_has_one_block), cmocka_unit_test(test_the_longest_salt),
      cmocka_unit_test(test_random_use))
