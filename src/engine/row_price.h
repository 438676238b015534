// What one more row in a small step costs, as a part of the step without it: next to nothing where
// reading the weights takes the time, a whole step where arithmetic does.
//
// That depends on the CPU, the threads and the model, so it is measured: whenever of two steps in
// succession, of equally many decoding sequences, one has guesses and the other none. Steps further
// apart are not compared, since a shared machine changes its speed.
//
// Thread: the engine thread only.
#ifndef CLLM_ENGINE_ROW_PRICE_H
#define CLLM_ENGINE_ROW_PRICE_H

#include "model/batch.h"

typedef struct RowPrice {
    float value;     // 0 … 1, a running mean
    int32_t n_seqs;  // of the last step; 0: it does not serve
    int32_t n_extra; // its rows beyond one a sequence
    int64_t ns;      // its time
} RowPrice;

void row_price_init(RowPrice *p);
void row_price_learn(RowPrice *p, const Batch *b, int64_t ns); // after each step, with the time it took

#endif
