#include "harness.h"

#include "base/rng.h"
#include "constrain/token_mask.h"
#include "engine/alloc_hook.h"
#include "engine/request_kit.h"
#include "grammar_kit.h"
#include "text/str_index.h"
#include "text/tiny_vocab.h"

#include <stdlib.h>

// A vocabulary of the 256 bytes, some thousand short words over an alphabet that grammars care about, and a
// few tokens that may never be chosen.
typedef struct Words {
    TinyVocab vocab;
    TokenTrie *trie;
    int32_t end, control, user;
} Words;

static void put_piece(Rng *rng, Buf *out) {
    static const char *const pieces[] = {"a",
                                         "b",
                                         "c",
                                         "1",
                                         "2",
                                         "\"",
                                         "\\",
                                         "\n",
                                         " ",
                                         ",",
                                         ":",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         "u00",
                                         "\t",
                                         "-",
                                         ".",
                                         "\x7F",
                                         "\xC3\xA9",
                                         "\xE2\x82\xAC",
                                         "\xE2\x82",
                                         "\x82",
                                         "ab",
                                         "e",
                                         "n",
                                         "true",
                                         "\xC3",
                                         "\xBF",
                                         "\xF0\x9F\x98",
                                         "\x80"};
    const char *piece = pieces[rng_next(rng) % (sizeof pieces / sizeof pieces[0])];
    for (; *piece; piece++) byte_alphabet_put((uint8_t)*piece, out);
}

static void words_open(Words *w, int n) {
    Rng rng = {3};
    StrIndex index;
    Str *texts = calloc((size_t)n + 1, sizeof *texts);
    *w = (Words){0};
    assert_true(str_index_init(&index, (size_t)n + 1, NULL));
    tiny_byte_alphabet(&w->vocab);
    for (int i = 0; i < n; i++) {
        Buf b = {0};
        int n_pieces = 2 + (int)(rng_next(&rng) % (i % 50 == 0 ? 40 : 4));
        for (int k = 0; k < n_pieces; k++) put_piece(&rng, &b);
        texts[i] = buf_str(&b);
        if (str_index_add(&index, texts, i) < 0) tiny_scored(&w->vocab, texts[i], TINY_NORMAL, 0);
    }
    w->end = tiny_token(&w->vocab, "<|im_end|>", TINY_CONTROL);
    w->control = tiny_token(&w->vocab, "<|im_start|>", TINY_CONTROL);
    w->user = tiny_token(&w->vocab, "<think>", TINY_USER);
    assert_non_null(tiny_open_bpe(&w->vocab, "gpt-2", NULL));
    w->trie = token_trie_new(w->vocab.tokenizer, NULL);
    assert_non_null(w->trie);
    for (int i = 0; i < n; i++) free((char *)texts[i].ptr);
    free(texts);
    str_index_free(&index);
}

static void words_close(Words *w) {
    token_trie_free(w->trie);
    tiny_close(&w->vocab);
}

static const char json_text[] =
    "root ::= value\n"
    "value ::= object | array | string | number | \"true\" | \"null\"\n"
    "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? \"}\"\n"
    "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\"\n"
    "string ::= \"\\\"\" char* \"\\\"\"\n"
    "char ::= [^\"\\\\\\x00-\\x1F\\x7F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" [0-9a-f]{4})\n"
    "number ::= \"-\"? [0-9]+ (\".\" [0-9]+)? ([eE] [+-]? [0-9]+)?\n"
    "ws ::= [ \\n\\t]{0,3}\n";

static const char *const grammars[] = {
    json_text,
    "root ::= \"\\\"\" [^\"\\\\\\x00-\\x1F\\x7F]{0,5} \"\\\"\" \"!\"",
    "root ::= [^\"\\\\\\x00-\\x1F]{3,40} \"\\\"\" [a-c]*",
    "root ::= .*",
    "root ::= .{1,7}",
    "root ::= [^\\n]{2,5} \"\\n\" [^\\n]*",
    "root ::= ([a-c]{1,3} | \"ab\"{2} | [\\u00e9-\\u20ac]){1,4} \" \"? root?",
    "root ::= \"a\" | \"ab\" | \"abc\" | \"a b\"",
    "root ::= \"(\" root \")\" | [a-z1-9]{0,4} | \"[\" root \"]\" root",
    "root ::= (\"a\"* \"b\"*)* \"c\"",
    "root ::= [ -~\\u0080-\\U0010FFFF]{0,3} [a-c]{0,3}",
};

