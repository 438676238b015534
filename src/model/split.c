#include "model/split.h"

// Costs are in hundredths of what a row of a full tile costs without attention. Measured on a model of
// 0.6 B: attention to 800 keys costs as much, and half of that where rows of a prompt share the keys.
enum { ROW_COST = 100, KEYS_A_ROW = 800 };

// The fewer of eight rows there are, the more each waits for unpacked weights (kcheck --bench).
static int64_t rows_cost(int32_t rows) {
    static const int tail[8] = {0, 190, 250, 340, 430, 520, 620, 710};
    return rows / 8 * 8 * ROW_COST + tail[rows % 8];
}

static int64_t keys_cost(const BatchSeq *q, int32_t rows) {
    int64_t keys = (int64_t)(q->start + q->n_rows) * rows;
    return keys * ROW_COST / (q->n_rows > 1 ? 2 * KEYS_A_ROW : KEYS_A_ROW);
}

// A place in the step: a row and the sequence that it belongs to, with the cost of attention before it.
typedef struct Place {
    int32_t row, seq;
    int64_t keys;
} Place;

static void advance(const Batch *b, Place *p, int32_t rows) {
    while (rows > 0 && p->seq < b->n_seqs) {
        const BatchSeq *q = &b->seqs[p->seq];
        int32_t left = q->first_row + q->n_rows - p->row, n = rows < left ? rows : left;
        p->keys += keys_cost(q, n);
        p->row += n;
        rows -= n;
        if (n == left) p->seq++;
    }
}

static int64_t cost_between(const Place *a, const Place *b) {
    return rows_cost(b->row - a->row) + b->keys - a->keys;
}

int split_rows(const Batch *b, int n_workers, int busy_rows, int32_t *first_row, bool *cut) {
    Place whole = {0}, from = {0};
    int64_t most = 0;
    advance(b, &whole, b->n_rows);
    int64_t all = rows_cost(b->n_rows) + whole.keys;
    first_row[0] = 0;
    *cut = false;
    // Arithmetic takes longer than reading the weights, also when all workers read at once.
    bool fits = n_workers > 1 && b->n_rows >= n_workers * n_workers * busy_rows;
    for (int i = 1; fits && i <= n_workers; i++) {
        Place to = from, next = from;
        while (i < n_workers && cost_between(&from, &next) * n_workers < all) {
            to = next;
            advance(b, &next, 1);
        }
        if (i == n_workers)
            to = whole;
        else if (2 * all > (cost_between(&from, &to) + cost_between(&from, &next)) * n_workers)
            to = next;
        int64_t cost = cost_between(&from, &to);
        fits = to.row > from.row;
        most = cost > most ? cost : most;
        first_row[i] = to.row;
        if (i < n_workers && to.seq < b->n_seqs) *cut |= b->seqs[to.seq].first_row < to.row;
        from = to;
    }
    if (fits && most * n_workers <= all + all / 20) return n_workers;
    first_row[1] = b->n_rows;
    *cut = false;
    return 1;
}
