// The fuzzer's corpus, random texts and randomly damaged files, all through the fuzz target.
#include "harness.h"

#include "base/rng.h"
#include "fuzz/replay.h"

#define LLVMFuzzerTestOneInput fuzz_tokenizer_one
#include "fuzz/fuzz_tokenizer.c"

static void test_corpus(void **state) {
    (void)state;
    fuzz_replay(fuzz_tokenizer_one, "tests/fuzz/corpus/tokenizer");
}

static void test_random_texts(void **state) {
    (void)state;
    static const char *const parts[] = {"hello",  " ",    "<|im_end|>", "\u00e9", "e\u0301",
                                        "\u2581", "\xE2", "1",          "\xFF",   "ab"};
    Rng rng = {4};
    for (int round = 0; round < 10000; round++) {
        Buf b = {0};
        buf_putc(&b, (char)((rng_next(&rng) % 3) | (rng_next(&rng) & 4)));
        for (size_t i = rng_next(&rng) % 20; i > 0; i--)
            buf_puts(&b, parts[rng_next(&rng) % (sizeof parts / sizeof *parts)]);
        fuzz_run_exact(fuzz_tokenizer_one, buf_str(&b));
        buf_free(&b);
    }
}

static void good_file(TinyVocab *v, bool pieces) {
    tiny_key_u32(v, "tokenizer.ggml.bos_token_id", 1);
    tiny_key_u32(v, "tokenizer.ggml.eos_token_id", 2);
    if (pieces) {
        add_pieces(v);
        CHECK(tiny_open_spm(v, NULL));
    } else {
        tiny_english(v);
        CHECK(tiny_open_bpe(v, "qwen2", NULL));
    }
}

static void test_damaged_files(void **state) {
    (void)state;
    Rng rng = {8};
    for (int kind = 0; kind < 2; kind++) {
        TinyVocab v = {0};
        good_file(&v, kind == 1);
        Buf b = {0};
        for (int round = 0; round < 3000; round++) {
            buf_clear(&b);
            buf_putc(&b, MODE_FILE);
            buf_put(&b, buf_str(&v.file));
            for (size_t i = 1 + rng_next(&rng) % 3; i > 0; i--)
                b.ptr[1 + rng_next(&rng) % (b.len - 1)] = (char)rng_next(&rng);
            fuzz_run_exact(fuzz_tokenizer_one, buf_str(&b));
        }
        buf_free(&b);
        tiny_close(&v);
    }
}

SUITE(tokenizer_corpus, cmocka_unit_test(test_corpus), cmocka_unit_test(test_random_texts),
      cmocka_unit_test(test_damaged_files))
