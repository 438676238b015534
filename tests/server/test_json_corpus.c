// Request bodies: the fuzzer's corpus, through its target.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_json_one
#include "fuzz/fuzz_json.c"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_json_one, "tests/fuzz/corpus/json");
}

SUITE(json_corpus, cmocka_unit_test(test_corpus))
