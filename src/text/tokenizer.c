#include "text/tokenizer.h"

#include "base/utf8.h"
#include "text/bpe.h"
#include "text/end_tokens.h"
#include "text/fim_tokens.h"
#include "text/normalize.h"
#include "text/pretok.h"
#include "text/special.h"
#include "text/spm.h"

#include <stdlib.h>

// Texts longer than this are refused: positions inside a piece are 32-bit, and a character can
// take three times its bytes on the way.
static const size_t MAX_TEXT = (size_t)1 << 28;

struct Tokenizer {
    VocabStyle style;
    Vocab vocab;
    SpecialTrie special;
    const PretokSpec *spec; // byte-level only, like pretok and bpe
    Pretok *pretok;
    Bpe *bpe;
    char *pre_name;
    int32_t bos, eos;
    bool add_bos, add_eos, add_space_prefix;
    TokenList ends;
    FimTokens fim;
};

// ---- opening

static bool read_style(Tokenizer *t, const Gguf *g, Err *err) {
    Str model;
    if (!gguf_get_str(g, "tokenizer.ggml.model", &model))
        return err_set(err, ERR_INVALID, "tokenizer.ggml.model is missing: the file has no tokenizer");
    bool bpe = str_eq(model, STR("gpt2"));
    if (!bpe && !str_eq(model, STR("llama")))
        return err_set(err, ERR_UNSUPPORTED, "tokenizer.ggml.model is '%.*s'; supported are gpt2 and llama",
                       (int)(model.len < 64 ? model.len : 64), model.ptr);
    t->style = bpe ? VOCAB_BYTE_LEVEL : VOCAB_SENTENCEPIECE;
    return true;
}

static bool read_pre(Tokenizer *t, const Gguf *g, Err *err) {
    Str pre = STR("default");
    if (gguf_has(g, "tokenizer.ggml.pre") && !gguf_get_str(g, "tokenizer.ggml.pre", &pre))
        return err_set(err, ERR_INVALID, "tokenizer.ggml.pre is not a string");
    t->pre_name = strndup(pre.ptr, pre.len);
    if (!t->pre_name) return err_set(err, ERR_NOMEM, "out of memory for the tokenizer");
    if (t->style == VOCAB_SENTENCEPIECE) return true; // it has no pre-tokenizer; the name says nothing
    t->spec = pretok_find(pre, err);
    return t->spec && (t->pretok = pretok_new(t->spec, err));
}

static bool read_flag(const Gguf *g, const char *key, bool *out, Err *err) {
    if (!gguf_has(g, key) || gguf_get_bool(g, key, out)) return true;
    return err_set(err, ERR_INVALID, "%s is not a boolean", key);
}

static bool read_bos_eos(Tokenizer *t, const Gguf *g, Err *err) {
    bool spm = t->style == VOCAB_SENTENCEPIECE;
    t->add_bos = spm || t->spec->add_bos;
    t->add_space_prefix = spm;
    if (!vocab_token_key(&t->vocab, g, "tokenizer.ggml.bos_token_id", &t->bos, err) ||
        !vocab_token_key(&t->vocab, g, "tokenizer.ggml.eos_token_id", &t->eos, err) ||
        !read_flag(g, "tokenizer.ggml.add_bos_token", &t->add_bos, err) ||
        !read_flag(g, "tokenizer.ggml.add_eos_token", &t->add_eos, err) ||
        !read_flag(g, "tokenizer.ggml.add_space_prefix", &t->add_space_prefix, err))
        return false;
    return end_tokens_collect(&t->vocab, g, &t->ends, err) && fim_tokens_find(&t->vocab, g, &t->fim, err);
}

Tokenizer *tokenizer_open(const Gguf *g, Err *err) {
    Tokenizer *t = calloc(1, sizeof *t);
    if (!t) {
        err_set(err, ERR_NOMEM, "out of memory for the tokenizer");
        return NULL;
    }
    bool ok = read_style(t, g, err) && read_pre(t, g, err) && vocab_open(&t->vocab, g, t->style, err) &&
              special_open(&t->special, &t->vocab, err) && read_bos_eos(t, g, err);
    if (ok && t->style == VOCAB_SENTENCEPIECE)
        ok = spm_check(&t->vocab, err);
    else if (ok)
        ok = (t->bpe = bpe_new(g, &t->vocab, t->spec->ignore_merges, err)) != NULL;
    if (ok) return t;
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    bpe_free(t->bpe);
    pretok_free(t->pretok);
    special_free(&t->special);
    vocab_free(&t->vocab);
    token_list_free(&t->ends);
    free(t->pre_name);
    free(t);
}

// ---- text to tokens
//
// A text is cut three times. Special tokens come out first, whole. What is left is cut into runs of
// valid UTF-8 and runs of bytes that are not; the latter are pieces of their own, neither normalised
// nor shown to the pre-tokenizer's expressions, so that any bytes survive the round trip. Valid runs
// are normalised if the model wants it and cut by the pre-tokenizer. Only then do merges run.

typedef struct Encoder {
    const Tokenizer *t;
    TokenList *out;
    Err *err;
    PretokScratch *pretok;
    BpeScratch bpe;
    SpmScratch spm;
    Buf normal;
} Encoder;

static bool no_memory(Err *err) {
    return err_set(err, ERR_NOMEM, "out of memory while tokenising");
}

