#include "text/spm.h"

#include "base/num.h"
#include "base/utf8.h"

#include <stdlib.h>

static const uint32_t NO_SYMBOL = UINT32_MAX;
static const Str WORD_MARK = {"\xE2\x96\x81", 3};

void spm_scratch_free(SpmScratch *s) {
    free(s->symbols);
    free(s->heap);
    buf_free(&s->escaped);
    *s = (SpmScratch){0};
}

bool spm_check(const Vocab *v, Err *err) {
    if (v->unknown >= 0) return true;
    for (int b = 0; b < 256; b++)
        if (v->byte_id[b] < 0)
            return err_set(
                err, ERR_INVALID,
                "tokenizer.ggml.tokens has no <0x%02X> and there is no tokenizer.ggml.unknown_token_id",
                (unsigned)b);
    return true;
}

static bool scratch_reserve(SpmScratch *s, size_t n) {
    if (n <= s->cap) return true;
    size_t cap = num_max(n, num_max(256, s->cap * 2));
    free(s->symbols);
    free(s->heap);
    s->symbols = malloc(cap * sizeof *s->symbols);
    s->heap = malloc(cap * 3 * sizeof *s->heap);
    s->cap = s->symbols && s->heap ? cap : 0;
    return s->cap > 0;
}

static void escape(Str text, bool prefix, Buf *out) {
    buf_clear(out);
    if (prefix) buf_put(out, WORD_MARK);
    while (text.len > 0) {
        const char *space = memchr(text.ptr, ' ', text.len);
        size_t n = space ? (size_t)(space - text.ptr) : text.len;
        buf_put(out, (Str){text.ptr, n});
        if (space) buf_put(out, WORD_MARK);
        text = str_skip(text, n + 1);
    }
}

// One symbol a character; each byte of what is not UTF-8 is one by itself.
static size_t fill_symbols(Str text, SpmSymbol *symbols) {
    size_t n = 0;
    for (Str rest = text; rest.len > 0; n++) {
        Utf8Step step = utf8_step(rest);
        size_t len = step.kind == UTF8_OK ? step.n : 1;
        uint32_t at = (uint32_t)n;
        symbols[n] = (SpmSymbol){rest.ptr, (uint32_t)len, at > 0 ? at - 1 : NO_SYMBOL, at + 1};
        rest = str_skip(rest, len);
    }
    if (n > 0) symbols[n - 1].next = NO_SYMBOL;
    return n;
}

// ---- the heap of candidate pairs; entries that have become stale are skipped when they come up

static bool before(SpmPair a, SpmPair b) {
    if (a.score != b.score) return a.score > b.score;
    return a.left < b.left;
}

static void heap_push(SpmScratch *s, SpmPair pair) {
    size_t i = s->n_heap++;
    while (i > 0 && before(pair, s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = pair;
}

static SpmPair heap_pop(SpmScratch *s) {
    SpmPair top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= s->n_heap) break;
        if (c + 1 < s->n_heap && before(s->heap[c + 1], s->heap[c])) c++;
        if (!before(s->heap[c], last)) break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = last;
    return top;
}

// The id of a piece that may come out of merging: control and byte tokens may not.
static int32_t find_piece(const Vocab *v, Str text) {
    if (text.len > v->max_piece) return -1;
    int32_t id = vocab_find(v, text);
    return id >= 0 && v->kind[id] == TOKEN_NORMAL ? id : -1;
}

static void try_pair(const Vocab *v, SpmScratch *s, uint32_t left) {
    uint32_t right = left == NO_SYMBOL ? NO_SYMBOL : s->symbols[left].next;
    if (right == NO_SYMBOL) return;
    Str joined = {s->symbols[left].ptr, (size_t)s->symbols[left].len + s->symbols[right].len};
    int32_t id = find_piece(v, joined);
    if (id >= 0) heap_push(s, (SpmPair){v->score[id], left, (uint32_t)joined.len});
}

static void join(const Vocab *v, SpmScratch *s, SpmPair pair) {
    SpmSymbol *left = &s->symbols[pair.left];
    if (left->len == 0 || left->next == NO_SYMBOL) return;
    SpmSymbol *right = &s->symbols[left->next];
    if (left->len + right->len != pair.len) return;
    left->len = pair.len;
    left->next = right->next;
    right->len = 0;
    if (left->next != NO_SYMBOL) s->symbols[left->next].prev = pair.left;
    try_pair(v, s, left->prev);
    try_pair(v, s, pair.left);
}

static bool has_bytes(const Vocab *v, Str text) {
    for (size_t i = 0; i < text.len; i++)
        if (v->byte_id[(uint8_t)text.ptr[i]] < 0) return false;
    return true;
}

static bool push_symbol(const Vocab *v, Str text, TokenList *out) {
    int32_t id = find_piece(v, text);
    if (id < 0 && !has_bytes(v, text)) id = v->unknown;
    if (id >= 0) return token_list_push(out, id);
    for (size_t i = 0; i < text.len; i++)
        if (!token_list_push(out, v->byte_id[(uint8_t)text.ptr[i]])) return false;
    return true;
}

bool spm_encode(const Vocab *v, Str text, bool prefix, SpmScratch *s, TokenList *out) {
    if (text.len == 0) return true;
    escape(text, prefix, &s->escaped);
    if (s->escaped.failed || !scratch_reserve(s, s->escaped.len)) return false;
    size_t n = fill_symbols(buf_str(&s->escaped), s->symbols);
    s->n_heap = 0;
    for (size_t i = 0; i < n; i++) try_pair(v, s, (uint32_t)i);
    while (s->n_heap > 0) join(v, s, heap_pop(s));
    for (uint32_t at = 0; at != NO_SYMBOL; at = s->symbols[at].next)
        if (!push_symbol(v, (Str){s->symbols[at].ptr, s->symbols[at].len}, out)) return false;
    return true;
}
