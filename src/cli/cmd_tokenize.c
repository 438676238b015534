// cllm tokenize: text to tokens and back, for people (a table), for programs (JSON) and in bulk.
//
// Bulk lines are base64, since a text may hold any bytes. Only the tokenizer of the model file is
// opened; the weights are not touched.
#include "cli/commands.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/fetch.h"
#include "text/tokenizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Args {
    const char *text; // NULL: lines from stdin
    bool special, bos_eos, json, decode, bench;
} Args;

// ---- base64 (RFC 4648 §4, with padding)

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_put(Str s, Buf *out) {
    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = s.len - i < 3 ? s.len - i : 3;
        uint32_t w = 0;
        for (size_t k = 0; k < 3; k++) w = w << 8 | (k < n ? (uint8_t)s.ptr[i + k] : 0);
        for (size_t k = 0; k < 4; k++) buf_putc(out, k <= n ? digits64[w >> (18 - 6 * k) & 63] : '=');
    }
}

static bool base64_get(Str s, Buf *out) {
    if (s.len % 4 != 0) return false;
    while (s.len > 0 && s.ptr[s.len - 1] == '=') s.len--;
    uint32_t w = 0;
    for (size_t i = 0; i < s.len; i++) {
        const char *at = s.ptr[i] ? strchr(digits64, s.ptr[i]) : NULL;
        if (!at) return false;
        w = w << 6 | (uint32_t)(at - digits64);
        if (i % 4 != 0) buf_putc(out, (char)(w >> (6 - 2 * (i % 4))));
    }
    return s.len % 4 != 1;
}

// ---- ids

static void put_ids(const TokenList *l, Buf *out) {
    buf_putc(out, '[');
    for (size_t i = 0; i < l->n; i++) buf_printf(out, "%s%" PRId32, i ? ", " : "", l->ids[i]);
    buf_putc(out, ']');
}

static bool get_ids(const Tokenizer *t, Str s, TokenList *out, Err *err) {
    const char *at = s.ptr, *end = s.ptr + s.len; // NUL-terminated: a line or an argument
    while (at < end) {
        if (strchr(" ,[]\t\r", *at)) {
            at++;
            continue;
        }
        char *after = NULL;
        long id = strtol(at, &after, 10);
        if (after == at) return err_set(err, ERR_INVALID, "'%.20s' is not a token id", at);
        if (id < 0 || id >= tokenizer_n_vocab(t))
            return err_set(err, ERR_INVALID, "token %ld is not in the vocabulary (0 … %" PRId32 ")", id,
                           tokenizer_n_vocab(t) - 1);
        if (!token_list_push(out, (int32_t)id)) return err_set(err, ERR_NOMEM, "out of memory");
        at = after;
    }
    return true;
}

// ---- one text, for people

static void put_escaped(Str s, Buf *out) {
    Buf clean = {0};
    if (utf8_valid(s)) buf_put(&clean, s);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '\n')
            buf_puts(out, "\\n");
        else if (c == '\t')
            buf_puts(out, "\\t");
        else if (c == '\\')
            buf_puts(out, "\\\\");
        else if (c < 0x20 || c == 0x7F || (c >= 0x80 && clean.len == 0))
            buf_printf(out, "\\x%02x", c);
        else
            buf_putc(out, (char)c);
    }
    buf_free(&clean);
}

static const char *kind_name(TokenKind kind) {
    static const char *const names[] = {"", "unknown", "control", "user", "unused", "byte"};
    return names[kind];
}

static void put_table(const Tokenizer *t, const TokenList *l, Buf *out) {
    Buf bytes = {0};
    for (size_t i = 0; i < l->n; i++) {
        buf_clear(&bytes);
        tokenizer_decode_token(t, l->ids[i], true, &bytes);
        buf_printf(out, "%8" PRId32 "  '", l->ids[i]);
        put_escaped(buf_str(&bytes), out);
        const char *kind = kind_name(tokenizer_kind(t, l->ids[i]));
        buf_printf(out, "'%s%s\n", kind[0] ? "  " : "", kind);
    }
    buf_printf(out, "%zu tokens\n", l->n);
    buf_free(&bytes);
}

static bool print(Buf *out, Err *err) {
    if (out->failed) return err_set(err, ERR_NOMEM, "out of memory");
    return fwrite(out->ptr, 1, out->len, stdout) == out->len || output_is_written(err);
}

