// The library's defaults are those of the command line.
#include "harness.h"

#include "cli/runtime_options.h"

#include <cllm.h>

static void test_like_the_options(void **state) {
    (void)state;
    Options o;
    assert_true(options_init(&o, NULL));
    RuntimeConfig a = runtime_config(&o), b = runtime_defaults();
    assert_string_equal(a.model, b.model);
    assert_string_equal(a.packed_cache, b.packed_cache);
    assert_string_equal(a.chat_template, b.chat_template);
    assert_int_equal(a.threads, b.threads);
    assert_int_equal(a.pin_threads, b.pin_threads);
    assert_int_equal(a.kv_type, b.kv_type);
    assert_int_equal(a.max_context, b.max_context);
    assert_int_equal(a.kv_tokens, b.kv_tokens);
    assert_int_equal(a.kv_memory_mb, b.kv_memory_mb);
    assert_int_equal(a.max_running, b.max_running);
    assert_int_equal(a.max_queue, b.max_queue);
    assert_int_equal(a.row_budget, b.row_budget);
    assert_int_equal(a.prefill_chunk, b.prefill_chunk);
    assert_int_equal(a.decode_share, b.decode_share);
    assert_int_equal(a.spec_rows, b.spec_rows);
    assert_int_equal(a.max_queue_tokens, b.max_queue_tokens);
    assert_int_equal(a.priority_step_s, b.priority_step_s);
    assert_int_equal(a.prefix_cache, b.prefix_cache);
    assert_int_equal(a.prefix_mb, b.prefix_mb);
    options_free(&o);
}

static void test_sampling_like_the_options(void **state) {
    (void)state;
    Options o;
    CllmParams p;
    cllm_params_init(&p, sizeof p);
    assert_true(options_init(&o, NULL));
    assert_true(p.temperature == (float)o.temperature && p.top_p == (float)o.top_p);
    assert_true(p.min_p == (float)o.min_p && p.repetition_penalty == (float)o.repetition_penalty);
    assert_int_equal(p.top_k, o.top_k);
    assert_int_equal(p.seed, o.seed);
    assert_int_equal(p.max_tokens, o.max_tokens);
    options_free(&o);
}

// A program that was compiled with an earlier, shorter struct keeps what is behind it.
static void test_shorter_struct(void **state) {
    (void)state;
    CllmParams p;
    memset(&p, 0x55, sizeof p);
    cllm_params_init(&p, offsetof(CllmParams, top_p));
    assert_int_equal(p.size, offsetof(CllmParams, top_p));
    assert_true(p.temperature == 0.7F);
    assert_int_equal(p.top_k, 0x55555555);
}

SUITE(api_runtime_defaults, cmocka_unit_test(test_like_the_options),
      cmocka_unit_test(test_sampling_like_the_options), cmocka_unit_test(test_shorter_struct))
