#include "text/bpe.h"

#include "base/num.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SHORT_PIECE = 48 }; // up to here a scan for the lowest rank beats a heap

static const uint32_t NO_RANK = UINT32_MAX;
static const uint32_t NO_POS = UINT32_MAX;
static const char KEY_MERGES[] = "tokenizer.ggml.merges";

typedef struct Merge {
    int32_t left, right, result; // result < 0: a free slot
    uint32_t rank;
} Merge;

// Whether merging the bytes of a token gives just this token, found out when first asked.
typedef enum Whole { WHOLE_UNASKED, WHOLE_YES, WHOLE_NO } Whole;

struct Bpe {
    const Vocab *vocab;
    Merge *merges; // open addressing by (left, right)
    size_t mask;
    _Atomic uint8_t *whole; // a Whole for each token
    bool ignore_merges;
};

// ---- the table of merges

static size_t pair_hash(int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key *= 0x9E3779B97F4A7C15u;
    return (size_t)(key ^ key >> 32);
}

static Merge *pair_slot(const Bpe *b, int32_t left, int32_t right) {
    size_t at = pair_hash(left, right) & b->mask;
    for (;; at = (at + 1) & b->mask) {
        Merge *m = &b->merges[at];
        if (m->result < 0 || (m->left == left && m->right == right)) return m;
    }
}

static uint32_t pair_rank(const Bpe *b, int32_t left, int32_t right) {
    const Merge *m = pair_slot(b, left, right);
    return m->result < 0 ? NO_RANK : m->rank;
}

static int32_t pair_result(const Bpe *b, int32_t left, int32_t right) {
    return pair_slot(b, left, right)->result;
}

static bool bad_merge(Err *err, uint64_t i, Str line, const char *why) {
    int shown = (int)(line.len < 80 ? line.len : 80);
    return err_set(err, ERR_INVALID, "%s[%" PRIu64 "] '%.*s' %s", KEY_MERGES, i, shown, line.ptr, why);
}

static bool add_merge(Bpe *b, Str line, uint64_t i, Buf *joined, Err *err) {
    const char *space = line.len > 1 ? memchr(line.ptr + 1, ' ', line.len - 1) : NULL;
    if (!space) return bad_merge(err, i, line, "is not two pieces with a space between them");
    Str left = {line.ptr, (size_t)(space - line.ptr)}, right = str_skip(line, left.len + 1);
    if (right.len == 0 || memchr(right.ptr, ' ', right.len))
        return bad_merge(err, i, line, "is not two pieces with a space between them");
    buf_clear(joined);
    buf_put(joined, left);
    buf_put(joined, right);
    if (joined->failed) return err_set(err, ERR_NOMEM, "out of memory for the merges");
    int32_t l = vocab_find(b->vocab, left), r = vocab_find(b->vocab, right);
    int32_t result = vocab_find(b->vocab, buf_str(joined));
    if (l < 0 || r < 0) return bad_merge(err, i, line, "names a piece that is not in the vocabulary");
    if (result < 0) return bad_merge(err, i, line, "makes a piece that is not in the vocabulary");
    *pair_slot(b, l, r) = (Merge){l, r, result, (uint32_t)i};
    return true;
}

static bool read_merges(Bpe *b, const Gguf *g, Err *err) {
    GgufArray a;
    GgufStrIter it;
    if (!gguf_get_array(g, KEY_MERGES, &a) || !gguf_array_strings(&a, &it))
        return err_set(err, ERR_INVALID,
                       "%s is missing or not an array of strings: byte-pair encoding needs it", KEY_MERGES);
    if (a.n > VOCAB_MAX_TOKENS)
        return err_set(err, ERR_LIMIT, "%s has %" PRIu64 " entries; at most %d are supported", KEY_MERGES,
                       a.n, VOCAB_MAX_TOKENS);
    size_t n_slots = 16;
    while (n_slots < a.n * 2) n_slots *= 2;
    b->merges = malloc(n_slots * sizeof *b->merges);
    if (!b->merges) return err_set(err, ERR_NOMEM, "out of memory for %" PRIu64 " merges", a.n);
    for (size_t i = 0; i < n_slots; i++) b->merges[i].result = -1;
    b->mask = n_slots - 1;
    Buf joined = {0};
    Str line;
    bool ok = true;
    for (uint64_t i = 0; ok && gguf_next_str(&it, &line); i++) ok = add_merge(b, line, i, &joined, err);
    buf_free(&joined);
    return ok;
}

Bpe *bpe_new(const Gguf *g, const Vocab *v, bool ignore_merges, Err *err) {
    Bpe *b = calloc(1, sizeof *b);
    if (!b || !(b->whole = calloc((size_t)v->n, sizeof *b->whole))) {
        err_set(err, ERR_NOMEM, "out of memory for the merges");
        goto failed;
    }
    b->vocab = v;
    b->ignore_merges = ignore_merges;
    if (!read_merges(b, g, err)) goto failed;
    return b;
failed:
    bpe_free(b);
    return NULL;
}

void bpe_free(Bpe *b) {
    if (!b) return;
    free(b->merges);
    free((void *)b->whole);
    free(b);
}

// ---- working memory

void bpe_scratch_free(BpeScratch *s) {
    free(s->ids);
    free(s->rank);
    free(s->prev);
    free(s->next);
    free(s->heap);
    *s = (BpeScratch){0};
}

// The heap never holds more than the first pairs and two for each merge.
static bool scratch_reserve(BpeScratch *s, size_t n) {
    if (n <= s->cap) return true;
    size_t cap = num_max(n, num_max(256, s->cap * 2));
    bpe_scratch_free(s);
    s->ids = malloc(cap * sizeof *s->ids);
    s->rank = malloc(cap * sizeof *s->rank);
    s->prev = malloc(cap * sizeof *s->prev);
    s->next = malloc(cap * sizeof *s->next);
    s->heap = malloc(cap * 3 * sizeof *s->heap);
    if (!s->ids || !s->rank || !s->prev || !s->next || !s->heap) {
        bpe_scratch_free(s);
        return false;
    }
    s->cap = cap;
    return true;
}