static bool encode_piece(void *ctx, Str piece) {
    Encoder *e = ctx;
    return bpe_encode(e->t->bpe, piece, &e->bpe, e->out) || no_memory(e->err);
}

static bool encode_valid(Encoder *e, Str text) {
    if (e->t->spec->nfc && !normalize_nfc(text, &e->normal, &text)) return no_memory(e->err);
    return pretok_split(e->t->pretok, e->pretok, text, encode_piece, e, e->err);
}

static size_t invalid_prefix(Str s) {
    size_t n = 0;
    while (n < s.len) {
        Utf8Step step = utf8_step(str_skip(s, n));
        if (step.kind == UTF8_OK) break;
        n += step.n;
    }
    return n;
}

static bool encode_bpe(Encoder *e, Str text) {
    if (!e->pretok && !(e->pretok = pretok_scratch_new())) return no_memory(e->err);
    while (text.len > 0) {
        size_t good = utf8_valid_prefix(text);
        if (good > 0 && !encode_valid(e, str_sub(text, 0, good))) return false;
        text = str_skip(text, good);
        size_t bad = invalid_prefix(text);
        if (bad > 0 && !encode_piece(e, str_sub(text, 0, bad))) return false;
        text = str_skip(text, bad);
    }
    return true;
}

static bool encode_plain(Encoder *e, Str text) {
    if (text.len == 0) return true;
    if (e->t->style == VOCAB_BYTE_LEVEL) return encode_bpe(e, text);
    return spm_encode(&e->t->vocab, text, e->t->add_space_prefix, &e->spm, e->out) || no_memory(e->err);
}

static bool encode_all(Encoder *e, Str text, bool special) {
    size_t from = 0;
    SpecialHit hit;
    while (special_find(&e->t->special, text, from, special, &hit)) {
        if (!encode_plain(e, str_sub(text, from, hit.at - from))) return false;
        if (!token_list_push(e->out, hit.token)) return no_memory(e->err);
        from = hit.at + hit.len;
    }
    return encode_plain(e, str_skip(text, from));
}

static bool push_edge(Encoder *e, bool wanted, int32_t id) {
    return !wanted || id < 0 || token_list_push(e->out, id) || no_memory(e->err);
}

bool tokenizer_encode(const Tokenizer *t, Str text, EncodeOptions opt, TokenList *out, Err *err) {
    if (text.len > MAX_TEXT)
        return err_set(err, ERR_LIMIT, "the text has %zu bytes; at most %zu can be tokenised", text.len,
                       MAX_TEXT);
    size_t before = out->n;
    Encoder e = {.t = t, .out = out, .err = err};
    bool ok = push_edge(&e, opt.bos_eos && t->add_bos, t->bos) && encode_all(&e, text, opt.special) &&
              push_edge(&e, opt.bos_eos && t->add_eos, t->eos);
    if (!ok) out->n = before;
    pretok_scratch_free(e.pretok);
    bpe_scratch_free(&e.bpe);
    spm_scratch_free(&e.spm);
    buf_free(&e.normal);
    return ok;
}

// ---- tokens to text

void tokenizer_decode_token(const Tokenizer *t, int32_t id, bool special, Buf *out) {
    if (id < 0 || id >= t->vocab.n) return;
    TokenKind kind = tokenizer_kind(t, id);
    if ((kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN) && !special) return;
    buf_put(out, t->vocab.bytes[id]);
}

// The space that SentencePiece puts in front of a text is not part of it. After a control token that
// is not shown, the text has still not begun.
void tokenizer_decode(const Tokenizer *t, const int32_t *ids, size_t n, bool special, Buf *out) {
    bool drop = t->style == VOCAB_SENTENCEPIECE && t->add_space_prefix;
    for (size_t i = 0; i < n; i++) {
        size_t from = out->len;
        tokenizer_decode_token(t, ids[i], special, out);
        if (!drop || out->len == from) continue;
        if (out->ptr[from] == ' ' && tokenizer_kind(t, ids[i]) == TOKEN_NORMAL) {
            memmove(out->ptr + from, out->ptr + from + 1, out->len - from); // with the final NUL
            out->len--;
        }
        drop = false;
    }
}

// ---- questions

int32_t tokenizer_n_vocab(const Tokenizer *t) {
    return t->vocab.n;
}

TokenKind tokenizer_kind(const Tokenizer *t, int32_t id) {
    return id < 0 || id >= t->vocab.n ? TOKEN_UNUSED : (TokenKind)t->vocab.kind[id];
}

int32_t tokenizer_bos(const Tokenizer *t) {
    return t->bos;
}

int32_t tokenizer_eos(const Tokenizer *t) {
    return t->eos;
}

int32_t tokenizer_find(const Tokenizer *t, Str raw) {
    return vocab_find(&t->vocab, raw);
}

const int32_t *tokenizer_end_tokens(const Tokenizer *t, size_t *n) {
    *n = t->ends.n;
    return t->ends.ids;
}

const FimTokens *tokenizer_fim(const Tokenizer *t) {
    return t->fim.prefix >= 0 ? &t->fim : NULL;
}

bool tokenizer_is_end(const Tokenizer *t, int32_t id) {
    for (size_t i = 0; i < t->ends.n; i++)
        if (t->ends.ids[i] == id) return true;
    return false;
}

const char *tokenizer_pre_name(const Tokenizer *t) {
    return t->pre_name;
}
