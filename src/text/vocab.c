#include "text/vocab.h"

#include "base/num.h"
#include "text/byte_alphabet.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static const char KEY_TOKENS[] = "tokenizer.ggml.tokens";
static const char KEY_TYPES[] = "tokenizer.ggml.token_type";
static const char KEY_SCORES[] = "tokenizer.ggml.scores";

static bool no_memory(const Vocab *v, Err *err) {
    return err_set(err, ERR_NOMEM, "out of memory for a vocabulary of %" PRId32 " tokens", v->n);
}

static bool read_texts(Vocab *v, const Gguf *g, Err *err) {
    GgufArray a;
    GgufStrIter it;
    if (!gguf_get_array(g, KEY_TOKENS, &a))
        return err_set(err, ERR_INVALID, "%s is missing or not an array: the file has no vocabulary",
                       KEY_TOKENS);
    if (!gguf_array_strings(&a, &it))
        return err_set(err, ERR_INVALID, "%s is not an array of strings", KEY_TOKENS);
    if (a.n == 0) return err_set(err, ERR_INVALID, "%s is empty", KEY_TOKENS);
    if (a.n > VOCAB_MAX_TOKENS)
        return err_set(err, ERR_LIMIT, "%s has %" PRIu64 " entries; at most %d are supported", KEY_TOKENS,
                       a.n, VOCAB_MAX_TOKENS);
    v->n = (int32_t)a.n;
    v->text = calloc((size_t)v->n, sizeof *v->text);
    v->bytes = calloc((size_t)v->n, sizeof *v->bytes);
    v->kind = calloc((size_t)v->n, sizeof *v->kind);
    if (!v->text || !v->bytes || !v->kind) return no_memory(v, err);
    for (int32_t i = 0; i < v->n; i++)
        if (!gguf_next_str(&it, &v->text[i]))
            return err_set(err, ERR_INVALID, "%s ends after %" PRId32 " of %" PRId32 " entries", KEY_TOKENS,
                           i, v->n);
    return true;
}

// An array that runs along the tokens. Absent: a->n is 0.
static bool parallel_array(const Vocab *v, const Gguf *g, const char *key, GgufArray *a, Err *err) {
    *a = (GgufArray){0};
    if (!gguf_has(g, key)) return true;
    if (!gguf_get_array(g, key, a)) return err_set(err, ERR_INVALID, "%s is not an array", key);
    if (a->n != (uint64_t)v->n)
        return err_set(err, ERR_INVALID, "%s has %" PRIu64 " entries, but %s has %" PRId32, key, a->n,
                       KEY_TOKENS, v->n);
    return true;
}

// The file counts kinds from 1, in the order of TokenKind.
static bool read_kinds(Vocab *v, const Gguf *g, Err *err) {
    GgufArray a;
    if (!parallel_array(v, g, KEY_TYPES, &a, err)) return false;
    if (a.n == 0) return true; // all normal
    for (int32_t i = 0; i < v->n; i++) {
        uint64_t kind = 0;
        if (!gguf_array_u64(&a, (uint64_t)i, &kind) || kind > TOKEN_BYTE + 1)
            return err_set(err, ERR_INVALID, "%s[%" PRId32 "] is not a token type (0 … 6)", KEY_TYPES, i);
        v->kind[i] = (uint8_t)(kind == 0 ? TOKEN_NORMAL : kind - 1);
    }
    return true;
}