// What a mask must be, token by token, from the text so far.
static bool may_follow(const Grammar *g, const Buf *text, Str token) {
    Buf longer = {0};
    buf_put(&longer, buf_str(text));
    buf_put(&longer, token);
    Fit fit = grammar_fit(g, buf_str(&longer));
    buf_free(&longer);
    return fit != FIT_NOT;
}

static void check_token(const Words *w, const Grammar *g, const Buf *text, const uint64_t *bits,
                        int32_t token) {
    Buf bytes = {0};
    tokenizer_decode_token(w->vocab.tokenizer, token, false, &bytes);
    bool wanted = token < w->end && bytes.len <= TOKEN_MAX_BYTES && may_follow(g, text, buf_str(&bytes));
    if (token == w->end) wanted = grammar_fit(g, buf_str(text)) == FIT_WHOLE;
    if (bits_has(bits, token) != wanted)
        fail_msg("after '%s': token %d '%s' should%s be allowed", text->ptr ? text->ptr : "", token,
                 bytes.ptr ? bytes.ptr : "", wanted ? "" : " not");
    buf_free(&bytes);
}

static int32_t pick(Rng *rng, const uint64_t *bits, int32_t n) {
    int32_t at = (int32_t)(rng_next(rng) % (uint64_t)n);
    for (int32_t i = 0; i < n; i++)
        if (bits_has(bits, (at + i) % n)) return (at + i) % n;
    fail_msg("no token is allowed");
    return -1;
}

static void walk(const Words *w, const Grammar *g, TokenMask *m, Rng *rng, int n_steps) {
    int32_t n = tokenizer_n_vocab(w->vocab.tokenizer);
    Buf text = {0};
    token_mask_restart(m);
    for (int i = 0; i < n_steps && !token_mask_is_done(m); i++) {
        const uint64_t *bits = token_mask_bits(m);
        assert_non_null(bits);
        for (int k = 0; k < 40; k++) check_token(w, g, &text, bits, (int32_t)(rng_next(rng) % (uint64_t)n));
        for (int32_t t = w->end; t < n; t++) check_token(w, g, &text, bits, t);
        int32_t token = pick(rng, bits, n);
        token_mask_accept(m, token);
        if (token == w->end) break;
        tokenizer_decode_token(w->vocab.tokenizer, token, false, &text);
        assert_int_not_equal(grammar_fit(g, buf_str(&text)), FIT_NOT);
        assert_int_equal(token_mask_may_end(m), grammar_fit(g, buf_str(&text)) == FIT_WHOLE);
    }
    buf_free(&text);
}

static void test_exact(void **state) {
    (void)state;
    Words w;
    words_open(&w, 3000);
    Rng rng = {17};
    for (size_t i = 0; i < sizeof grammars / sizeof grammars[0]; i++) {
        Err err = {0};
        Grammar *g = grammar_of_gbnf(grammars[i], &err);
        if (!g) fail_msg("%s: %s", grammars[i], err.msg);
        TokenMask *m = token_mask_new(w.trie, g, &err);
        assert_non_null(m);
        for (int round = 0; round < 4; round++) walk(&w, g, m, &rng, 8);
        token_mask_free(m);
        grammar_free(g);
    }
    words_close(&w);
}

// ---- random grammars

// An expression; rules are called behind a bracket only, so that none is left-recursive.
static void put_expression(Rng *rng, int depth, Buf *out) {
    static const char *const atoms[] = {
        "\"a\"", "\"ab\"", "\"true\"", "[a-c]",    "[a-z1-9]",          "[^\"\\\\\\x00-\\x1F]",
        ".",     "[ \\n]", "\" \"",    "\"\\\"\"", "[\\u00e9-\\u20ac]", "\"u00\""};
    static const char *const times[] = {"?",      "*",    "+",       "{2}",     "{0,3}",
                                        "{1,12}", "{3,}", "{20,40}", "{0,300}", "{7,9}"};
    int n = 2 + (int)(rng_next(rng) % 2), kind = depth == 0 ? 0 : (int)(rng_next(rng) % 6);
    switch (kind) {
    case 0:
    case 1: buf_puts(out, atoms[rng_next(rng) % (sizeof atoms / sizeof *atoms)]); break;
    case 2:
    case 3:
        buf_putc(out, '(');
        put_expression(rng, depth - 1, out);
        buf_putc(out, ')');
        buf_puts(out, times[rng_next(rng) % (sizeof times / sizeof *times)]);
        break;
    case 4:
        buf_putc(out, '(');
        for (int i = 0; i < n; i++) {
            if (i > 0) buf_puts(out, rng_next(rng) % 2 ? " | " : " ");
            put_expression(rng, depth - 1, out);
        }
        buf_putc(out, ')');
        break;
    default:
        buf_printf(out, "(\"%c\" r%d \"%c\")?", n == 2 ? '[' : '{', (int)(rng_next(rng) % 3),
                   n == 2 ? ']' : '}');
    }
}

