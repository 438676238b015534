// References and a hub's replies: the fuzzer's corpus, through its target.
#define LLVMFuzzerTestOneInput fuzz_hub_one
#include "fuzz/fuzz_hub.c"

#include "fuzz/replay.h"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_hub_one, "tests/fuzz/corpus/hub");
}

SUITE(hub_corpus, cmocka_unit_test(test_corpus))
