#include "harness.h"

#include "base/rng.h"
#include "text/tiny_vocab.h"
#include "text/tokens_equal.h"

#include <pthread.h>
#include <stdlib.h>

static const EncodeOptions PLAIN = {0};
static const EncodeOptions SPECIAL = {.special = true};

// Ids in tiny_english after the 256 bytes.
enum { HE = 256, LL, HELL, HELLO, SP_W, OR, SP_WOR, AA, AAAA, SPSP, E_ACUTE, IM_START, IM_END, THINK };

static Tokenizer *open_english(TinyVocab *v, const char *pre) {
    Err err = {0};
    tiny_english(v);
    Tokenizer *t = tiny_open_bpe(v, pre, &err);
    if (!t) fail_msg("%s", err.msg);
    return t;
}

static void test_merges_in_order_of_rank(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_english(&v, "gpt-2");
    assert_encodes(t, STR("hello"), PLAIN, TOKENS(HELLO));
    assert_encodes(t, STR("hello world"), PLAIN, TOKENS(HELLO, SP_WOR, 'l', 'd'));
    assert_encodes(t, STR("hell"), PLAIN, TOKENS(HELL));
    assert_encodes(t, STR("elle"), PLAIN, TOKENS('e', LL, 'e'));
    assert_encodes(t, STR("lll"), PLAIN, TOKENS(LL, 'l')); // the leftmost of equals
    assert_encodes(t, STR("aaaaaaa"), PLAIN, TOKENS(AAAA, AA, 'a'));
    assert_encodes(t, STR(""), PLAIN, NULL, 0);
    assert_encodes(t, STR("\xC3\xA9"), PLAIN, TOKENS(E_ACUTE));
    tiny_close(&v);
}

// "abc" is in the vocabulary, but the merges lead to "ab" + "c" only.
static void add_unreachable(TinyVocab *v) {
    tiny_byte_alphabet(v);
    tiny_piece(v, "a", "b");           // 256
    tiny_token(v, "bc", TINY_NORMAL);  // 257
    tiny_merge(v, "b c");              // after "a b", so it never comes in "abc"
    tiny_token(v, "abc", TINY_NORMAL); // 258
    tiny_merge(v, "a bc");
}

static void test_whole_pieces_only_where_merges_lead_there(void **state) {
    (void)state;
    TinyVocab v = {0};
    Err err = {0};
    add_unreachable(&v);
    Tokenizer *t = tiny_open_bpe(&v, "gpt-2", &err);
    assert_non_null(t);
    for (int i = 0; i < 3; i++) assert_encodes(t, STR("abc"), PLAIN, TOKENS(256, 'c')); // asked, remembered
    tiny_close(&v);
    add_unreachable(&v);
    t = tiny_open_bpe(&v, "llama-bpe", &err);
    assert_non_null(t);
    assert_encodes(t, STR("abc"), PLAIN, TOKENS(258)); // this one ignores merges
    tiny_close(&v);
}

static void test_a_merge_listed_twice_has_its_later_rank(void **state) {
    (void)state;
    TinyVocab v = {0};
    Err err = {0};
    tiny_byte_alphabet(&v);
    tiny_piece(&v, "a", "b"); // 256
    tiny_piece(&v, "b", "c"); // 257
    tiny_merge(&v, "a b");
    Tokenizer *t = tiny_open_bpe(&v, "gpt-2", &err);
    assert_non_null(t);
    assert_encodes(t, STR("abc"), PLAIN, TOKENS('a', 257));
    tiny_close(&v);
}

static void test_pre_tokenizers_cut_as_published(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_english(&v, "gpt-2");
    assert_encodes(t, STR("a   b"), PLAIN, TOKENS('a', SPSP, ' ', 'b')); // "  " and " b"
    assert_encodes(t, STR("a  1"), PLAIN, TOKENS('a', ' ', ' ', '1'));   // " " and " 1"
    tiny_close(&v);
    // Digits are cut out first, so the run of spaces ends its piece and stays whole.
    t = open_english(&v, "smollm");
    assert_encodes(t, STR("a  1"), PLAIN, TOKENS('a', SPSP, '1'));
    tiny_close(&v);
    t = open_english(&v, "qwen2");
    assert_encodes(t, STR("a\n\n  b"), PLAIN, TOKENS('a', '\n', '\n', ' ', ' ', 'b'));
    assert_string_equal(tokenizer_pre_name(t), "qwen2");
    tiny_close(&v);
}

