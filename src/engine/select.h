// Weighted selection without sorting: where does the running sum, from the smallest key on, reach
// a target? With weights of 1 it is the k-th smallest key, with probabilities the edge of top_p.
//
// A radix descent: sum the weights by the top 11 significant bits of the keys, find the digit in
// which the target is reached, go on inside that digit with the next bits. Work is linear in n for
// any input, all equal logits included, because keys are distinct (the token id is their low part).
// Thread: pure apart from the scratch.
#ifndef CLLM_ENGINE_SELECT_H
#define CLLM_ENGINE_SELECT_H

#include <stdint.h>

enum { SELECT_DIGIT_BITS = 11, SELECT_DIGITS = 1 << SELECT_DIGIT_BITS };

typedef struct SelectScratch {
    uint64_t *keys; // [largest n]
    float *weights; // [largest n]
    double *sums;   // [2][SELECT_DIGITS]
} SelectScratch;

// The smallest key c for which the weights of all keys <= c reach `target` (> 0), or the largest
// key if they never do. keys [n], n >= 1, are distinct; weights [n] are >= 0, NULL means 1 each.
uint64_t select_cut(const SelectScratch *scratch, const uint64_t *keys, const float *weights, int32_t n,
                    double target);

#endif
