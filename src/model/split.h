// Who computes which rows of a step.
//
// A step may go to the team of workers in two ways. As one share: every stage of every layer is cut into
// tasks for all workers, who wait for each other at its end. Or in one share a worker: each computes a run
// of rows through all layers, alone, so that its caches hold what it has made; but every worker then reads
// all weights. That pays when a share has so many rows that arithmetic, not memory, limits it, and when the
// shares take equally long. A row needs the keys and values of its sequence's earlier rows in the same
// layer: where a sequence is cut, the workers meet once a layer.
//
// Thread: pure functions.
#ifndef CLLM_MODEL_SPLIT_H
#define CLLM_MODEL_SPLIT_H

#include "model/batch.h"

#include <stdbool.h>

// busy_rows is the kernels'. Share i has the rows first_row[i] … first_row[i + 1] - 1; room for n_workers
// + 1. Returns the number of shares: n_workers, or 1. *cut tells whether a sequence has rows in two of them.
int split_rows(const Batch *b, int n_workers, int busy_rows, int32_t *first_row, bool *cut);

#endif
