// Grammars and schemas: the fuzzers' corpora, through their targets, whole and damaged.
#define LLVMFuzzerTestOneInput fuzz_grammar_one
#include "fuzz/fuzz_grammar.c"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_schema_one
#include "fuzz/fuzz_schema.c"

#include "fuzz/replay.h"

static void test_grammars(void **state) {
    (void)state;
    fuzz_replay(fuzz_grammar_one, "tests/fuzz/corpus/grammar");
}

static void test_schemas(void **state) {
    (void)state;
    fuzz_replay(fuzz_schema_one, "tests/fuzz/corpus/schema");
}

SUITE(constrain_corpus, cmocka_unit_test(test_grammars), cmocka_unit_test(test_schemas))
