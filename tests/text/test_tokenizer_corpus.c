// The fuzzer's corpus, random texts and randomly damaged files, all through the fuzz target.
#include "harness.h"

#include "base/rng.h"

#define LLVMFuzzerTestOneInput fuzz_tokenizer_one
#include "fuzz/fuzz_tokenizer.c"

#include <dirent.h>
#include <stdio.h>

// From a block of exactly their size, so that a sanitizer sees a read past the end.
static void run_exact(Str s) {
    uint8_t *exact = malloc(s.len ? s.len : 1);
    assert_non_null(exact);
    memcpy(exact, s.ptr, s.len);
    fuzz_tokenizer_one(exact, s.len);
    free(exact);
}

static void replay(const char *dir, const char *name) {
    char path[512], chunk[4096];
    Buf b = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) buf_put(&b, (Str){chunk, n});
    fclose(f);
    run_exact(buf_str(&b));
    buf_free(&b);
}

static void test_corpus(void **state) {
    (void)state;
    static const char dir[] = "tests/fuzz/corpus/tokenizer";
    DIR *d = opendir(dir);
    if (!d) fail_msg("cannot open %s (the tests run in the repository's root)", dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') replay(dir, e->d_name), n++;
    closedir(d);
    assert_true(n > 0);
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
        run_exact(buf_str(&b));
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
            run_exact(buf_str(&b));
        }
        buf_free(&b);
        tiny_close(&v);
    }
}

SUITE(tokenizer_corpus, cmocka_unit_test(test_corpus), cmocka_unit_test(test_random_texts),
      cmocka_unit_test(test_damaged_files))
