// A step's work: ragged rows of several sequences, and the model seen as "rows in, logits out".
//
// A step computes n_rows token rows. Each sequence owns a contiguous run of them: the tokens at
// positions start … start+n_rows-1, whose keys and values go into the sequence's KV blocks. There
// is no prefill and no decode here: a decoding sequence is a run of one row, a chunk of a prompt a
// longer one. All pointers are borrowed for the duration of the call.
#ifndef CLLM_MODEL_BATCH_H
#define CLLM_MODEL_BATCH_H

#include <stdint.h>

// Tokens in a KV block: one vector of keys on the widest rung. Blocks are numbered from 0.
enum { KV_BLOCK_TOKENS = 16 };

typedef struct BatchSeq {
    const int32_t *blocks; // KV block of positions 0-15, 16-31, …; covers start + n_rows
    int32_t start;         // position of the first row = number of tokens already in the KV
    int32_t n_rows;        // >= 1
    int32_t first_row;     // index into Batch.tokens
    int32_t n_logits;      // logits are wanted for the last n_logits rows (0 … n_rows)
} BatchSeq;

typedef struct Batch {
    const int32_t *tokens; // [n_rows], each 0 … n_vocab-1
    int32_t n_rows;        // <= StepModel.max_rows
    const BatchSeq *seqs;  // [n_seqs], in row order, covering all rows without gaps
    int32_t n_seqs;
    int32_t n_logits;      // sum over seqs, <= StepModel.max_logits
} Batch;

// What the engine needs of a model; the tests put a fake one here.
typedef struct StepModel {
    void *self;
    int32_t n_vocab;
    int32_t max_context; // positions a sequence may have (the model's own limit)
    int32_t max_rows;    // rows a step may have
    int32_t max_logits;  // logits rows a step may have
    int32_t n_blocks;    // KV blocks in the pool
    // Computes the rows; returns logits [b->n_logits][n_vocab] in sequence order, owned by the
    // model and writable by the caller until the next call. Cannot fail. Engine thread.
    float *(*forward)(void *self, const Batch *b);
} StepModel;

#endif