static Grammar *random_grammar(Rng *rng, Buf *text) {
    for (;;) {
        buf_clear(text);
        buf_puts(text, "root ::= (r0 | r1 \",\"){0,9}\n");
        for (int i = 0; i < 3; i++) {
            buf_printf(text, "r%d ::= ", i);
            for (int k = 0; k < 3; k++) {
                put_expression(rng, 3, text);
                buf_putc(text, k < 2 ? ' ' : '\n');
            }
        }
        Grammar *g = grammar_of_gbnf(text->ptr, NULL);
        if (g) return g;
    }
}

// All of a mask against an automaton that goes through text and token byte by byte.
static void check_all(const Words *w, Automaton *a, Buf *text, const uint64_t *bits, const char *grammar) {
    size_t len = text->len;
    for (int32_t t = 0; t < w->trie->n_vocab; t++) {
        Str token = token_trie_bytes(w->trie, t);
        text->len = len;
        if (t != w->end) buf_put(text, token);
        Fit fit = automaton_fit(a, buf_str(text));
        text->len = len;
        if (fit == FIT_UNKNOWN) continue;
        bool wanted = t == w->end ? fit == FIT_WHOLE : token.len > 0 && fit != FIT_NOT;
        if (bits_has(bits, t) != wanted)
            fail_msg("%s\nafter '%.*s': token %d '%.*s' should%s be allowed", grammar, (int)len,
                     text->ptr ? text->ptr : "", t, (int)token.len, token.ptr, wanted ? "" : " not");
    }
}

static void walk_random(const Words *w, const Grammar *g, TokenMask *m, Rng *rng, const char *grammar) {
    Automaton *a = automaton_new(g, NULL);
    Buf text = {0};
    assert_non_null(a);
    token_mask_restart(m);
    for (int i = 0; i < 12 && !token_mask_is_done(m); i++) {
        if (a->n_states > AUTOMATON_MAX_STATES / 4) automaton_keep(a, AUTOMATON_DEAD);
        const uint64_t *bits = token_mask_bits(m);
        if (!bits) break; // too ambiguous
        check_all(w, a, &text, bits, grammar);
        int32_t token = pick(rng, bits, w->trie->n_vocab);
        token_mask_accept(m, token);
        if (token == w->end) break;
        buf_put(&text, token_trie_bytes(w->trie, token));
    }
    automaton_free(a);
    buf_free(&text);
}

static void test_random_grammars(void **state) {
    (void)state;
    Words w;
    Buf text = {0};
    words_open(&w, 1500);
    Rng rng = {kit_seed("random_grammars", 5)};
    for (int i = 0; i < 60; i++) {
        Grammar *g = random_grammar(&rng, &text);
        TokenMask *m = token_mask_new(w.trie, g, NULL);
        for (int round = 0; m && round < 3; round++) walk_random(&w, g, m, &rng, text.ptr);
        token_mask_free(m);
        grammar_free(g);
    }
    buf_free(&text);
    words_close(&w);
}

// A count that no token brings to its bounds makes no state of its own: what is new is found, and what was
// found before is kept.
static void test_counts_share_masks(void **state) {
    (void)state;
    Words w;
    words_open(&w, 3000);
    Grammar *g = grammar_of_gbnf("root ::= ([a-c]{1,9} \" \"){200,900}", NULL);
    TokenMask *m = token_mask_new(w.trie, g, NULL);
    assert_non_null(m);
    int n_slow = 0;
    for (int i = 0; i < 150; i++) {
        assert_non_null(token_mask_bits(m));
        n_slow += token_mask_work(m) > 500;
        assert_true(token_mask_feed(m, STR("abc ")));
    }
    assert_in_range(n_slow, 1, 3);
    token_mask_free(m);
    grammar_free(g);
    words_close(&w);
}

