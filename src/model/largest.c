#include "model/largest.h"

#include "base/err.h"
#include "kernels/order.h"

void largest_begin(Largest *l, int32_t k) {
    CHECK(k >= 1 && k <= MOST_CANDIDATES);
    l->k = k;
    l->n = 0;
    l->bound = -FLT_MAX;
}

// Puts `key` where the heap of `n` keys, smallest first, has a gap at `at`.
static void sift_down(uint64_t *heap, int32_t n, int32_t at, uint64_t key) {
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (key <= heap[child]) break;
        heap[at] = heap[child];
    }
    heap[at] = key;
}

static void make_heap(uint64_t *heap, int32_t n) {
    for (int32_t i = n / 2; i-- > 0;) sift_down(heap, n, i, heap[i]);
}

static void offer(Largest *l, uint64_t key) {
    if (l->n == l->k) {
        if (key <= l->heap[0]) return;
        sift_down(l->heap, l->n, 0, key);
    } else {
        l->heap[l->n++] = key;
        if (l->n < l->k) return;
        make_heap(l->heap, l->n);
    }
    l->bound = logit_at_order((uint32_t)(l->heap[0] >> 32));
}

void largest_add(Largest *l, const Kernels *kernels, const float *logits, int32_t n, int32_t first) {
    int32_t found[LARGEST_PIECE];
    CHECK(n <= LARGEST_PIECE);
    int32_t n_found = kernels->collect(logits, 0, n, l->bound, found);
    for (int32_t i = 0; i < n_found; i++) {
        uint32_t order = logit_order(logit_clean(logits[found[i]]));
        offer(l, (uint64_t)order << 32 | ~(uint32_t)(first + found[i]));
    }
}

void largest_merge(Largest *l, const Largest *from) {
    for (int32_t i = 0; i < from->n; i++) offer(l, from->heap[i]);
}

// With their halves swapped the keys are in the order of the tokens, the highest token smallest.
int32_t largest_take(Largest *l, Candidate *out) {
    uint64_t *heap = l->heap;
    for (int32_t i = 0; i < l->n; i++) heap[i] = heap[i] << 32 | heap[i] >> 32;
    make_heap(heap, l->n);
    for (int32_t left = l->n; left > 0; left--) {
        out[left - 1] = (Candidate){(int32_t)~(uint32_t)(heap[0] >> 32), logit_at_order((uint32_t)heap[0])};
        sift_down(heap, left - 1, 0, heap[left - 1]);
    }
    return l->n;
}
