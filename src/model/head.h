// The output product: logits rows, whole or only what is wanted of them (batch.h).
//
// A whole row of a large vocabulary goes to memory, and the sampler has it read again: megabytes a step.
// So a task computes strips of some hundred columns for all rows into a buffer of its worker, and while
// a strip is in the cache takes from it what each row wants: all, or the candidates of this worker and
// the listed logits. At the end the workers' candidates of a row are merged. Which worker gets which
// strip changes nothing about the result (largest.h).
//
// Thread: engine thread.
#ifndef CLLM_MODEL_HEAD_H
#define CLLM_MODEL_HEAD_H

#include "model/largest.h"

// Columns of a strip; rows of it stand a little further apart, lest they compete for the same cache sets.
enum { HEAD_COLUMNS = LARGEST_PIECE, HEAD_STRIDE = HEAD_COLUMNS + 16 };

// What one worker knows of one row.
typedef struct HeadRow {
    Largest largest;
    int32_t next_listed; // the first listed token in the strips to come
} HeadRow;

struct ModelContext;

// Computes c->logits_rows from the rows' activations, which stand in c->acts.
void head_run(struct ModelContext *c, const Batch *b);

#endif
