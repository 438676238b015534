// A share of a step: some of its rows, and who computes them. The whole step is one share of the team, or
// each worker has one of its own and goes through all layers alone (split.h).
//
// Thread: a share belongs to the engine thread, or to its worker.
#ifndef CLLM_MODEL_SHARE_H
#define CLLM_MODEL_SHARE_H

#include "model/context.h"

enum { TEAM = -1 };

// Buffers of the context are indexed by the step's rows.
typedef struct Share {
    ModelContext *c;
    const Batch *b;
    const Kernels *kernels;
    int worker; // who computes it alone, or TEAM
    bool meets; // the worker waits for the others before attention: a sequence has rows in two shares
    int first_row, n_rows;
    int first_seq, end_seq;    // those with rows in this share
    char *acts[N_ACT_FORMATS]; // its tiles of rows
    const Layer *layer;
    int layer_index;
    // Attention (attention.h): what is planned for its rows, in its parts of the context's buffers, and for
    // layers of which window.
    int32_t window;
    AttnChunk *chunks;
    int32_t *attn_tasks;
    int n_chunks, n_attn_tasks, n_parts;
    int first_piece, n_pieces, piece_room;
} Share;

static inline int share_n_workers(const Share *s) {
    return s->worker == TEAM ? workers_count(s->c->workers) : 1;
}

// Runs the tasks of a stage, and returns when all are done.
static inline void share_run(const Share *s, WorkerFn fn, void *ctx, int n_tasks) {
    if (s->worker == TEAM)
        workers_run(s->c->workers, fn, ctx, n_tasks);
    else
        for (int task = 0; task < n_tasks; task++) fn(ctx, task, s->worker);
}

// A worker's scratch: ATTN_MAX_QUERIES heads three times, or a row of the residual stream.
static inline float *share_scratch(const Share *s, int worker) {
    return s->c->worker_row + (size_t)worker * s->c->worker_stride;
}

#endif
