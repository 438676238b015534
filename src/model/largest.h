// The k largest of the logits that a row offers piece by piece, in any order of the pieces.
//
// Of equal logits the lower token is the larger, so the result is one set, whatever came when. The
// worst of the k best so far is a bound, and a vector comparison drops nearly all of a piece with it;
// what passes goes through a heap with the worst on top. Work is n / 16 comparisons and, for logits in
// random order, about k * ln(n / k) visits to the heap; at worst each logit is one.
//
// Thread: a Largest belongs to one at a time.
#ifndef CLLM_MODEL_LARGEST_H
#define CLLM_MODEL_LARGEST_H

#include "kernels/kernels.h"
#include "model/batch.h"

enum { LARGEST_PIECE = 256 }; // logits of a piece, at most

typedef struct Largest {
    int32_t k, n;
    float bound;                    // logits below it are not among the k largest
    uint64_t heap[MOST_CANDIDATES]; // [n] the order of the logit, and below it that of the token
} Largest;

void largest_begin(Largest *l, int32_t k); // 1 … MOST_CANDIDATES
// Raw logits of `n` tokens from `first` on. Those that count as -inf are never among the largest.
void largest_add(Largest *l, const Kernels *kernels, const float *logits, int32_t n, int32_t first);
void largest_merge(Largest *l, const Largest *from); // of other tokens

// Writes the largest, tokens ascending; returns how many. Ends the selection.
int32_t largest_take(Largest *l, Candidate *out);

#endif
