// What a step computes in: the KV memory and the scratch, sized once for the largest step.
#ifndef CLLM_MODEL_CONTEXT_H
#define CLLM_MODEL_CONTEXT_H

#include "kernels/attn_merge.h"
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
    Rope rope[N_ROPES];
    ModelInfo info;
};

static inline KvShape kv_shape_of(const HyperParams *hp, KvType type) {
    return (KvShape){type, hp->n_layers, hp->n_kv_heads, hp->head_dim};
}

// Query rows of one sequence that attend together, to some of its segments of keys.
typedef struct AttnChunk {
    int32_t seq, first_row, n_rows;
    int32_t segment, n_segments; // which; all of them where the parts of a row are not kept apart
    int32_t part; // where row 0's part of `segment` goes, row r's row_parts further; -1: nowhere
    int32_t row_parts;
    int32_t cost; // of one KV head, about; see attention_plan
} AttnChunk;

// Parts of a row's attention, one a segment, that workers leave to be merged; n = 0: none, it is finished.
typedef struct RowParts {
    int32_t first, n;
} RowParts;

// Parts that a step may keep apart; a sequence beyond them goes to one worker for each KV head.
enum { MAX_ATTN_PARTS = 512, ATTN_TASKS_PER_WORKER = 8 };

enum { MAX_KV_PIECES = 12 << 10 }; // 12 MB, which the caches should hold

// A worker's part of the keys and values to be fetched ahead.
typedef struct KvFetch {
    _Alignas(64) int next; // of kv_pieces
    int end, per_panel;
} KvFetch;

// An expert that a row is given to, its share of the row, and the slot where it computes it.
typedef struct ExpertChoice {
    int32_t expert, slot;
    float weight;
} ExpertChoice;

// An expert that rows are given to: its slots and tiles.
typedef struct ExpertRun {
    int32_t expert, first_slot, n, first_tile;
} ExpertRun;

// See experts.c; all NULL in models without experts.
typedef struct ExpertScratch {
    float *router;         // [rows][n_experts]
    float *normed;         // [rows][n_embd]
    ExpertChoice *choices; // [rows][n_experts_used], the best first
    int32_t *slot_row;     // [slots]
    int32_t *next_slot;    // [n_experts]
    ExpertRun *runs;       // [n_experts] those with rows, ascending
    int32_t *tile_run;     // [tiles] which of the runs
    float *out;            // [slots][n_embd]
    void *acts[N_ACT_FORMATS];
} ExpertScratch;

struct ModelContext {
    const Model *model;
    Workers *workers;
    ModelContextConfig config;
    KvStore kv;
    ModelPhases phases;
    int q_dim, kv_dim, qkv_dim;
    // Scratch of a step; rows = config.max_rows.
    float *x;         // [rows][n_embd] the residual stream
    float *qkv;       // [rows][qkv_dim] queries, keys, values
    float *attn;      // [rows][q_dim]
    float *gate, *up; // [rows, or slots of experts][n_ff]
    ExpertScratch experts;
    float *rope;            // [rows][N_ROPES][2][rope pairs]; windowed ones only where the model has a window
    float *branch;          // [rows][n_embd] what a block adds, where that is not added as it is; else NULL
    float *logits;          // [max_logits][n_vocab] whole rows, or listed logits (head.c)
    float *strips;          // [workers][max_logits][HEAD_STRIDE]
    HeadRow *head_rows;     // [workers][max_logits]
    Candidate *candidates;  // [max_logits][MOST_CANDIDATES]
    LogitsRow *logits_rows; // [max_logits] what a step returns
    float *worker_row;      // [workers][widest row]
    size_t worker_stride;
    void *acts[N_ACT_FORMATS]; // tiles of rows: the input of the next product, quantised; NULL where no
                               // matrix wants it. A worker that computes alone has tiles of its own.
    size_t act_tile_stride[N_ACT_FORMATS]; // bytes of the widest tile
    int32_t *row_position;                 // [rows]
    int32_t *row_seq;                      // [rows]
    int32_t *logits_row;                   // [max_logits] the row that each logits row comes from
    AttnChunk *chunks;                     // [rows + MAX_ATTN_PARTS]
    int32_t *attn_tasks;                   // [workers][ATTN_TASKS_PER_WORKER + 1] see attention_plan
    RowParts *row_parts;                   // [rows]
    float *part_acc;                       // [MAX_ATTN_PARTS][q_dim]
    float *part_max, *part_sum;            // [MAX_ATTN_PARTS][n_heads]
    size_t *kv_pieces; // [MAX_KV_PIECES] what attention will read in a layer, to be fetched ahead:
                       //   bytes from the layer's part of block 0, in the order of the sequences
    KvFetch *kv_fetch; // [workers]
    void *arena;       // all of the above
    size_t arena_bytes;
};

// cos and sin of the pairs at a row's position.
static inline float *context_rope(const ModelContext *c, int row, RopeUse use) {
    return c->rope + (size_t)(row * N_ROPES + (int)use) * (size_t)c->model->hp.rope_dims;
}

// Computes a step; see StepModel.forward.
const LogitsRow *forward_step(void *context, const Batch *b);

#endif
