// The size of the KV pool: asked for, automatic, and short of memory.
#include "harness.h"

#include "api/pool_size.h"
#include "model/batch.h"

static const uint64_t GIB = 1u << 30;

static PoolQuery query(uint64_t total_gib, uint64_t available_gib) {
    return (PoolQuery){.bytes_per_token = 1 << 16,
                       .max_context = 8192,
                       .memory = {.total = total_gib * GIB, .available = available_gib * GIB}};
}

static int64_t tokens(const PoolQuery *q, bool *is_short) {
    PoolSize size;
    assert_true(pool_size(q, &size, NULL));
    *is_short = size.short_of_context;
    return (int64_t)size.n_blocks * KV_BLOCK_TOKENS;
}

// A context of 8192 tokens takes half a GiB here.
static void test_automatic(void **state) {
    (void)state;
    bool is_short;
    PoolQuery big = query(64, 60), middle = query(8, 8), small = query(1, 1), tiny = query(1, 0);
    assert_int_equal(tokens(&big, &is_short), 8 * 8192); // eight contexts
    assert_false(is_short);
    assert_int_equal(tokens(&middle, &is_short), 4 * 8192); // a quarter of the memory
    assert_false(is_short);
    assert_int_equal(tokens(&small, &is_short), 8192); // one context, half of what is available
    assert_false(is_short);
    tiny.memory.available = GIB / 4;
    assert_int_equal(tokens(&tiny, &is_short), 2048); // what fits
    assert_true(is_short);
}

static void test_asked_for(void **state) {
    (void)state;
    bool is_short;
    PoolQuery q = query(1, 1);
    q.kv_tokens = 100;
    assert_int_equal(tokens(&q, &is_short), 112); // whole blocks
    q.kv_tokens = 0;
    q.kv_memory_mb = 256;
    assert_int_equal(tokens(&q, &is_short), 4096);
    q.kv_memory_mb = 16777216;
    q.bytes_per_token = 1;
    assert_true(tokens(&q, &is_short) > 0); // far beyond what 32 bits count: capped
}

static void test_no_block_fits(void **state) {
    (void)state;
    PoolSize size;
    Err err;
    PoolQuery q = query(1, 1);
    q.memory.available = 1 << 20;
    q.memory.total = 2 << 20;
    q.bytes_per_token = 1 << 20;
    assert_false(pool_size(&q, &size, &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

static void test_this_machine(void **state) {
    (void)state;
    Memory m;
    assert_true(memory_read(&m));
    assert_true(m.total >= m.available && m.available > 0);
}

SUITE(api_pool_size, cmocka_unit_test(test_automatic), cmocka_unit_test(test_asked_for),
      cmocka_unit_test(test_no_block_fits), cmocka_unit_test(test_this_machine))
