// Grammars, schemas and expressions: the fuzzer's corpus, through its target.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_token_mask_one
#include "fuzz/fuzz_token_mask.c"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_token_mask_one, "tests/fuzz/corpus/token_mask");
}

SUITE(token_mask_corpus, cmocka_unit_test(test_corpus))
