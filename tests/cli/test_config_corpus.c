// Configuration files: the fuzzer's corpus, through its target.
#define LLVMFuzzerTestOneInput fuzz_config_one
#include "fuzz/fuzz_config.c" // first: it asks the system for more than POSIX

#include "fuzz/replay.h"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_config_one, "tests/fuzz/corpus/config");
}

SUITE(config_corpus, cmocka_unit_test(test_corpus))