// The tokens of single bytes.
static size_t fill_bytes(const Bpe *b, Str piece, int32_t *ids) {
    size_t n = 0;
    for (size_t i = 0; i < piece.len; i++) {
        int32_t id = b->vocab->byte_id[(uint8_t)piece.ptr[i]];
        if (id >= 0) ids[n++] = id;
    }
    return n;
}

// ---- short pieces: scan for the lowest rank, close the gap

static uint32_t rank_at(const Bpe *b, const int32_t *ids, size_t i, size_t n) {
    return i + 1 < n ? pair_rank(b, ids[i], ids[i + 1]) : NO_RANK;
}

static size_t merge_short(const Bpe *b, int32_t *ids, size_t n) {
    uint32_t rank[SHORT_PIECE];
    for (size_t i = 0; i < n; i++) rank[i] = rank_at(b, ids, i, n);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (n < 2 || rank[best] == NO_RANK) return n;
        ids[best] = pair_result(b, ids[best], ids[best + 1]);
        n--;
        for (size_t i = best + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            rank[i] = rank[i + 1];
        }
        rank[best] = rank_at(b, ids, best, n);
        if (best > 0) rank[best - 1] = rank_at(b, ids, best - 1, n);
    }
}

// ---- long pieces: a heap of candidate merges over a linked list of tokens
//
// A heap entry is (rank, position) in one number, so the smallest is the next merge, leftmost among
// equals. Entries are never removed when a neighbour changes: `rank` holds what is true now, and an
// entry that disagrees with it is skipped when it comes up. Every merge adds at most two entries,
// which bounds the heap by 3n and the time by n log n, whatever the text.

static void heap_push(BpeScratch *s, uint64_t key) {
    size_t i = s->n_heap++;
    while (i > 0 && s->heap[(i - 1) / 2] > key) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = key;
}

static uint64_t heap_pop(BpeScratch *s) {
    uint64_t top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= s->n_heap) break;
        if (c + 1 < s->n_heap && s->heap[c + 1] < s->heap[c]) c++;
        if (s->heap[c] >= last) break;
        s->heap[i] = s->heap[c];
        i = c;
    }
    s->heap[i] = last;
    return top;
}

static void refresh(const Bpe *b, BpeScratch *s, uint32_t at) {
    uint32_t next = s->next[at];
    s->rank[at] = next == NO_POS ? NO_RANK : pair_rank(b, s->ids[at], s->ids[next]);
    if (s->rank[at] != NO_RANK) heap_push(s, (uint64_t)s->rank[at] << 32 | at);
}

static void merge_at(const Bpe *b, BpeScratch *s, uint32_t at) {
    uint32_t gone = s->next[at], after = s->next[gone];
    s->ids[at] = pair_result(b, s->ids[at], s->ids[gone]);
    s->next[at] = after;
    if (after != NO_POS) s->prev[after] = at;
    s->rank[gone] = NO_RANK;
    refresh(b, s, at);
    if (s->prev[at] != NO_POS) refresh(b, s, s->prev[at]);
}

static size_t merge_long(const Bpe *b, BpeScratch *s, size_t n) {
    s->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        s->prev[i] = i > 0 ? (uint32_t)(i - 1) : NO_POS;
        s->next[i] = i + 1 < n ? (uint32_t)(i + 1) : NO_POS;
    }
    for (size_t i = 0; i < n; i++) refresh(b, s, (uint32_t)i);
    while (s->n_heap > 0) {
        uint64_t key = heap_pop(s);
        uint32_t at = (uint32_t)key;
        if (s->rank[at] == (uint32_t)(key >> 32)) merge_at(b, s, at);
    }
    size_t n_out = 0;
    for (uint32_t at = 0; at != NO_POS; at = s->next[at]) s->ids[n_out++] = s->ids[at];
    return n_out;
}

// ---- one piece

static bool merge_piece(const Bpe *b, Str piece, BpeScratch *s, size_t *n) {
    if (!scratch_reserve(s, piece.len)) return false;
    *n = fill_bytes(b, piece, s->ids);
    if (*n > SHORT_PIECE)
        *n = merge_long(b, s, *n);
    else if (*n > 1)
        *n = merge_short(b, s->ids, *n);
    return true;
}

static bool push_all(TokenList *out, const int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!token_list_push(out, ids[i])) return false;
    return true;
}

// Most pieces are words that are tokens themselves. Merging would find the same token as long as
// the merges lead there, which is asked once for each token and then remembered. Two threads that
// ask at the same time find the same answer.
bool bpe_encode(const Bpe *b, Str piece, BpeScratch *s, TokenList *out) {
    size_t n = 0;
    if (piece.len == 0) return true;
    int32_t id = vocab_find_bytes(b->vocab, piece);
    if (id < 0) return merge_piece(b, piece, s, &n) && push_all(out, s->ids, n);
    if (b->ignore_merges) return token_list_push(out, id);
    uint8_t whole = atomic_load_explicit(&b->whole[id], memory_order_relaxed);
    if (whole == WHOLE_YES) return token_list_push(out, id);
    if (!merge_piece(b, piece, s, &n)) return false;
    if (whole == WHOLE_UNASKED) {
        whole = n == 1 && s->ids[0] == id ? WHOLE_YES : WHOLE_NO;
        atomic_store_explicit(&b->whole[id], whole, memory_order_relaxed);
    }
    return push_all(out, s->ids, n);
}
