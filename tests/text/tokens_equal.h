// Comparing token lists in tests, with messages that show both.
#ifndef CLLM_TESTS_TOKENS_EQUAL_H
#define CLLM_TESTS_TOKENS_EQUAL_H

#include "harness.h"

#include "text/tokenizer.h"

#define TOKENS(...)                                                                                          \
    ((const int32_t[]){__VA_ARGS__}), (sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static inline TokenList encoded(const Tokenizer *t, Str text, EncodeOptions opt) {
    TokenList l = {0};
    Err err = {0};
    if (!tokenizer_encode(t, text, opt, &l, &err)) fail_msg("%s", err.msg);
    return l;
}

static inline void assert_encodes(const Tokenizer *t, Str text, EncodeOptions opt, const int32_t *ids,
                                  size_t n) {
    TokenList l = encoded(t, text, opt);
    bool same = l.n == n && (n == 0 || memcmp(l.ids, ids, n * sizeof *ids) == 0);
    if (!same) {
        Buf b = {0};
        for (size_t i = 0; i < l.n; i++) buf_printf(&b, " %d", (int)l.ids[i]);
        buf_puts(&b, ", expected");
        for (size_t i = 0; i < n; i++) buf_printf(&b, " %d", (int)ids[i]);
        fail_msg("'%.*s' gave%s", (int)text.len, text.ptr, b.ptr);
    }
    token_list_free(&l);
}

static inline void assert_decodes(const Tokenizer *t, const int32_t *ids, size_t n, bool special,
                                  const char *text) {
    Buf b = {0};
    tokenizer_decode(t, ids, n, special, &b);
    assert_string_equal(b.ptr ? b.ptr : "", text);
    buf_free(&b);
}

// Encodes and decodes; the bytes must be `back`.
static inline void assert_comes_back(const Tokenizer *t, Str text, bool special, Str back) {
    TokenList l = encoded(t, text, (EncodeOptions){.special = special});
    Buf b = {0};
    tokenizer_decode(t, l.ids, l.n, true, &b);
    if (!str_eq(buf_str(&b), back)) fail_msg("'%.*s' came back as '%s'", (int)text.len, text.ptr, b.ptr);
    buf_free(&b);
    token_list_free(&l);
}

#endif
