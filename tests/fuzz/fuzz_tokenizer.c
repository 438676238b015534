// Fuzz target: the first byte chooses what the rest is.
//   bits 0–1: 0 text for a byte-level vocabulary, 1 the same with NFC, 2 for a SentencePiece one,
//             3 a model file whose tokenizer is opened
//   bit 2:    special tokens are recognised
// A text must come back from its tokens, whole and as a stream. The unit tests replay the corpus
// through the same function.
#include "base/err.h"
#include "base/utf8.h"
#include "text/detok.h"
#include "text/tiny_vocab.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MODE_BYTES, MODE_NFC, MODE_PIECES, MODE_FILE };

static void add_pieces(TinyVocab *v) {
    static const char *const pieces[] = {"\u2581",  "a",      "b",    "ab",
                                         "\u2581a", "\u00e9", "abab", "\u2581\u2581"};
    tiny_byte_tokens(v);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        tiny_scored(v, str_from(pieces[i]), TINY_NORMAL, -(float)i);
    tiny_token(v, "<s>", TINY_CONTROL);
    tiny_key_bool(v, "tokenizer.ggml.add_space_prefix", false);
}

// Opened once and kept: a fuzz run is millions of calls.
static const Tokenizer *tokenizer_of(int mode) {
    static TinyVocab vocabs[MODE_FILE];
    TinyVocab *v = &vocabs[mode];
    if (v->tokenizer) return v->tokenizer;
    if (mode == MODE_PIECES) {
        add_pieces(v);
        CHECK(tiny_open_spm(v, NULL));
    } else {
        tiny_english(v);
        CHECK(tiny_open_bpe(v, mode == MODE_NFC ? "qwen2" : "smollm", NULL));
    }
    return v->tokenizer;
}

static void check_stream(const Tokenizer *t, const TokenList *l) {
    Buf whole = {0}, clean = {0}, pieces = {0};
    tokenizer_decode(t, l->ids, l->n, false, &whole);
    utf8_sanitize(buf_str(&whole), &clean);
    Detok *d = detok_new(t, NULL, 0, NULL);
    CHECK(d);
    for (size_t i = 0; i < l->n; i++) detok_push(d, l->ids[i], &pieces);
    detok_finish(d, &pieces);
    CHECK(str_eq(buf_str(&clean), buf_str(&pieces)));
    detok_free(d);
    buf_free(&whole);
    buf_free(&clean);
    buf_free(&pieces);
}

// What must come back: the text, with word marks become spaces.
static void expected_text(int mode, Str text, Buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        bool mark = mode == MODE_PIECES && str_starts_with(str_skip(text, i), STR("\u2581"));
        buf_putc(out, mark ? ' ' : text.ptr[i]);
        if (mark) i += 2;
    }
}

// With NFC the text itself may change.
static bool may_change(int mode, Str text) {
    if (mode != MODE_NFC) return false;
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] >= 0x80) return true;
    return false;
}

static void check_text(int mode, Str text, bool special) {
    const Tokenizer *t = tokenizer_of(mode);
    TokenList l = {0};
    Buf back = {0}, expected = {0};
    CHECK(tokenizer_encode(t, text, (EncodeOptions){.special = special}, &l, NULL));
    for (size_t i = 0; i < l.n; i++) {
        CHECK(l.ids[i] >= 0 && l.ids[i] < tokenizer_n_vocab(t));
        CHECK(special || tokenizer_kind(t, l.ids[i]) != TOKEN_CONTROL);
    }
    tokenizer_decode(t, l.ids, l.n, true, &back);
    expected_text(mode, text, &expected);
    if (!may_change(mode, text)) CHECK(str_eq(buf_str(&back), buf_str(&expected)));
    check_stream(t, &l);
    buf_free(&back);
    buf_free(&expected);
    token_list_free(&l);
}

static void check_file(const uint8_t *bytes, size_t n) {
    Err err = {0};
    TokenList l = {0};
    Buf text = {0};
    Gguf *g = gguf_open_memory(bytes, n, &err);
    Tokenizer *t = g ? tokenizer_open(g, &err) : NULL;
    CHECK(t || err.code != ERR_NONE);
    if (t && tokenizer_encode(t, STR("hello world \xFF \u00e9<|im_end|> 12"), (EncodeOptions){true, true}, &l,
                              &err))
        tokenizer_decode(t, l.ids, l.n, true, &text);
    buf_free(&text);
    token_list_free(&l);
    tokenizer_free(t);
    gguf_close(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    if (n == 0) return 0;
    int mode = bytes[0] & 3;
    if (mode == MODE_FILE)
        check_file(bytes + 1, n - 1);
    else
        check_text(mode, (Str){(const char *)bytes + 1, n - 1}, bytes[0] & 4);
    return 0;
}