static void test_every_known_name_opens(void **state) {
    (void)state;
    static const char *const names[] = {"gpt-2",  "default",   "phi-2",       "smollm",    "starcoder",
                                        "refact", "command-r", "qwen2",       "llama-bpe", "llama-v3",
                                        "llama3", "gpt-4o",    "deepseek-v3", "tekken"};
    static const Str texts[] = {
        STR("It's 2024,\tDON'T \xC3\x89t\xC3\xA9!\r\n\r\n  \xE4\xBD\xA0\xE5\xA5\xBD 12345 x"), STR("   "),
        STR("ABCdefGHI'LL //\n"), STR("\xE1\xA0\x8E\xC2\x85\xE3\x80\x80")};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        TinyVocab v = {0};
        Tokenizer *t = open_english(&v, names[i]);
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++)
            assert_comes_back(t, texts[k], false, texts[k]);
        tiny_close(&v);
    }
}

static void test_special_tokens_only_when_asked(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_english(&v, "gpt-2");
    Str text = STR("he<|im_end|>he");
    assert_encodes(t, text, SPECIAL, TOKENS(HE, IM_END, HE));
    assert_encodes(t, text, PLAIN, TOKENS(HE, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>', HE));
    assert_encodes(t, STR("<|im_start|><|im_end|>"), SPECIAL, TOKENS(IM_START, IM_END));
    assert_encodes(t, STR("<|im_<|im_end|>"), SPECIAL, TOKENS('<', '|', 'i', 'm', '_', IM_END));
    // User-defined tokens are part of the vocabulary's text, whoever writes them.
    assert_encodes(t, STR("a<think>a"), PLAIN, TOKENS('a', THINK, 'a'));
    assert_encodes(t, STR("a<think>a"), SPECIAL, TOKENS('a', THINK, 'a'));
    assert_comes_back(t, text, true, text);
    assert_comes_back(t, text, false, text);
    tiny_close(&v);
}

static void test_the_longest_special_token_wins(void **state) {
    (void)state;
    TinyVocab v = {0};
    Err err = {0};
    tiny_byte_alphabet(&v);
    int32_t two = tiny_token(&v, "<<", TINY_USER), four = tiny_token(&v, "<<<<", TINY_USER);
    int32_t control = tiny_token(&v, "<<<<!", TINY_CONTROL);
    Tokenizer *t = tiny_open_bpe(&v, "gpt-2", &err);
    assert_non_null(t);
    assert_encodes(t, STR("<<<"), PLAIN, TOKENS(two, '<'));
    assert_encodes(t, STR("<<<<<<<"), PLAIN, TOKENS(four, two, '<'));
    assert_encodes(t, STR("<<<<!"), PLAIN, TOKENS(four, '!'));
    assert_encodes(t, STR("<<<<!"), SPECIAL, TOKENS(control));
    tiny_close(&v);
}

static void test_bos_and_eos_as_the_file_says(void **state) {
    (void)state;
    static const EncodeOptions edges = {.bos_eos = true};
    TinyVocab v = {0};
    tiny_key_u32(&v, "tokenizer.ggml.bos_token_id", IM_START);
    tiny_key_u32(&v, "tokenizer.ggml.eos_token_id", IM_END);
    Tokenizer *t = open_english(&v, "gpt-2");
    assert_encodes(t, STR("he"), edges, TOKENS(HE)); // gpt2 adds none unless told to
    assert_int_equal(tokenizer_bos(t), IM_START);
    assert_int_equal(tokenizer_eos(t), IM_END);
    tiny_close(&v);

    tiny_key_u32(&v, "tokenizer.ggml.bos_token_id", IM_START);
    tiny_key_u32(&v, "tokenizer.ggml.eos_token_id", IM_END);
    tiny_key_bool(&v, "tokenizer.ggml.add_bos_token", true);
    tiny_key_bool(&v, "tokenizer.ggml.add_eos_token", true);
    t = open_english(&v, "gpt-2");
    assert_encodes(t, STR("he"), edges, TOKENS(IM_START, HE, IM_END));
    assert_encodes(t, STR(""), edges, TOKENS(IM_START, IM_END));
    assert_encodes(t, STR("he"), PLAIN, TOKENS(HE));
    tiny_close(&v);

    tiny_key_u32(&v, "tokenizer.ggml.bos_token_id", IM_START);
    t = open_english(&v, "llama-bpe");
    assert_encodes(t, STR("he"), edges, TOKENS(IM_START, HE)); // this one adds BOS unless told not to
    assert_int_equal(tokenizer_eos(t), -1);
    tiny_close(&v);
}

static void test_end_tokens(void **state) {
    (void)state;
    TinyVocab v = {0};
    Err err = {0};
    tiny_byte_alphabet(&v);
    int32_t eos = tiny_token(&v, "<stop>", TINY_CONTROL);
    int32_t eot = tiny_token(&v, "<turn-over>", TINY_CONTROL);
    int32_t im_end = tiny_token(&v, "<|im_end|>", TINY_CONTROL);
    int32_t end = tiny_token(&v, "<|end|>", TINY_CONTROL);
    tiny_token(&v, "<|endoftext|>", TINY_NORMAL); // not a control token here
    tiny_key_u32(&v, "tokenizer.ggml.eos_token_id", (uint32_t)eos);
    tiny_key_u32(&v, "tokenizer.ggml.eot_token_id", (uint32_t)eot);
    tiny_key_u32(&v, "tokenizer.ggml.eom_token_id", (uint32_t)eos);
    Tokenizer *t = tiny_open_bpe(&v, "gpt-2", &err);
    assert_non_null(t);
    size_t n = 0;
    const int32_t *ids = tokenizer_end_tokens(t, &n);
    const int32_t expected[] = {eos, eot, im_end, end};
    assert_int_equal(n, 4);
    assert_memory_equal(ids, expected, sizeof expected);
    assert_true(tokenizer_is_end(t, im_end));
    assert_false(tokenizer_is_end(t, 'a'));
    assert_false(tokenizer_is_end(t, -1));
    tiny_close(&v);
}

static void test_end_of_message_is_not_end_of_turn(void **state) {
    (void)state;
    TinyVocab v = {0};
    Err err = {0};
    tiny_byte_alphabet(&v);
    int32_t end = tiny_token(&v, "<|end|>", TINY_CONTROL), ret = tiny_token(&v, "<|return|>", TINY_CONTROL);
    Tokenizer *t = tiny_open_bpe(&v, "gpt-4o", &err);
    assert_non_null(t);
    assert_false(tokenizer_is_end(t, end));
    assert_true(tokenizer_is_end(t, ret));
    tiny_close(&v);
}

static void expect_fim(TinyVocab *v, int32_t prefix, int32_t suffix, int32_t middle) {
    Err err = {0};
    Tokenizer *t = tiny_open_bpe(v, "gpt-2", &err);
    assert_non_null(t);
    const FimTokens *fim = tokenizer_fim(t);
    assert_int_equal(fim == NULL, prefix < 0);
    if (fim) assert_true(fim->prefix == prefix && fim->suffix == suffix && fim->middle == middle);
    tiny_close(v);
}

static void test_fill_in_tokens(void **state) {
    (void)state;
    static const char *const keys[] = {"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.fim_pre_token_id",
                                       "tokenizer.ggml.fim_mid_token_id"};
    for (int with_keys = 0; with_keys < 2; with_keys++) {
        TinyVocab v = {0};
        tiny_byte_alphabet(&v);
        int32_t middle = tiny_token(&v, "<fim_middle>", TINY_CONTROL);
        int32_t prefix = tiny_token(&v, "<fim_prefix>", TINY_USER);
        int32_t suffix = tiny_token(&v, "<fim_suffix>", TINY_CONTROL);
        for (uint32_t i = 0; i < 3 && with_keys; i++) tiny_key_u32(&v, keys[i], 'a' + i);
        if (with_keys)
            expect_fim(&v, 'b', 'a', 'c');
        else
            expect_fim(&v, prefix, suffix, middle);
    }
    TinyVocab v = {0};
    tiny_byte_alphabet(&v);
    tiny_token(&v, "<|fim_prefix|>", TINY_CONTROL);
    tiny_token(&v, "<|fim_suffix|>", TINY_CONTROL);
    tiny_token(&v, "<|fim_middle|>", TINY_NORMAL); // an ordinary word
    expect_fim(&v, -1, -1, -1);
}

static void test_decoding(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_english(&v, "gpt-2");
    assert_decodes(t, TOKENS(HELLO, SP_WOR, 'l', 'd'), false, "hello world");
    assert_decodes(t, TOKENS(IM_START, HE, IM_END, THINK), false, "he<think>");
    assert_decodes(t, TOKENS(IM_START, HE, IM_END, THINK), true, "<|im_start|>he<|im_end|><think>");
    assert_decodes(t, TOKENS(-1, HE, 100000, INT32_MAX, INT32_MIN), false, "he");
    assert_int_equal(tokenizer_n_vocab(t), THINK + 1);
    assert_int_equal(tokenizer_kind(t, HE), TOKEN_NORMAL);
    assert_int_equal(tokenizer_kind(t, IM_END), TOKEN_CONTROL);
    assert_int_equal(tokenizer_kind(t, THINK), TOKEN_USER);
    assert_int_equal(tokenizer_kind(t, -1), TOKEN_UNUSED);
    assert_int_equal(tokenizer_find(t, STR("<think>")), THINK);
    assert_int_equal(tokenizer_find(t, STR("\u0120w")), SP_W);
    assert_int_equal(tokenizer_find(t, STR(" w")), -1);
    assert_int_equal(tokenizer_find(t, STR("")), -1);
    tiny_close(&v);
}

static void test_normal_form_c_where_the_model_wants_it(void **state) {
    (void)state;
    TinyVocab v = {0};
    Str apart = STR("e\xCC\x81"), together = STR("\xC3\xA9");
    Tokenizer *t = open_english(&v, "qwen2");
    assert_comes_back(t, apart, false, together);
    assert_comes_back(t,
                      STR("\xFF"
                          "e\xCC\x81\xFFz"),
                      false, STR("\xFF\xC3\xA9\xFFz"));
    assert_comes_back(t, STR("e<think>\xCC\x81"), false, STR("e<think>\xCC\x81")); // not across a token
    tiny_close(&v);
    t = open_english(&v, "gpt-2");
    assert_comes_back(t, apart, false, apart);
    tiny_close(&v);
}

// A byte without a token is left out; it never becomes the unknown token, which may be a control token.
static void test_a_byte_without_a_token(void **state) {
    (void)state;
    TinyVocab v = {0};
    Err err = {0};
    tiny_token(&v, "<|endoftext|>", TINY_CONTROL);
    tiny_token(&v, "a", TINY_NORMAL);
    tiny_key_u32(&v, "tokenizer.ggml.unknown_token_id", 0);
    Tokenizer *t = tiny_open_bpe(&v, "gpt-2", &err);
    assert_non_null(t);
    assert_encodes(t, STR("abab"), PLAIN, TOKENS(1, 1));
    tiny_close(&v);
}

// What the merges give when done in the plainest way.
static size_t merge_plainly(const int32_t (*rules)[3], size_t n_rules, int32_t *ids, size_t n) {
    for (;;) {
        size_t rule = n_rules, at = 0;
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t r = 0; r < rule; r++)
                if (ids[i] == rules[r][0] && ids[i + 1] == rules[r][1]) {
                    rule = r;
                    at = i;
                }
        if (rule == n_rules) return n;
        ids[at] = rules[rule][2];
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void test_short_and_long_pieces_merge_alike(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"a", "b"},   {"b", "a"},     {"ab", "ab"},  {"a", "a"},
                                           {"aa", "ba"}, {"b", "b"},     {"abab", "a"}, {"bb", "aa"},
                                           {"aa", "aa"}, {"ababa", "bb"}};
    enum { N = sizeof pairs / sizeof pairs[0] };
    TinyVocab v = {0};
    Err err = {0};
    tiny_byte_alphabet(&v);
    for (size_t i = 0; i < N; i++) tiny_piece(&v, pairs[i][0], pairs[i][1]);
    Tokenizer *t = tiny_open_bpe(&v, "gpt-2", &err);
    if (!t) fail_msg("%s", err.msg);
    int32_t rules[N][3];
    for (size_t i = 0; i < N; i++) {
        rules[i][0] = tokenizer_find(t, str_from(pairs[i][0]));
        rules[i][1] = tokenizer_find(t, str_from(pairs[i][1]));
        rules[i][2] = (int32_t)(256 + i);
    }
    Rng rng = {11};
    for (int round = 0; round < 400; round++) {
        char text[300];
        int32_t ids[300];
        size_t n = 1 + rng_next(&rng) % sizeof text;
        for (size_t i = 0; i < n; i++) ids[i] = (uint8_t)(text[i] = rng_next(&rng) & 1 ? 'a' : 'b');
        size_t n_ids = merge_plainly((const int32_t(*)[3])rules, N, ids, n);
        assert_encodes(t, (Str){text, n}, PLAIN, ids, n_ids);
    }
    tiny_close(&v);
}

static void test_long_runs_stay_fast(void **state) {
    (void)state;
    static const char *const units[] = {"a", " ", "\n", "<|", "\xFF", "\xE4\xB8\xAD", " \n", "'"};
    TinyVocab v = {0};
    Tokenizer *t = open_english(&v, "qwen2");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        Buf text = {0};
        while (text.len < 200000) buf_puts(&text, units[i]);
        assert_comes_back(t, buf_str(&text), true, buf_str(&text));
        buf_free(&text);
    }
    tiny_close(&v);
}