static void test_never_allowed(void **state) {
    (void)state;
    Words w;
    words_open(&w, 10);
    Grammar *g = grammar_of_gbnf("root ::= .*", NULL);
    TokenMask *m = token_mask_new(w.trie, g, NULL);
    const uint64_t *bits = token_mask_bits(m);
    assert_true(bits_has(bits, w.end) && bits_has(bits, 'a'));
    assert_false(bits_has(bits, w.control));
    assert_false(bits_has(bits, w.user));
    token_mask_free(m);
    grammar_free(g);
    words_close(&w);
}

// A text far longer than the tables hold; a used mask says the same as a new one; no step allocates.
static void test_long_text(void **state) {
    (void)state;
    Words w;
    words_open(&w, 2000);
    Grammar *g = grammar_of_gbnf("root ::= (\"ab\" \"c\"{0,3}){9000,}", NULL);
    TokenMask *m = token_mask_new(w.trie, g, NULL), *fresh = token_mask_new(w.trie, g, NULL);
    assert_true(m && fresh);
    uint64_t before = alloc_hook_count();
    for (int i = 0; i < 8000; i++) {
        assert_non_null(token_mask_bits(m));
        assert_true(token_mask_feed(m, i % 3 ? STR("ab") : STR("abc")));
    }
    const uint64_t *bits = token_mask_bits(m);
    assert_int_equal(alloc_hook_count(), before);
    for (int i = 0; i < 8000; i++) assert_true(token_mask_feed(fresh, i % 3 ? STR("ab") : STR("abc")));
    assert_memory_equal(bits, token_mask_bits(fresh), w.trie->n_words * sizeof *bits);
    assert_false(token_mask_may_end(m));
    token_mask_free(m);
    token_mask_free(fresh);
    grammar_free(g);
    words_close(&w);
}

static void test_done(void **state) {
    (void)state;
    Words w;
    words_open(&w, 10);
    Grammar *g = grammar_of_gbnf("root ::= \"a\" [bc]?", NULL);
    TokenMask *m = token_mask_new(w.trie, g, NULL);
    assert_false(token_mask_may_end(m));
    token_mask_accept(m, 'a');
    assert_true(token_mask_may_end(m) && !token_mask_is_done(m));
    token_mask_accept(m, 'c');
    assert_true(token_mask_is_done(m));
    const uint64_t *bits = token_mask_bits(m);
    for (int32_t t = 0; t < tokenizer_n_vocab(w.vocab.tokenizer); t++)
        assert_int_equal(bits_has(bits, t), t == w.end);
    token_mask_restart(m);
    assert_false(token_mask_is_done(m));
    assert_false(token_mask_feed(m, STR("b")));
    token_mask_free(m);
    grammar_free(g);
    words_close(&w);
}

// SentencePiece: the mark of a word is a space, and a byte may be a token twice.
static void test_sentencepiece(void **state) {
    (void)state;
    TinyVocab vocab = {0};
    tiny_token(&vocab, "<unk>", TINY_UNKNOWN);
    int32_t end = tiny_token(&vocab, "</s>", TINY_CONTROL), first_byte = (int32_t)vocab.n_tokens;
    tiny_byte_tokens(&vocab);
    int32_t a = tiny_token(&vocab, "a", TINY_NORMAL), word = tiny_token(&vocab, "\u2581a", TINY_NORMAL);
    int32_t accent = tiny_token(&vocab, "\u00E9", TINY_NORMAL);
    tiny_key_u32(&vocab, "tokenizer.ggml.eos_token_id", (uint32_t)end);
    tiny_key_u32(&vocab, "tokenizer.ggml.unknown_token_id", 0);
    Err err = {0};
    if (!tiny_open_spm(&vocab, &err)) fail_msg("%s", err.msg);
    TokenTrie *trie = token_trie_new(vocab.tokenizer, NULL);
    Grammar *g = grammar_of_gbnf("root ::= \"a\" \" a\" [\\u00E9\\u00EA]", NULL);
    TokenMask *m = token_mask_new(trie, g, NULL);
    const uint64_t *bits = token_mask_bits(m);
    assert_true(bits_has(bits, a) && bits_has(bits, first_byte + 'a') && !bits_has(bits, word) &&
                !bits_has(bits, 0));
    token_mask_accept(m, first_byte + 'a');
    bits = token_mask_bits(m);
    assert_true(bits_has(bits, word) && bits_has(bits, first_byte + ' ') && !bits_has(bits, a));
    token_mask_accept(m, word);
    bits = token_mask_bits(m);
    assert_true(bits_has(bits, accent) && bits_has(bits, first_byte + 0xC3) &&
                !bits_has(bits, first_byte + 0xA9));
    token_mask_accept(m, first_byte + 0xC3);
    bits = token_mask_bits(m);
    assert_true(bits_has(bits, first_byte + 0xA9) && bits_has(bits, first_byte + 0xAA) &&
                !bits_has(bits, accent) && !bits_has(bits, end));
    token_mask_accept(m, first_byte + 0xAA);
    assert_true(token_mask_is_done(m) && bits_has(token_mask_bits(m), end));
    token_mask_free(m);
    grammar_free(g);
    token_trie_free(trie);
    tiny_close(&vocab);
}

