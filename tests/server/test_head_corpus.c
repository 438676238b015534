// Heads of requests: the fuzzer's corpus, through its target.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_head_one
#include "fuzz/fuzz_head.c"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_head_one, "tests/fuzz/corpus/head");
}

SUITE(head_corpus, cmocka_unit_test(test_corpus))
