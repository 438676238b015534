#include "text/fim_tokens.h"

static const char *const keys[][3] = {
    {"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.fim_mid_token_id"},
    {"tokenizer.ggml.prefix_token_id", "tokenizer.ggml.suffix_token_id", "tokenizer.ggml.middle_token_id"},
};

static const char *const texts[][3] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},
    {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"},
    {"\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"},
    {"<PRE>", "<SUF>", "<MID>"},
    {"<\uFF5Cfim\u2581begin\uFF5C>", "<\uFF5Cfim\u2581hole\uFF5C>", "<\uFF5Cfim\u2581end\uFF5C>"},
};

static const FimTokens none = {-1, -1, -1};

static bool is_whole(const FimTokens *f) {
    return f->prefix >= 0 && f->suffix >= 0 && f->middle >= 0;
}

static int32_t find_mark(const Vocab *v, const char *text) {
    int32_t id = vocab_find(v, str_from(text));
    return id >= 0 && (v->kind[id] == TOKEN_CONTROL || v->kind[id] == TOKEN_USER) ? id : -1;
}

bool fim_tokens_find(const Vocab *v, const Gguf *g, FimTokens *out, Err *err) {
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!vocab_token_key(v, g, keys[i][0], &out->prefix, err) ||
            !vocab_token_key(v, g, keys[i][1], &out->suffix, err) ||
            !vocab_token_key(v, g, keys[i][2], &out->middle, err))
            return false;
        if (is_whole(out)) return true;
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *out = (FimTokens){find_mark(v, texts[i][0]), find_mark(v, texts[i][1]), find_mark(v, texts[i][2])};
        if (is_whole(out)) return true;
    }
    *out = none;
    return true;
}
