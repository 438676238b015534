// Hostile bytes: the fuzzer's corpus, truncations and random damage, all walked by the fuzz target.
#include "harness.h"
#include "base/rng.h"
#include "fuzz/replay.h"
#include "gguf/gguf_bytes.h"

#define LLVMFuzzerTestOneInput fuzz_gguf_one
#include "fuzz/fuzz_gguf.c"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_gguf_one, "tests/fuzz/corpus/gguf");
}

// Every length but the full one is refused: the last tensor ends with the file.
static void test_truncations(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        Buf b = {0};
        bytes_good(&b, version);
        for (size_t n = 0; n < b.len; n++) {
            char *exact = malloc(n ? n : 1);
            assert_non_null(exact);
            memcpy(exact, b.ptr, n);
            Err err = {0};
            if (gguf_open_memory(exact, n, &err)) fail_msg("opened with %zu of %zu bytes", n, b.len);
            if (err.code != ERR_INVALID || !strstr(err.msg, "fetch it again"))
                fail_msg("%zu: '%s'", n, err.msg);
            free(exact);
        }
        fuzz_run_exact(fuzz_gguf_one, buf_str(&b));
        buf_free(&b);
    }
}

static void test_random_damage(void **state) {
    (void)state;
    Buf b = {0};
    bytes_good(&b, 3);
    Rng rng = {20240229};
    char *copy = malloc(b.len);
    assert_non_null(copy);
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, b.ptr, b.len);
        int n_flips = 1 + (int)(rng_next(&rng) % 4);
        for (int i = 0; i < n_flips; i++) {
            size_t at = rng_next(&rng) % b.len;
            // Half of them a single bit (near misses), half of them any byte.
            if (rng_next(&rng) & 1)
                copy[at] = (char)(copy[at] ^ (1 << (rng_next(&rng) & 7)));
            else
                copy[at] = (char)(rng_next(&rng) & 0xff);
        }
        fuzz_gguf_one((const uint8_t *)copy, b.len);
    }
    free(copy);
    buf_free(&b);
}

SUITE(gguf_corpus, cmocka_unit_test(test_corpus), cmocka_unit_test(test_truncations),
      cmocka_unit_test(test_random_damage))