static bool one_text(const Tokenizer *t, const Args *a, Err *err) {
    TokenList l = {0};
    Buf out = {0};
    EncodeOptions opt = {a->special, a->bos_eos};
    bool ok = a->decode ? get_ids(t, str_from(a->text), &l, err)
                        : tokenizer_encode(t, str_from(a->text), opt, &l, err);
    if (a->decode)
        tokenizer_decode(t, l.ids, l.n, a->special, &out);
    else if (a->json)
        put_ids(&l, &out);
    else
        put_table(t, &l, &out);
    if (a->decode || a->json) buf_putc(&out, '\n');
    ok = ok && print(&out, err);
    token_list_free(&l);
    buf_free(&out);
    return ok;
}

// ---- lines

typedef struct Totals {
    uint64_t n_lines, n_bytes, n_tokens;
    int64_t ns;
} Totals;

static bool encode_line(const Tokenizer *t, const Args *a, Str line, Buf *out, Totals *sum, Err *err) {
    Buf text = {0};
    TokenList l = {0};
    bool ok = base64_get(line, &text) || err_set(err, ERR_INVALID, "not base64");
    int64_t start = clock_now_ns();
    if (ok) ok = tokenizer_encode(t, buf_str(&text), (EncodeOptions){a->special, a->bos_eos}, &l, err);
    sum->ns += clock_now_ns() - start;
    sum->n_bytes += text.len;
    sum->n_tokens += l.n;
    if (ok && !a->bench) put_ids(&l, out);
    buf_free(&text);
    token_list_free(&l);
    return ok;
}

static bool decode_line(const Tokenizer *t, const Args *a, Str line, Buf *out, Err *err) {
    TokenList l = {0};
    Buf text = {0};
    bool ok = get_ids(t, line, &l, err);
    if (ok) tokenizer_decode(t, l.ids, l.n, a->special, &text);
    base64_put(buf_str(&text), out);
    if (text.failed) ok = err_set(err, ERR_NOMEM, "out of memory");
    buf_free(&text);
    token_list_free(&l);
    return ok;
}

static bool each_line(const Tokenizer *t, const Args *a, Totals *sum, Err *err) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t got;
    Buf out = {0};
    bool ok = true;
    while (ok && (got = getline(&line, &cap, stdin)) >= 0) {
        size_t len = (size_t)got;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) line[--len] = '\0';
        sum->n_lines++;
        buf_clear(&out);
        Str s = {line, len};
        ok = a->decode ? decode_line(t, a, s, &out, err) : encode_line(t, a, s, &out, sum, err);
        if (!ok) err_prefix(err, "line %" PRIu64, sum->n_lines);
        if (!a->bench) buf_putc(&out, '\n');
        ok = ok && print(&out, err);
    }
    free(line);
    buf_free(&out);
    return ok;
}

static bool bulk(const Tokenizer *t, const Args *a, Err *err) {
    Totals sum = {0};
    if (!each_line(t, a, &sum, err)) return false;
    if (!a->bench) return true;
    double s = clock_seconds(sum.ns), mb = (double)sum.n_bytes / 1e6;
    printf("{\"lines\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"tokens\": %" PRIu64
           ", \"seconds\": %.6f, \"mb_per_s\": %.2f}\n",
           sum.n_lines, sum.n_bytes, sum.n_tokens, s, s > 0 ? mb / s : 0.0);
    return true;
}

static bool tokenize(const Args *a, const char *model, Err *err) {
    Gguf *g = gguf_open(model, err);
    if (!g) return false;
    Tokenizer *t = tokenizer_open(g, err);
    bool ok = t && (a->text ? one_text(t, a, err) : bulk(t, a, err));
    tokenizer_free(t);
    gguf_close(g);
    return ok;
}

static bool run(Options *o, int *code, Err *err) {
    LibraryModel model;
    bool in_library;
    Args a = {.text = o->n_words ? o->words[0] : NULL,
              .special = o->special,
              .bos_eos = o->bos_eos,
              .json = o->json,
              .decode = o->decode,
              .bench = o->bench};
    *code = EXIT_USAGE;
    if (a.bench && (a.text || a.decode)) return err_set(err, ERR_INVALID, "--bench takes lines of text");
    if (!o->model[0]) return err_set(err, ERR_INVALID, "--model MODEL is missing");
    *code = 0;
    return model_name_find(o, &model, &in_library, err) && tokenize(&a, o->model, err);
}

int cmd_tokenize(int argc, char **argv) {
    return command_main(COMMAND_TOKENIZE, argc, argv, run);
}
