// What a step computes in: the KV memory and the scratch, sized once for the largest step.
#ifndef CLLM_MODEL_CONTEXT_H
#define CLLM_MODEL_CONTEXT_H

#include "model/batch.h"
#include "model/head.h"
#include "model/kv_store.h"
#include "model/model.h"
#include "model/rope.h"
#include "model/weights.h"

struct Model {
    Gguf *gguf;
    HyperParams hp;
    Weights weights;
    Rope rope;
    ModelInfo info;
};

// Query rows of one sequence that attend together.
typedef struct AttnChunk {
    int32_t seq, first_row, n_rows;
} AttnChunk;

enum { MAX_KV_PIECES = 12 << 10 }; // 12 MB, which the caches should hold

// A worker's part of the keys and values to be fetched ahead.
typedef struct KvFetch {
    _Alignas(64) int next; // of kv_pieces
    int end, per_panel;
} KvFetch;

struct ModelContext {
    const Model *model;
    Workers *workers;
    ModelContextConfig config;
    KvStore kv;
    ModelPhases phases;
    int q_dim, kv_dim, qkv_dim;
    // Scratch of a step; rows = config.max_rows.
    float *x;             // [rows][n_embd] the residual stream
    float *qkv;           // [rows][qkv_dim] queries, keys, values
    float *attn;          // [rows][q_dim]
    float *gate, *up;     // [rows][n_ff]
    float *rope;          // [rows][2][rope pairs]
    float *logits;        // [max_logits][n_vocab] whole rows, or listed logits (head.c)
    float *strips;        // [workers][max_logits][HEAD_STRIDE]
    HeadRow *head_rows;   // [workers][max_logits]
    Candidate *candidates; // [max_logits][MOST_CANDIDATES]
    LogitsRow *logits_rows; // [max_logits] what a step returns
    float *worker_row;    // [workers][widest row]
    size_t worker_stride;
    void *acts[N_ACT_FORMATS]; // the input of the next product, quantised; NULL where no matrix wants it
    int32_t *row_position;     // [rows]
    int32_t *row_seq;          // [rows]
    int32_t *logits_row;       // [max_logits] the row that each logits row comes from
    AttnChunk *chunks;         // [rows]
    size_t *kv_pieces;         // [MAX_KV_PIECES] what attention will read in a layer, to be fetched ahead:
    int32_t n_kv_pieces;       //   bytes from the layer's part of block 0, in the order of the sequences
    KvFetch *kv_fetch;         // [workers]
    void *arena;               // all of the above
    size_t arena_bytes;
};

// Computes a step; see StepModel.forward.
const LogitsRow *forward_step(void *context, const Batch *b);

#endif
