// Files that must be refused, with a message that names the key.
#include "harness.h"

#include "text/tiny_vocab.h"

#include <stdio.h>

static void expect_refused(TinyVocab *v, ErrCode code, const char *says) {
    Err err = {0};
    if (tiny_open_keys(v, &err)) fail_msg("opened; expected: %s", says);
    if (!strstr(err.msg, says)) fail_msg("'%s' does not say '%s'", err.msg, says);
    assert_int_equal(err.code, code);
    tiny_close(v);
}

static void model_and_pre(TinyVocab *v, const char *model, const char *pre) {
    tiny_key_str(v, "tokenizer.ggml.model", model);
    tiny_key_str(v, "tokenizer.ggml.pre", pre);
}

// All keys of a good byte-level file, except merges.
static void good_but_merges(TinyVocab *v) {
    tiny_byte_alphabet(v);
    model_and_pre(v, "gpt2", "qwen2");
    tiny_tokens(v);
    tiny_types(v);
}

static void test_model_and_pre(void **state) {
    (void)state;
    TinyVocab v = {0};
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.model is missing");
    model_and_pre(&v, "bert", "");
    expect_refused(&v, ERR_UNSUPPORTED, "tokenizer.ggml.model is 'bert'; supported are gpt2 and llama");
    model_and_pre(&v, "gpt2", "klingon");
    expect_refused(&v, ERR_UNSUPPORTED,
                   "tokenizer.ggml.pre is 'klingon', which is not known; known are: gpt-2, ");
    tiny_key_str(&v, "tokenizer.ggml.model", "gpt2");
    tiny_key_u32(&v, "tokenizer.ggml.pre", 1);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.pre is not a string");
}

