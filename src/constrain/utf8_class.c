#include "constrain/utf8_class.h"

#include "constrain/grow.h"

typedef struct ByteRange {
    uint8_t lo, hi;
} ByteRange;

// Code points whose UTF-8 is any byte of the first range, any of the second, …
typedef struct Run {
    int n;
    ByteRange at[4];
} Run;

enum { MOST_KNOWN = 16, MOST_RUNS = 1 << 20 };

typedef struct Builder {
    Run *runs;
    int32_t n_runs, cap;
    int32_t next;
    Utf8AddBytes add;
    void *ctx;
    // Nodes for the last bytes of runs, to be used again.
    struct {
        Run tail;
        int32_t node;
    } known[MOST_KNOWN];
    int n_known;
} Builder;

static int length_of(uint32_t cp) {
    return cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
}

static uint8_t byte_of(uint32_t cp, int n, int i) {
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    uint32_t bits = cp >> 6 * (n - 1 - i);
    return (uint8_t)(i > 0 ? 0x80 | (bits & 0x3F) : n == 1 ? bits : lead[n] | bits);
}

// The end of the longest run from `lo` on, at most `hi`: first bytes that are fixed, one that may vary in
// part, and last ones that take all their values.
static uint32_t run_end(uint32_t lo, uint32_t hi) {
    static const uint32_t last_of_length[] = {0, 0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
    int n = length_of(lo), full = 0;
    if (hi > last_of_length[n]) hi = last_of_length[n];
    for (uint32_t mask = 0x3F; full < n - 1 && (lo & mask) == 0 && (lo | mask) <= hi; mask = mask << 6 | 0x3F)
        full++;
    uint32_t unit = 1u << 6 * full;
    uint32_t last = full == n - 1 ? hi : lo | (unit * 64 - 1);
    if (last > hi) last = hi;
    return last - (last + 1 - lo) % unit;
}

static bool list_runs(Builder *b, const CodeRange *ranges, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        for (uint32_t lo = ranges[i].lo, end; lo <= ranges[i].hi; lo = end + 1) {
            if (!grow(&b->runs, &b->cap, b->n_runs, sizeof *b->runs, MOST_RUNS)) return false;
            Run *run = &b->runs[b->n_runs++];
            end = run_end(lo, ranges[i].hi);
            run->n = length_of(lo);
            for (int k = 0; k < run->n; k++)
                run->at[k] = (ByteRange){byte_of(lo, run->n, k), byte_of(end, run->n, k)};
        }
    return true;
}

static bool same(const Run *a, const Run *b) {
    return a->n == b->n && memcmp(a->at, b->at, (size_t)a->n * sizeof a->at[0]) == 0;
}

// The node that takes a run's bytes from the k-th on.
static int32_t tail_node(Builder *b, const Run *run, int k) {
    Run tail = {.n = run->n - k};
    if (tail.n == 0) return b->next;
    memcpy(tail.at, run->at + k, (size_t)tail.n * sizeof tail.at[0]);
    for (int i = 0; i < b->n_known; i++)
        if (same(&b->known[i].tail, &tail)) return b->known[i].node;
    Edge edge = {run->at[k].lo, run->at[k].hi, tail_node(b, run, k + 1)};
    int32_t node = b->add(b->ctx, &edge, 1);
    if (b->n_known < MOST_KNOWN) {
        b->known[b->n_known].tail = tail;
        b->known[b->n_known++].node = node;
    }
    return node;
}

// The node for runs [from, to), which agree before their k-th byte. In rising order those that agree
// there too stand together.
static int32_t group_node(Builder *b, int32_t from, int32_t to, int k) {
    Edge edges[256];
    int32_t n = 0;
    while (from < to) {
        ByteRange at = b->runs[from].at[k];
        int32_t end = from + 1;
        while (end < to && memcmp(&b->runs[end].at[k], &at, sizeof at) == 0) end++;
        int32_t node =
            end == from + 1 ? tail_node(b, &b->runs[from], k + 1) : group_node(b, from, end, k + 1);
        edges[n++] = (Edge){at.lo, at.hi, node};
        from = end;
    }
    return b->add(b->ctx, edges, n);
}

bool utf8_class_nodes(const CodeRange *ranges, int32_t n, int32_t next, Utf8AddBytes add, void *ctx,
                      int32_t *out) {
    Builder b = {.next = next, .add = add, .ctx = ctx};
    bool ok = list_runs(&b, ranges, n);
    if (ok) *out = group_node(&b, 0, b.n_runs, 0);
    free(b.runs);
    return ok;
}
