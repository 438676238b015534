#include "harness.h"

#include "base/rng.h"
#include "text/tiny_vocab.h"
#include "text/tokens_equal.h"

#define MARK "\u2581"

static const EncodeOptions PLAIN = {0};
static const EncodeOptions SPECIAL = {.special = true};

// 0 unk, 1 bos, 2 eos, 3 … 258 bytes, then pieces.
enum { UNK, BOS, EOS, BYTE0, PIECES = BYTE0 + 256 };
enum { SP = PIECES, H, E, L, O, SP_H, EL, LO, SP_HEL, SP_HELLO, HE, E_ACUTE };

static void add_pieces(TinyVocab *v) {
    tiny_token(v, "<unk>", TINY_UNKNOWN);
    tiny_token(v, "<s>", TINY_CONTROL);
    tiny_token(v, "</s>", TINY_CONTROL);
    tiny_byte_tokens(v);
    static const struct {
        const char *text;
        float score;
    } pieces[] = {{MARK, -1},       {"h", -20},         {"e", -21}, {"l", -22},
                  {"o", -23},       {MARK "h", -5},     {"el", -3}, {"lo", -4},
                  {MARK "hel", -6}, {MARK "hello", -7}, {"he", -9}, {"\xC3\xA9", -30}};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        tiny_scored(v, str_from(pieces[i].text), TINY_NORMAL, pieces[i].score);
    tiny_key_u32(v, "tokenizer.ggml.unknown_token_id", UNK);
    tiny_key_u32(v, "tokenizer.ggml.bos_token_id", BOS);
    tiny_key_u32(v, "tokenizer.ggml.eos_token_id", EOS);
}

static Tokenizer *open_pieces(TinyVocab *v) {
    Err err = {0};
    add_pieces(v);
    Tokenizer *t = tiny_open_spm(v, &err);
    if (!t) fail_msg("%s", err.msg);
    return t;
}

static void test_joins_by_score(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_pieces(&v);
    // "el" (-3), "lo" (-4), "▁h" (-5), then "▁hel" and "▁hello" of what these made; "he" (-9) never.
    assert_encodes(t, STR("hello"), PLAIN, TOKENS(SP_HELLO));
    assert_encodes(t, STR("heo"), PLAIN, TOKENS(SP_H, E, O));
    assert_encodes(t, STR("hel"), PLAIN, TOKENS(SP_HEL));
    assert_encodes(t, STR("o he"), PLAIN, TOKENS(SP, O, SP_H, E));
    assert_encodes(t, STR(""), PLAIN, NULL, 0);
    assert_encodes(t, STR("lolo"), PLAIN, TOKENS(SP, LO, LO));
    tiny_close(&v);
}

static void test_bytes_stand_in(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_pieces(&v);
    assert_encodes(t, STR("z\xC3\xA9\n"), PLAIN, TOKENS(SP, BYTE0 + 'z', E_ACUTE, BYTE0 + '\n'));
    assert_encodes(t, STR("\xE4\xB8\xAD"), PLAIN, TOKENS(SP, BYTE0 + 0xE4, BYTE0 + 0xB8, BYTE0 + 0xAD));
    assert_encodes(t, STR("\xFFh"), PLAIN, TOKENS(SP, BYTE0 + 0xFF, H));
    // The text of a byte or control token is text like any other.
    assert_encodes(t, STR("<0x41>"), PLAIN,
                   TOKENS(SP, BYTE0 + '<', BYTE0 + '0', BYTE0 + 'x', BYTE0 + '4', BYTE0 + '1', BYTE0 + '>'));
    assert_encodes(t, STR("<s>"), PLAIN, TOKENS(SP, BYTE0 + '<', BYTE0 + 's', BYTE0 + '>'));
    tiny_close(&v);
}

static void test_unknown_without_bytes(void **state) {
    (void)state;
    TinyVocab v = {0};
    Err err = {0};
    tiny_token(&v, "<unk>", TINY_UNKNOWN);
    tiny_token(&v, "a", TINY_NORMAL);
    tiny_key_u32(&v, "tokenizer.ggml.unknown_token_id", 0);
    tiny_key_bool(&v, "tokenizer.ggml.add_space_prefix", false);
    Tokenizer *t = tiny_open_spm(&v, &err);
    if (!t) fail_msg("%s", err.msg);
    assert_encodes(t,
                   STR("a\xE4\xB8\xAD"
                       "a"),
                   PLAIN, TOKENS(1, 0, 1));
    assert_decodes(t, TOKENS(1, 0, 1), false, "aa");
    assert_decodes(t, TOKENS(1, 0, 1), true, "a<unk>a");
    tiny_close(&v);
}

