#include "model/pool.h"

#include "model/context.h"

#include <string.h>

typedef struct PoolStage {
    ModelContext *c;
    const Batch *b;
} PoolStage;

// The hidden state of a row, in the worker's scratch.
static const float *hidden_state(ModelContext *c, int row, int worker) {
    const Model *m = c->model;
    float *out = c->worker_row + (size_t)worker * c->worker_stride;
    const float *x = c->x + (size_t)row * (size_t)m->hp.n_embd;
    m->weights.kernels->rms_norm(x, m->weights.output_norm, m->hp.rms_eps, m->hp.n_embd, out);
    return out;
}

static void pool_row(ModelContext *c, const BatchSeq *q, int row, int worker) {
    int n = c->model->hp.n_embd;
    const float *h = hidden_state(c, row, worker);
    for (int i = 0; i < n; i++)
        q->pooled[i] = q->pooling == POOLING_MEAN ? q->pooled[i] + (double)h[i] : (double)h[i];
}

static void pool_task(void *ctx, int seq, int worker) {
    const PoolStage *p = ctx;
    const BatchSeq *q = &p->b->seqs[seq];
    int first = q->first_row, end = first + q->n_rows;
    switch (q->pooling) {
    case POOLING_NONE: break;
    case POOLING_MEAN:
        if (q->start == 0) memset(q->pooled, 0, (size_t)p->c->model->hp.n_embd * sizeof *q->pooled);
        for (int row = first; row < end; row++) pool_row(p->c, q, row, worker);
        break;
    case POOLING_CLS:
        if (q->start == 0) pool_row(p->c, q, first, worker);
        break;
    case POOLING_LAST: pool_row(p->c, q, end - 1, worker); break;
    }
}

void pool_run(ModelContext *c, const Batch *b) {
    bool wanted = false;
    for (int i = 0; i < b->n_seqs; i++) wanted = wanted || b->seqs[i].pooling != POOLING_NONE;
    PoolStage p = {c, b};
    if (wanted) workers_run(c->workers, pool_task, &p, b->n_seqs);
}