static void test_tokens(void **state) {
    (void)state;
    TinyVocab v = {0};
    model_and_pre(&v, "gpt2", "gpt-2");
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.tokens is missing");
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_key_u32(&v, "tokenizer.ggml.tokens", 1);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.tokens is missing or not an array");
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_tokens(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.tokens is empty");
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_token(&v, "a", TINY_NORMAL);
    tiny_array(&v, "tokenizer.ggml.tokens", GGUF_I32, 1, &v.types);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.tokens is not an array of strings");
}

static void test_twins(void **state) {
    (void)state;
    TinyVocab v = {0};
    tiny_byte_alphabet(&v);
    tiny_token(&v, "a", TINY_NORMAL);
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_tokens(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.tokens[256] is the same string as entry 97");
    tiny_byte_alphabet(&v); // padding may be all alike
    tiny_token(&v, "[PAD]", TINY_UNUSED);
    tiny_token(&v, "[PAD]", TINY_UNUSED);
    Err err = {0};
    if (!tiny_open_bpe(&v, "gpt-2", &err)) fail_msg("%s", err.msg);
    tiny_close(&v);
}

static void test_too_many_tokens(void **state) {
    (void)state;
    TinyVocab v = {0};
    Buf empties = {0};
    uint32_t n = 10000001;
    assert_true(buf_reserve(&empties, (size_t)n * 8));
    memset(empties.ptr, 0, (size_t)n * 8);
    empties.len = (size_t)n * 8;
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_array(&v, "tokenizer.ggml.tokens", GGUF_STRING, n, &empties);
    buf_free(&empties);
    expect_refused(&v, ERR_LIMIT, "tokenizer.ggml.tokens has 10000001 entries; at most 10000000");
}

static void test_types(void **state) {
    (void)state;
    TinyVocab v = {0};
    tiny_byte_alphabet(&v);
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_tokens(&v);
    tiny_array(&v, "tokenizer.ggml.token_type", GGUF_I32, 255, &(Buf){v.types.ptr, 255 * 4, 0, false});
    expect_refused(&v, ERR_INVALID,
                   "tokenizer.ggml.token_type has 255 entries, but tokenizer.ggml.tokens has 256");
    tiny_byte_alphabet(&v);
    tiny_token(&v, "x1", 7);
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_tokens(&v);
    tiny_types(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.token_type[256] is not a token type");
    tiny_byte_alphabet(&v);
    tiny_token(&v, "<0xG0>", TINY_BYTE);
    model_and_pre(&v, "gpt2", "gpt-2");
    tiny_tokens(&v);
    tiny_types(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.tokens[256] is marked as a byte");
}

static void test_merges(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"", "tokenizer.ggml.merges[1] '' is not two pieces"},
        {"ab", "tokenizer.ggml.merges[1] 'ab' is not two pieces"},
        {"a ", "tokenizer.ggml.merges[1] 'a ' is not two pieces"},
        {" a", "tokenizer.ggml.merges[1] ' a' is not two pieces"},
        {" ", "tokenizer.ggml.merges[1] ' ' is not two pieces"},
        {"a b c", "tokenizer.ggml.merges[1] 'a b c' is not two pieces"},
        {"a xyz", "tokenizer.ggml.merges[1] 'a xyz' names a piece that is not in the vocabulary"},
        {"xyz a", "tokenizer.ggml.merges[1] 'xyz a' names a piece that is not in the vocabulary"},
        {"c d", "tokenizer.ggml.merges[1] 'c d' makes a piece that is not in the vocabulary"},
    };
    TinyVocab v = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tiny_piece(&v, "a", "b");
        good_but_merges(&v);
        tiny_merge(&v, rows[i].line);
        tiny_merges(&v);
        expect_refused(&v, ERR_INVALID, rows[i].says);
    }
    good_but_merges(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.merges is missing");
    good_but_merges(&v);
    tiny_array(&v, "tokenizer.ggml.merges", GGUF_I32, v.n_tokens, &v.types);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.merges is missing or not an array of strings");
}

static void test_ids_and_flags(void **state) {
    (void)state;
    static const char *const ids[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                      "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                                      "tokenizer.ggml.unknown_token_id"};
    static const char *const flags[] = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
                                        "tokenizer.ggml.add_space_prefix"};
    TinyVocab v = {0};
    char says[200];
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        good_but_merges(&v);
        tiny_merges(&v);
        tiny_key_u32(&v, ids[i], i % 2 ? 256 : UINT32_MAX);
        snprintf(says, sizeof says, "%s is %s, but the vocabulary has 256 tokens", ids[i],
                 i % 2 ? "256" : "4294967295");
        expect_refused(&v, ERR_INVALID, says);
        good_but_merges(&v);
        tiny_merges(&v);
        tiny_key_str(&v, ids[i], "1");
        snprintf(says, sizeof says, "%s is not a token id", ids[i]);
        expect_refused(&v, ERR_INVALID, says);
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        good_but_merges(&v);
        tiny_merges(&v);
        tiny_key_str(&v, flags[i], "true");
        snprintf(says, sizeof says, "%s is not a boolean", flags[i]);
        expect_refused(&v, ERR_INVALID, says);
    }
}

static void test_a_special_token_that_is_too_long(void **state) {
    (void)state;
    TinyVocab v = {0};
    char text[1026];
    memset(text, 'x', 1025);
    text[1025] = '\0';
    tiny_token(&v, text, TINY_CONTROL);
    good_but_merges(&v);
    tiny_merges(&v);
    expect_refused(&v, ERR_LIMIT, "tokenizer.ggml.tokens[0] is a special token of 1025 bytes; at most 1024");
}

static void test_sentencepiece(void **state) {
    (void)state;
    TinyVocab v = {0};
    tiny_byte_tokens(&v);
    model_and_pre(&v, "llama", "default");
    tiny_tokens(&v);
    tiny_types(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.scores is missing");
    tiny_byte_tokens(&v);
    model_and_pre(&v, "llama", "default");
    tiny_tokens(&v);
    tiny_types(&v);
    tiny_array(&v, "tokenizer.ggml.scores", GGUF_F32, 3, &(Buf){v.scores.ptr, 12, 0, false});
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.scores has 3 entries");
    tiny_byte_tokens(&v);
    tiny_scored(&v, STR("a"), TINY_NORMAL, __builtin_nanf(""));
    model_and_pre(&v, "llama", "default");
    tiny_tokens(&v);
    tiny_types(&v);
    tiny_scores(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.scores[256] is not a finite number");
    tiny_token(&v, "a", TINY_NORMAL);
    model_and_pre(&v, "llama", "default");
    tiny_tokens(&v);
    tiny_types(&v);
    tiny_scores(&v);
    expect_refused(&v, ERR_INVALID, "tokenizer.ggml.tokens has no <0x00>");
}

SUITE(tokenizer_bad, cmocka_unit_test(test_model_and_pre), cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_twins), cmocka_unit_test(test_too_many_tokens), cmocka_unit_test(test_types),
      cmocka_unit_test(test_merges), cmocka_unit_test(test_ids_and_flags),
      cmocka_unit_test(test_a_special_token_that_is_too_long), cmocka_unit_test(test_sentencepiece))