// A vocabulary without a byte that the grammar needs: there is no way on, and that is what is said.
static void test_dead_end(void **state) {
    (void)state;
    TinyVocab vocab = {0};
    tiny_token(&vocab, "a", TINY_NORMAL);
    tiny_token(&vocab, "<|im_end|>", TINY_CONTROL);
    assert_non_null(tiny_open_bpe(&vocab, "gpt-2", NULL));
    TokenTrie *trie = token_trie_new(vocab.tokenizer, NULL);
    Grammar *g = grammar_of_gbnf("root ::= \"ab\"", NULL);
    TokenMask *m = token_mask_new(trie, g, NULL);
    assert_non_null(token_mask_bits(m));
    token_mask_accept(m, 0);
    assert_null(token_mask_bits(m));
    token_mask_free(m);
    grammar_free(g);
    token_trie_free(trie);
    tiny_close(&vocab);
}

// More places at once than are followed: an error, never a wrong mask.
static void test_too_ambiguous(void **state) {
    (void)state;
    Words w;
    Err err = {0};
    words_open(&w, 10);
    Grammar *g = grammar_of_gbnf("root ::= (\"a\"{1,300} (\"a\"{1,300} \"b\"?){1,300}){1,300}", &err);
    assert_non_null(g);
    TokenMask *m = token_mask_new(w.trie, g, &err);
    assert_non_null(m);
    bool stuck = false;
    for (int i = 0; i < 300 && !stuck; i++) stuck = !token_mask_bits(m) || !token_mask_feed(m, STR("a"));
    assert_true(stuck);
    assert_null(token_mask_bits(m));
    token_mask_restart(m);
    assert_non_null(token_mask_bits(m));
    token_mask_free(m);
    grammar_free(g);
    words_close(&w);
}

// Hundreds of places, and different ones behind each word: no mask may hold up everybody else for long.
static void test_too_much_work(void **state) {
    (void)state;
    Words w = {0};
    Rng rng = {9};
    Buf text = {0};
    tiny_byte_alphabet(&w.vocab);
    for (int a = 'a'; a <= 'z'; a++)
        for (int b = 'a'; b <= 'z'; b++)
            for (int c = 'a'; c <= 'z'; c += 3) {
                char word[4] = {(char)a, (char)b, (char)c, 0};
                tiny_token(&w.vocab, word, TINY_NORMAL);
            }
    assert_non_null(tiny_open_bpe(&w.vocab, "gpt-2", NULL));
    w.trie = token_trie_new(w.vocab.tokenizer, NULL);
    buf_puts(&text, "root ::= \"x\"");
    for (int i = 0; i < 500; i++) {
        buf_puts(&text, " | [");
        for (int c = 'a'; c <= 'z'; c++)
            if (rng_next(&rng) % 8) buf_putc(&text, (char)c);
        buf_puts(&text, "]{1,900}");
    }
    Grammar *g = grammar_of_gbnf(text.ptr, NULL);
    TokenMask *m = token_mask_new(w.trie, g, NULL);
    assert_non_null(m);
    assert_null(token_mask_bits(m));
    token_mask_free(m);
    grammar_free(g);
    buf_free(&text);
    words_close(&w);
}

SUITE(token_mask, cmocka_unit_test(test_too_much_work), cmocka_unit_test(test_exact),
      cmocka_unit_test(test_random_grammars), cmocka_unit_test(test_counts_share_masks),
      cmocka_unit_test(test_never_allowed), cmocka_unit_test(test_long_text), cmocka_unit_test(test_done),
      cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_dead_end),
      cmocka_unit_test(test_too_ambiguous))