static void test_random_bytes_come_back(void **state) {
    (void)state;
    static const char *const parts[] = {
        "hello", " world", "<|im_end|>", "<think>", "<|im", "\xC3\xA9",         "\xE2\x82",
        "\n",    "  ",     "1",          "'s",      "\xFF", "\xF0\x9F\x98\x80", "aaaa"};
    TinyVocab v = {0};
    Tokenizer *t = open_english(&v, "smollm");
    Rng rng = {12345};
    for (int round = 0; round < 5000; round++) {
        Buf text = {0};
        size_t n = rng_next(&rng) % 24;
        for (size_t i = 0; i < n; i++) {
            if (rng_next(&rng) & 1)
                buf_puts(&text, parts[rng_next(&rng) % (sizeof parts / sizeof parts[0])]);
            else
                buf_putc(&text, (char)rng_next(&rng));
        }
        char *exact = malloc(text.len ? text.len : 1); // so that a sanitizer sees a read past the end
        assert_non_null(exact);
        memcpy(exact, buf_str(&text).ptr, text.len);
        assert_comes_back(t, (Str){exact, text.len}, round & 1, buf_str(&text));
        free(exact);
        buf_free(&text);
    }
    tiny_close(&v);
}

static void *encode_many(void *arg) {
    const Tokenizer *t = arg;
    for (int i = 0; i < 300; i++) {
        TokenList l = {0};
        CHECK(tokenizer_encode(t, STR("hello world hell aaaa<|im_end|> \xC3\xA9"), SPECIAL, &l, NULL));
        CHECK(l.n == 11 && l.ids[0] == HELLO);
        token_list_free(&l);
    }
    return NULL;
}

