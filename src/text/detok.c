#include "text/detok.h"

#include "base/utf8.h"

#include <stdint.h>
#include <stdlib.h>

// The way of a token: its bytes join `raw`; the whole code points of raw, made valid, join `held`;
// what of held can no longer belong to a stop string is released.
//
// Stop strings are matched byte by byte with the failure function of Knuth, Morris and Pratt 1977:
// for each stop, `matched` is the length of its longest prefix that ends the text so far. So the text
// that must be held back is simply the largest `matched`, no byte is looked at twice, and a stop
// that spans any number of tokens is found like any other. The stop that is complete first wins; of
// those complete at the same byte, the longest. Hence the result does not depend on how the text
// is cut into tokens.
//
// SentencePiece's leading space is kept: a stream continues a prompt, and whether its first word is
// glued to it is the model's to say.
typedef struct Stop {
    char *text;
    uint16_t *fail; // fail[i]: longest proper border of the first i+1 bytes
    size_t len, matched;
} Stop;

struct Detok {
    const Tokenizer *t;
    const TokenList *shown; // control tokens with a text; NULL: none
    Buf raw, held;
    bool stopped;
    int32_t n_blind; // tokens to come in which stops are not looked for
    size_t n_chars;
    size_t n_stops;
    Stop stops[DETOK_MAX_STOPS];
};

static void fill_fail(Stop *stop) {
    uint16_t k = 0;
    stop->fail[0] = 0;
    for (size_t i = 1; i < stop->len; i++) {
        while (k > 0 && stop->text[i] != stop->text[k]) k = stop->fail[k - 1];
        if (stop->text[i] == stop->text[k]) k++;
        stop->fail[i] = k;
    }
}

static bool add_stop(Detok *d, Str text, Err *err) {
    if (text.len == 0) return err_set(err, ERR_INVALID, "a stop string must not be empty");
    if (text.len > DETOK_MAX_STOP_BYTES)
        return err_set(err, ERR_LIMIT, "a stop string has %zu bytes; at most %d", text.len,
                       DETOK_MAX_STOP_BYTES);
    if (!utf8_valid(text)) return err_set(err, ERR_INVALID, "a stop string is not valid UTF-8");
    Stop *stop = &d->stops[d->n_stops++];
    stop->len = text.len;
    stop->text = malloc(text.len);
    stop->fail = malloc(text.len * sizeof *stop->fail);
    if (!stop->text || !stop->fail) return err_set(err, ERR_NOMEM, "out of memory for the stop strings");
    memcpy(stop->text, text.ptr, text.len);
    fill_fail(stop);
    return true;
}

Detok *detok_new(const Tokenizer *t, const Str *stops, size_t n_stops, Err *err) {
    if (n_stops > DETOK_MAX_STOPS) {
        err_set(err, ERR_LIMIT, "%zu stop strings; at most %d", n_stops, DETOK_MAX_STOPS);
        return NULL;
    }
    Detok *d = calloc(1, sizeof *d);
    if (!d) {
        err_set(err, ERR_NOMEM, "out of memory for a text stream");
        return NULL;
    }
    d->t = t;
    for (size_t i = 0; i < n_stops; i++) {
        if (!add_stop(d, stops[i], err)) {
            detok_free(d);
            return NULL;
        }
    }
    return d;
}

void detok_free(Detok *d) {
    if (!d) return;
    for (size_t i = 0; i < d->n_stops; i++) {
        free(d->stops[i].text);
        free(d->stops[i].fail);
    }
    buf_free(&d->raw);
    buf_free(&d->held);
    free(d);
}

// True when the stop is complete with this byte.
static bool stop_step(Stop *stop, char byte) {
    while (stop->matched > 0 && (stop->matched == stop->len || stop->text[stop->matched] != byte))
        stop->matched = stop->fail[stop->matched - 1];
    if (stop->text[stop->matched] == byte) stop->matched++;
    return stop->matched == stop->len;
}

// The length of the longest stop that this byte completes, 0 for none.
static size_t step_all(Detok *d, char byte) {
    size_t longest = 0;
    for (size_t i = 0; i < d->n_stops; i++)
        if (stop_step(&d->stops[i], byte) && d->stops[i].len > longest) longest = d->stops[i].len;
    return longest;
}

static size_t held_back(const Detok *d) {
    size_t n = 0;
    for (size_t i = 0; i < d->n_stops; i++)
        if (d->stops[i].matched > n) n = d->stops[i].matched;
    return n;
}

static void release(Detok *d, size_t n, Buf *out) {
    buf_put(out, str_sub(buf_str(&d->held), 0, n));
    buf_drop_front(&d->held, n);
}

// Takes the first n bytes of raw into held; releases what may be shown.
static bool advance(Detok *d, size_t n, bool blind, Buf *out) {
    size_t from = d->held.len;
    utf8_sanitize(str_sub(buf_str(&d->raw), 0, n), &d->held);
    buf_drop_front(&d->raw, n);
    d->n_chars += utf8_n_chars(str_skip(buf_str(&d->held), from));
    for (size_t i = from; i < d->held.len && !blind; i++) {
        size_t stop = step_all(d, d->held.ptr[i]);
        if (stop == 0) continue;
        release(d, i + 1 - stop, out);
        buf_clear(&d->held);
        buf_clear(&d->raw);
        d->stopped = true;
        return true;
    }
    release(d, d->held.len - held_back(d), out);
    return false;
}

static bool out_of_memory(const Detok *d, Buf *out) {
    if (d->raw.failed || d->held.failed) out->failed = true;
    return out->failed;
}

void detok_show(Detok *d, const TokenList *shown) {
    d->shown = shown;
}

static bool is_shown(const Detok *d, int32_t token) {
    for (size_t i = 0; d->shown && i < d->shown->n; i++)
        if (d->shown->ids[i] == token) return true;
    return false;
}

bool detok_push(Detok *d, int32_t token, Buf *out) {
    if (d->stopped) return true;
    tokenizer_decode_token(d->t, token, is_shown(d, token), &d->raw);
    if (out_of_memory(d, out)) return false;
    bool blind = d->n_blind > 0;
    d->n_blind -= blind;
    bool stopped = advance(d, utf8_complete_prefix(buf_str(&d->raw)), blind, out);
    (void)out_of_memory(d, out);
    return stopped;
}

void detok_finish(Detok *d, Buf *out) {
    if (d->stopped || out_of_memory(d, out)) return;
    if (!advance(d, d->raw.len, d->n_blind > 0, out)) release(d, d->held.len, out);
    for (size_t i = 0; i < d->n_stops; i++) d->stops[i].matched = 0;
    (void)out_of_memory(d, out);
}

void detok_ignore_stops(Detok *d, int32_t n_tokens) {
    d->n_blind = n_tokens;
}

size_t detok_n_chars(const Detok *d) {
    return d->n_chars;
}

bool detok_stopped(const Detok *d) {
    return d->stopped;
}

Str detok_stop(const Detok *d) {
    const Stop *longest = NULL;
    for (size_t i = 0; d->stopped && i < d->n_stops; i++) {
        const Stop *stop = &d->stops[i];
        if (stop->matched == stop->len && (!longest || stop->len > longest->len)) longest = stop;
    }
    return longest ? (Str){longest->text, longest->len} : (Str){0};
}
