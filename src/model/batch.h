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

// How the hidden states of a text's tokens (after the last norm) become one vector, its embedding. The
// numbers are those of the files' key `pooling_type`.
typedef enum Pooling {
    POOLING_NONE = 0,
    POOLING_MEAN = 1, // of all tokens
    POOLING_CLS = 2,  // the first token's
    POOLING_LAST = 3, // the last token's
} Pooling;

typedef struct BatchSeq {
    const int32_t *blocks; // KV block of positions 0-15, 16-31, …; covers start + n_rows
    int32_t start;         // position of the first row = number of tokens already in the KV
    int32_t n_rows;        // >= 1
    int32_t first_row;     // index into Batch.tokens
    int32_t n_logits;      // logits are wanted for the last n_logits rows (0 … n_rows)
    Pooling pooling;       // NONE: what is below it is not read
    double *pooled;        // [n_embd] MEAN: the rows are added, to zeros at start 0; CLS: written at start 0;
                           //   LAST: the run's last row
} BatchSeq;

typedef struct Candidate {
    int32_t token;
    float logit; // cleaned (kernels/order.h)
} Candidate;

enum { MOST_CANDIDATES = 256 };

// What is wanted of a logits row. Who needs a few of its largest logits spares memory the whole row:
// the output product then drops the others while they are in the caches.
typedef struct LogitsWant {
    int32_t n_candidates;  // 0: the whole row; 1 … MOST_CANDIDATES: the largest logits among the tokens
    const int32_t *listed; //   not listed, and those of the listed tokens [n_listed], ascending
    int32_t n_listed;
} LogitsWant;

// A logits row in one of two forms: `all`, or what is below it. Owned by the model until the next step,
// except for `listed`; the caller may write to the logits.
typedef struct LogitsRow {
    float *all;                  // [n_vocab], or NULL
    const Candidate *candidates; // [n_candidates], tokens ascending; of equal logits the lower tokens, -inf
    int32_t n_candidates;        //   never, so that there may be fewer than wanted
    const int32_t *listed;       // as wanted
    float *listed_logits;        // [n_listed] raw
    int32_t n_listed;
} LogitsRow;

typedef struct Batch {
    const int32_t *tokens; // [n_rows], each 0 … n_vocab-1
    int32_t n_rows;        // <= StepModel.max_rows
    const BatchSeq *seqs;  // [n_seqs], in row order, covering all rows without gaps
    int32_t n_seqs;
    int32_t n_logits;        // sum over seqs, <= StepModel.max_logits
    const LogitsWant *wants; // [n_logits] in sequence order, or NULL: whole rows
} Batch;

// What the engine needs of a model; the tests put a fake one here.
typedef struct StepModel {
    void *self;
    int32_t n_vocab;
    int32_t n_embd;      // of an embedding
    int32_t max_context; // positions a sequence may have (the model's own limit)
    int32_t max_rows;    // rows a step may have
    int32_t max_logits;  // logits rows a step may have
    int32_t n_blocks;    // KV blocks in the pool
    // Computes the rows; returns [b->n_logits] logits rows in sequence order. Cannot fail. Engine thread.
    const LogitsRow *(*forward)(void *self, const Batch *b);
} StepModel;

#endif