static void test_threads_share_a_tokenizer(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_english(&v, "qwen2");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, encode_many, t), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    tiny_close(&v);
}

SUITE(tokenizer, cmocka_unit_test(test_merges_in_order_of_rank),
      cmocka_unit_test(test_whole_pieces_only_where_merges_lead_there),
      cmocka_unit_test(test_a_merge_listed_twice_has_its_later_rank),
      cmocka_unit_test(test_pre_tokenizers_cut_as_published), cmocka_unit_test(test_every_known_name_opens),
      cmocka_unit_test(test_special_tokens_only_when_asked),
      cmocka_unit_test(test_the_longest_special_token_wins),
      cmocka_unit_test(test_bos_and_eos_as_the_file_says), cmocka_unit_test(test_end_tokens),
      cmocka_unit_test(test_end_of_message_is_not_end_of_turn), cmocka_unit_test(test_fill_in_tokens),
      cmocka_unit_test(test_decoding), cmocka_unit_test(test_normal_form_c_where_the_model_wants_it),
      cmocka_unit_test(test_a_byte_without_a_token), cmocka_unit_test(test_short_and_long_pieces_merge_alike),
      cmocka_unit_test(test_long_runs_stay_fast), cmocka_unit_test(test_random_bytes_come_back),
      cmocka_unit_test(test_threads_share_a_tokenizer))
