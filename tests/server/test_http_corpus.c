// What clients have sent: the fuzzer's corpus, through its target.
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_http_one
#include "fuzz/fuzz_http.c"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_http_one, "tests/fuzz/corpus/http");
}

SUITE(http_corpus, cmocka_unit_test(test_corpus))
