// Tokenizers small enough to reason about: a GGUF file with nothing but a vocabulary, in memory.
//
// Everything is static inline, so that the fuzz target can use it without a library of its own.
#ifndef CLLM_TESTS_TINY_VOCAB_H
#define CLLM_TESTS_TINY_VOCAB_H

#include "base/buf.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"

// Token types as the file numbers them.
enum { TINY_NORMAL = 1, TINY_UNKNOWN, TINY_CONTROL, TINY_USER, TINY_UNUSED, TINY_BYTE };

// The three arrays grow entry by entry; the other keys are written as they come.
typedef struct TinyVocab {
    Buf tokens, types, scores, merges, keys, file;
    uint32_t n_tokens, n_merges, n_keys;
    Gguf *gguf;
    Tokenizer *tokenizer;
} TinyVocab;

static inline void tiny_uint(Buf *b, uint64_t v, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) buf_putc(b, (char)(uint8_t)(v >> (8 * i)));
}

static inline void tiny_string(Buf *b, Str s) {
    tiny_uint(b, s.len, 8);
    buf_put(b, s);
}

static inline int32_t tiny_scored(TinyVocab *v, Str text, int type, float score) {
    uint32_t bits;
    memcpy(&bits, &score, 4);
    tiny_string(&v->tokens, text);
    tiny_uint(&v->types, (uint64_t)type, 4);
    tiny_uint(&v->scores, bits, 4);
    return (int32_t)v->n_tokens++;
}

static inline int32_t tiny_token(TinyVocab *v, const char *text, int type) {
    return tiny_scored(v, str_from(text), type, 0);
}

static inline void tiny_merge(TinyVocab *v, const char *line) {
    tiny_string(&v->merges, str_from(line));
    v->n_merges++;
}

// The merge and the token that it makes.
static inline int32_t tiny_piece(TinyVocab *v, const char *left, const char *right) {
    Buf line = {0}, joined = {0};
    buf_printf(&line, "%s %s", left, right);
    buf_printf(&joined, "%s%s", left, right);
    tiny_merge(v, line.ptr);
    int32_t id = tiny_token(v, joined.ptr, TINY_NORMAL);
    buf_free(&line);
    buf_free(&joined);
    return id;
}

static inline void tiny_key(TinyVocab *v, const char *key, GgufKind kind) {
    tiny_string(&v->keys, str_from(key));
    tiny_uint(&v->keys, (uint64_t)kind, 4);
    v->n_keys++;
}

static inline void tiny_key_u32(TinyVocab *v, const char *key, uint32_t value) {
    tiny_key(v, key, GGUF_U32);
    tiny_uint(&v->keys, value, 4);
}

static inline void tiny_key_bool(TinyVocab *v, const char *key, bool value) {
    tiny_key(v, key, GGUF_BOOL);
    tiny_uint(&v->keys, value, 1);
}

static inline void tiny_key_str(TinyVocab *v, const char *key, const char *value) {
    tiny_key(v, key, GGUF_STRING);
    tiny_string(&v->keys, str_from(value));
}

static inline void tiny_array(TinyVocab *v, const char *key, GgufKind kind, uint32_t n, const Buf *elements) {
    tiny_key(v, key, GGUF_ARRAY);
    tiny_uint(&v->keys, (uint64_t)kind, 4);
    tiny_uint(&v->keys, n, 8);
    buf_put(&v->keys, buf_str(elements));
}

static inline void tiny_tokens(TinyVocab *v) {
    tiny_array(v, "tokenizer.ggml.tokens", GGUF_STRING, v->n_tokens, &v->tokens);
}
static inline void tiny_types(TinyVocab *v) {
    tiny_array(v, "tokenizer.ggml.token_type", GGUF_I32, v->n_tokens, &v->types);
}
static inline void tiny_scores(TinyVocab *v) {
    tiny_array(v, "tokenizer.ggml.scores", GGUF_F32, v->n_tokens, &v->scores);
}
static inline void tiny_merges(TinyVocab *v) {
    tiny_array(v, "tokenizer.ggml.merges", GGUF_STRING, v->n_merges, &v->merges);
}

// Opens what the keys say so far. NULL: refused, see err.
static inline Tokenizer *tiny_open_keys(TinyVocab *v, Err *err) {
    buf_puts(&v->file, "GGUF");
    tiny_uint(&v->file, 3, 4);
    tiny_uint(&v->file, 0, 8);
    tiny_uint(&v->file, v->n_keys, 8);
    buf_put(&v->file, buf_str(&v->keys));
    while (v->file.len % 32 != 0) buf_putc(&v->file, 0);
    v->gguf = gguf_open_memory(v->file.ptr, v->file.len, err);
    v->tokenizer = v->gguf ? tokenizer_open(v->gguf, err) : NULL;
    return v->tokenizer;
}

static inline Tokenizer *tiny_open_bpe(TinyVocab *v, const char *pre, Err *err) {
    tiny_key_str(v, "tokenizer.ggml.model", "gpt2");
    tiny_key_str(v, "tokenizer.ggml.pre", pre);
    tiny_tokens(v);
    tiny_types(v);
    tiny_merges(v);
    return tiny_open_keys(v, err);
}

static inline Tokenizer *tiny_open_spm(TinyVocab *v, Err *err) {
    tiny_key_str(v, "tokenizer.ggml.model", "llama");
    tiny_tokens(v);
    tiny_types(v);
    tiny_scores(v);
    return tiny_open_keys(v, err);
}

// The 256 tokens of the byte alphabet, ids in byte order from the next one on.
static inline void tiny_byte_alphabet(TinyVocab *v) {
    Buf text = {0};
    for (int b = 0; b < 256; b++) {
        buf_clear(&text);
        byte_alphabet_put((uint8_t)b, &text);
        tiny_scored(v, buf_str(&text), TINY_NORMAL, 0);
    }
    buf_free(&text);
}

// <0x00> … <0xFF>
static inline void tiny_byte_tokens(TinyVocab *v) {
    Buf text = {0};
    for (unsigned b = 0; b < 256; b++) {
        buf_clear(&text);
        buf_printf(&text, "<0x%02X>", b);
        tiny_scored(v, buf_str(&text), TINY_BYTE, 0);
    }
    buf_free(&text);
}

// Bytes, a few English merges, control and user tokens: 0–255 bytes, then the rest.
static inline void tiny_english(TinyVocab *v) {
    tiny_byte_alphabet(v);
    tiny_piece(v, "h", "e");
    tiny_piece(v, "l", "l");
    tiny_piece(v, "he", "ll");
    tiny_piece(v, "hell", "o");
    tiny_piece(v, "\u0120", "w");
    tiny_piece(v, "o", "r");
    tiny_piece(v, "\u0120w", "or");
    tiny_piece(v, "a", "a");
    tiny_piece(v, "aa", "aa");
    tiny_piece(v, "\u0120", "\u0120");
    tiny_piece(v, "\u00C3", "\u00A9"); // é
    tiny_token(v, "<|im_start|>", TINY_CONTROL);
    tiny_token(v, "<|im_end|>", TINY_CONTROL);
    tiny_token(v, "<think>", TINY_USER);
}

static inline void tiny_close(TinyVocab *v) {
    tokenizer_free(v->tokenizer);
    gguf_close(v->gguf);
    Buf *bufs[] = {&v->tokens, &v->types, &v->scores, &v->merges, &v->keys, &v->file};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) buf_free(bufs[i]);
    *v = (TinyVocab){0};
}

#endif
