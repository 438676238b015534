// A model for the engine's tests: its logits are a pure function of a sequence's tokens and their
// positions, which it stores in its own block memory and reads back through the block table. A
// block that two sequences share wrongly, a row at the wrong position, a stale block after a preemption:
// each gives other logits, so other tokens than the same request's run alone.
//
// A sequence whose first token is odd stammers: most of the time the likeliest token follows from the
// one before, so that the text goes in circles and guesses come true. With a script the tokens behind
// the last `mark` of a sequence are the script's.
#ifndef CLLM_TESTS_FAKE_MODEL_H
#define CLLM_TESTS_FAKE_MODEL_H

#include "model/batch.h"

#include <stdatomic.h>

enum { FAKE_EMBD = 2 }; // an embedding: the sum of the tokens, and of their positions

typedef struct FakeScript {
    const int32_t *ids; // [n]
    int32_t n, mark;
} FakeScript;

typedef struct FakeModel {
    StepModel step;        // give this to the engine
    int32_t *memory;       // [n_blocks][KV_BLOCK_TOKENS] tokens, -1: never written
    uint64_t *writer;      // [n_blocks] the latest call that wrote to the block, and the sequence in it
    float *logits;         // [max_rows][n_vocab]
    float *listed;         // [max_rows][n_vocab]
    Candidate *candidates; // [max_rows][MOST_CANDIDATES]
    LogitsRow *rows;       // [max_rows]
    _Atomic(const FakeScript *) script; // NULL: none; another one may be given while a step is computed
    uint64_t n_calls;
    int32_t n_rows, most_rows; // of the last call, of any call
    void (*called)(void *ctx); // if set, at every forward; the tests' clocks tick here
    void *ctx;
} FakeModel;

FakeModel *fake_model_new(int32_t n_vocab, int32_t max_context, int32_t n_blocks, int32_t max_rows);
void fake_model_free(FakeModel *m);

// The logits after `tokens`: what forward gives for the last row of such a sequence.
void fake_logits(const int32_t *tokens, int32_t n, int32_t n_vocab, float *logits);

// A logits row as wanted (NULL: whole), found by plain search. `logits` [n_vocab] are the row's, and spoilt;
// `listed` and `candidates` have room for what is wanted.
LogitsRow fake_row(float *logits, int32_t n_vocab, const LogitsWant *want, float *listed,
                   Candidate *candidates);

#endif
