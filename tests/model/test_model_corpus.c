// Hostile model files, from the reader to a step: the fuzzer's corpus and random damage, through its target.
#define LLVMFuzzerTestOneInput fuzz_model_one
#include "fuzz/fuzz_model.c" // first: it asks the system for more than POSIX

#include "fuzz/replay.h"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_model_one, "tests/fuzz/corpus/model");
}

// Of a file that is good: a whole number more or less here and there.
static void test_random_damage(void **state) {
    (void)state;
    Buf head = fuzz_read_file("tests/fuzz/corpus/model", "seed_qwen3");
    char *copy = malloc(head.len);
    Rng rng = {20261126};
    assert_non_null(copy);
    for (int round = 0; round < 3000; round++) {
        memcpy(copy, head.ptr, head.len);
        for (uint64_t flips = 1 + rng_next(&rng) % 3; flips-- > 0;) {
            size_t at = rng_next(&rng) % head.len;
            copy[at] = (char)(rng_next(&rng) & 1 ? copy[at] ^ (1 << (rng_next(&rng) & 7))
                                                 : (int)(rng_next(&rng) & 0xff));
        }
        fuzz_model_one((const uint8_t *)copy, head.len);
    }
    free(copy);
    buf_free(&head);
}

SUITE(model_corpus, cmocka_unit_test(test_corpus), cmocka_unit_test(test_random_damage))