static void test_space_prefix_and_special_tokens(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_pieces(&v);
    static const EncodeOptions edges = {.special = true, .bos_eos = true};
    assert_encodes(t, STR("hel"), edges, TOKENS(BOS, SP_HEL)); // BOS unless the file says no
    assert_encodes(t, STR("hel</s>hel"), SPECIAL, TOKENS(SP_HEL, EOS, SP_HEL));
    tiny_close(&v);
    tiny_key_bool(&v, "tokenizer.ggml.add_space_prefix", false);
    t = open_pieces(&v);
    assert_encodes(t, STR("lo"), PLAIN, TOKENS(LO));
    assert_encodes(t, STR(" hel"), PLAIN, TOKENS(SP_HEL));
    assert_decodes(t, TOKENS(SP_HEL), false, " hel"); // nothing was put in front, nothing is dropped
    tiny_close(&v);
}

static void test_decoding_drops_the_first_space(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_pieces(&v);
    assert_decodes(t, TOKENS(SP_HEL, LO, SP_H), false, "hello h");
    assert_decodes(t, TOKENS(BOS, SP_HEL), false, "hel");
    assert_decodes(t, TOKENS(SP, SP_H), false, " h");
    assert_decodes(t, TOKENS(LO, SP_H), false, "lo h");
    assert_decodes(t, TOKENS(BYTE0 + 0xC3, BYTE0 + 0xA9), false, "\xC3\xA9");
    assert_decodes(t, TOKENS(BOS, SP_HEL), true, "<s> hel");
    tiny_close(&v);
}

static void test_random_bytes_come_back(void **state) {
    (void)state;
    static const char *const parts[] = {
        "hello", " ", "  ", "h", "\xC3\xA9", "\xE2\x96", "<s>", "\n", "\xF0\x9F\x98\x80"};
    TinyVocab v = {0};
    Tokenizer *t = open_pieces(&v);
    Rng rng = {99};
    for (int round = 0; round < 3000; round++) {
        Buf text = {0};
        size_t n = rng_next(&rng) % 24;
        for (size_t i = 0; i < n; i++) {
            if (rng_next(&rng) % 3)
                buf_puts(&text, parts[rng_next(&rng) % (sizeof parts / sizeof parts[0])]);
            else
                buf_putc(&text, (char)(rng_next(&rng) | 0x80));
        }
        // The word mark itself comes back as a space, as in SentencePiece.
        Buf back = {0};
        for (size_t i = 0; i < text.len; i++) {
            bool mark = str_starts_with(str_skip(buf_str(&text), i), STR(MARK));
            buf_putc(&back, mark ? ' ' : text.ptr[i]);
            if (mark) i += 2;
        }
        assert_comes_back(t, buf_str(&text), false, buf_str(&back));
        buf_free(&text);
        buf_free(&back);
    }
    tiny_close(&v);
}

static void test_long_runs_stay_fast(void **state) {
    (void)state;
    TinyVocab v = {0};
    Tokenizer *t = open_pieces(&v);
    static const char *const units[] = {"l", " ", "hello", "\xFF", "\xE4\xB8\xAD"};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        Buf text = {0};
        while (text.len < 300000) buf_puts(&text, units[i]);
        assert_comes_back(t, buf_str(&text), false, buf_str(&text));
        buf_free(&text);
    }
    tiny_close(&v);
}

SUITE(spm, cmocka_unit_test(test_joins_by_score), cmocka_unit_test(test_bytes_stand_in),
      cmocka_unit_test(test_unknown_without_bytes), cmocka_unit_test(test_space_prefix_and_special_tokens),
      cmocka_unit_test(test_decoding_drops_the_first_space), cmocka_unit_test(test_random_bytes_come_back),
      cmocka_unit_test(test_long_runs_stay_fast))