static bool read_scores(Vocab *v, const Gguf *g, Err *err) {
    GgufArray a;
    if (!parallel_array(v, g, KEY_SCORES, &a, err)) return false;
    if (a.n == 0)
        return err_set(err, ERR_INVALID, "%s is missing: a SentencePiece vocabulary needs it", KEY_SCORES);
    v->score = calloc((size_t)v->n, sizeof *v->score);
    if (!v->score) return no_memory(v, err);
    for (int32_t i = 0; i < v->n; i++) {
        double score = 0;
        if (!gguf_array_f64(&a, (uint64_t)i, &score) || !isfinite(score))
            return err_set(err, ERR_INVALID, "%s[%" PRId32 "] is not a finite number", KEY_SCORES, i);
        v->score[i] = (float)score;
    }
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// "<0x0A>" → 10; -1 for anything else.
static int byte_token_value(Str text) {
    if (text.len != 6 || memcmp(text.ptr, "<0x", 3) != 0 || text.ptr[5] != '>') return -1;
    int high = hex_digit(text.ptr[3]), low = hex_digit(text.ptr[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void put_sentencepiece(Str text, Buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        if (str_starts_with(str_skip(text, i), STR("\xE2\x96\x81"))) {
            buf_putc(out, ' ');
            i += 2;
        } else {
            buf_putc(out, text.ptr[i]);
        }
    }
}

static void put_bytes(const Vocab *v, int32_t i, VocabStyle style, Buf *out) {
    Str text = v->text[i];
    TokenKind kind = (TokenKind)v->kind[i];
    if (kind == TOKEN_CONTROL || kind == TOKEN_USER || kind == TOKEN_UNKNOWN)
        buf_put(out, text);
    else if (kind == TOKEN_BYTE)
        buf_putc(out, (char)byte_token_value(text));
    else if (style == VOCAB_SENTENCEPIECE)
        put_sentencepiece(text, out);
    else if (!byte_alphabet_decode(text, out))
        buf_put(out, text);
}

// Bytes are never longer than the text, so one reservation holds all of them and the views stay.
static bool fill_bytes(Vocab *v, VocabStyle style, Err *err) {
    size_t total = 1;
    for (int32_t i = 0; i < v->n; i++) {
        if (v->kind[i] == TOKEN_BYTE && byte_token_value(v->text[i]) < 0)
            return err_set(err, ERR_INVALID,
                           "%s[%" PRId32 "] is marked as a byte but is not of the form <0xNN>", KEY_TOKENS,
                           i);
        if (!num_add(total, v->text[i].len, &total)) return no_memory(v, err);
    }
    if (!buf_reserve(&v->blob, total)) return no_memory(v, err);
    const char *base = v->blob.ptr;
    for (int32_t i = 0; i < v->n; i++) {
        size_t from = v->blob.len;
        put_bytes(v, i, style, &v->blob);
        v->bytes[i] = (Str){base + from, v->blob.len - from};
    }
    CHECK(!v->blob.failed && v->blob.ptr == base);
    return true;
}

static bool is_piece(const Vocab *v, int32_t i) {
    return v->kind[i] == TOKEN_NORMAL && v->text[i].len > 0;
}

static bool fill_indexes(Vocab *v, Err *err) {
    if (!str_index_init(&v->by_text, (size_t)v->n, err) || !str_index_init(&v->by_bytes, (size_t)v->n, err))
        return false;
    for (int32_t i = 0; i < v->n; i++) {
        // Files pad their vocabulary with unused entries, which may be all alike.
        int32_t twin = str_index_add(&v->by_text, v->text, i);
        if (twin >= 0 && v->kind[i] != TOKEN_UNUSED && v->kind[twin] != TOKEN_UNUSED)
            return err_set(err, ERR_INVALID, "%s[%" PRId32 "] is the same string as entry %" PRId32,
                           KEY_TOKENS, i, twin);
        if (!is_piece(v, i)) continue;
        (void)str_index_add(&v->by_bytes, v->bytes, i);
        v->max_piece = num_max(v->max_piece, v->text[i].len);
    }
    return true;
}

static void fill_byte_ids(Vocab *v, VocabStyle style) {
    for (int b = 0; b < 256; b++) {
        char byte = (char)b;
        v->byte_id[b] = style == VOCAB_BYTE_LEVEL ? vocab_find_bytes(v, (Str){&byte, 1}) : -1;
    }
    if (style == VOCAB_BYTE_LEVEL) return;
    for (int32_t i = 0; i < v->n; i++) {
        int b = v->kind[i] == TOKEN_BYTE ? byte_token_value(v->text[i]) : -1;
        if (b >= 0 && v->byte_id[b] < 0) v->byte_id[b] = i;
    }
}

bool vocab_token_key(const Vocab *v, const Gguf *g, const char *key, int32_t *out, Err *err) {
    uint64_t id = 0;
    *out = -1;
    if (!gguf_has(g, key)) return true;
    if (!gguf_get_u64(g, key, &id)) return err_set(err, ERR_INVALID, "%s is not a token id", key);
    if (id >= (uint64_t)v->n)
        return err_set(err, ERR_INVALID, "%s is %" PRIu64 ", but the vocabulary has %" PRId32 " tokens", key,
                       id, v->n);
    *out = (int32_t)id;
    return true;
}

bool vocab_open(Vocab *v, const Gguf *g, VocabStyle style, Err *err) {
    *v = (Vocab){.unknown = -1};
    bool ok = read_texts(v, g, err) && read_kinds(v, g, err) &&
              (style == VOCAB_BYTE_LEVEL || read_scores(v, g, err)) && fill_bytes(v, style, err) &&
              fill_indexes(v, err) &&
              vocab_token_key(v, g, "tokenizer.ggml.unknown_token_id", &v->unknown, err);
    if (ok)
        fill_byte_ids(v, style);
    else
        vocab_free(v);
    return ok;
}

void vocab_free(Vocab *v) {
    free(v->text);
    free(v->bytes);
    free(v->kind);
    free(v->score);
    buf_free(&v->blob);
    str_index_free(&v->by_text);
    str_index_free(&v->by_bytes);
    *v = (Vocab){.unknown = -1};
}

int32_t vocab_find(const Vocab *v, Str text) {
    return str_index_find(&v->by_text, v->text, text);
}

int32_t vocab_find_bytes(const Vocab *v, Str bytes) {
    return str_index_find(&v->by_bytes, v->bytes, bytes);
}
