#include "model/stages.h"

#include <string.h>

static ActPart act_part(int rows, int columns, int k, int n_rows) {
    int first = rows * ACT_ROWS, last = first + ACT_ROWS;
    int from = columns * ACT_COLUMNS, to = from + ACT_COLUMNS;
    return (ActPart){first, last < n_rows ? last : n_rows, from, to < k ? to : k};
}

ActPart act_part_by_rows(int task, int k, int n_rows) {
    return act_part(task / column_shares(k), task % column_shares(k), k, n_rows);
}

ActPart act_part_by_columns(int task, int k, int n_rows) {
    return act_part(task % row_shares(n_rows), task / row_shares(n_rows), k, n_rows);
}

// ---- products -------------------------------------------------------------------------------

// Decoding reads the keys and values of every sequence once a layer, straight from memory, while
// products are limited by arithmetic. So each worker fetches, some with each panel, what its share of
// the attention tasks will read: the blocks then wait in its caches.
static void share_kv(const Share *s, int n_panels) {
    int n = share_n_workers(s);
    for (int i = 0; i < n; i++) {
        KvFetch *f = &s->c->kv_fetch[s->worker == TEAM ? i : s->worker];
        f->next = s->first_piece + workers_share(s->n_pieces, i, n);
        f->end = s->first_piece + workers_share(s->n_pieces, i + 1, n);
        f->per_panel = (f->end - f->next) * n / n_panels + 1;
    }
}

static void product_fetching_kv(const Product *p, const Mat *m, GemmArgs *a, int worker) {
    const ModelContext *c = p->s->c;
    KvFetch *f = &c->kv_fetch[worker];
    a->ahead = (const char *)kv_store_head(&c->kv, p->s->layer_index, 0);
    for (int end = a->panel + a->n_panels; a->panel < end; a->panel++) {
        int left = f->end - f->next;
        a->n_panels = 1;
        a->ahead_at = c->kv_pieces + f->next;
        a->n_ahead = left < f->per_panel ? left : f->per_panel;
        f->next += a->n_ahead;
        m->kernel->gemm(m->type, a);
    }
}

static void product_task(void *ctx, int task, int worker) {
    const Product *p = ctx;
    for (int i = 0; i < p->n_mats; i++) {
        const Mat *m = p->mats[i];
        int first = workers_share(panels_of(m->n), task, p->n_tasks);
        GemmArgs a = {
            .weights = m->packed,
            .n = m->n,
            .k = m->k,
            .panel = first,
            .n_panels = workers_share(panels_of(m->n), task + 1, p->n_tasks) - first,
            .acts = p->s->acts[m->kernel->act],
            .m = p->m,
            .out = p->out[i],
            .out_stride = p->stride[i],
            .add = p->add,
        };
        if (p->fetch_kv)
            product_fetching_kv(p, m, &a, worker);
        else
            m->kernel->gemm(m->type, &a);
    }
}

// Eight tasks a worker keep the team even without making tasks so small that handing them out costs.
void run_product(Product *p) {
    enum { TASKS_PER_WORKER = 8 };
    int most = 0, panels = 0;
    for (int i = 0; i < p->n_mats; i++) {
        panels += panels_of(p->mats[i]->n);
        most = panels_of(p->mats[i]->n) > most ? panels_of(p->mats[i]->n) : most;
    }
    p->n_tasks = share_n_workers(p->s) * TASKS_PER_WORKER;
    if (p->n_tasks > most) p->n_tasks = most;
    if (p->fetch_kv) share_kv(p->s, panels);
    share_run(p->s, product_task, p, p->n_tasks);
}

// What a block adds, normalised and scaled.
typedef struct Branch {
    const Share *s;
    const float *norm; // [n_embd], or NULL
} Branch;

static void branch_task(void *ctx, int row, int worker) {
    (void)worker;
    const Branch *b = ctx;
    const ModelContext *c = b->s->c;
    const HyperParams *hp = &c->model->hp;
    size_t at = (size_t)(b->s->first_row + row) * (size_t)hp->n_embd;
    float *x = c->x + at, *add = c->branch + at;
    if (b->norm) b->s->kernels->rms_norm(add, b->norm, hp->rms_eps, hp->n_embd, add);
    for (int i = 0; i < hp->n_embd; i++) x[i] += add[i] * hp->residual_scale;
}

void add_product(const Share *s, const Mat *m, const float *bias, const float *norm) {
    ModelContext *c = s->c;
    int n_embd = c->model->hp.n_embd;
    float *out = (c->branch ? c->branch : c->x) + (size_t)s->first_row * (size_t)n_embd;
    Product p = {.s = s,
                 .mats = {m},
                 .out = {out},
                 .stride = {(size_t)n_embd},
                 .n_mats = 1,
                 .m = s->n_rows,
                 .add = !c->branch};
    run_product(&p);
    for (int r = 0; bias && r < s->n_rows; r++)
        for (int i = 0; i < n_embd; i++) out[r * n_embd + i] += bias[i];
    if (c->branch) share_run(s, branch_task, &(Branch){s, norm}, s->n_rows);
}

// ---- norm and quantise ----------------------------------------------------------------------

static void norm_task(void *ctx, int task, int worker) {
    const NormStage *n = ctx;
    const ModelContext *c = n->s->c;
    int k = c->model->hp.n_embd;
    ActPart part = act_part_by_rows(task, k, n->s->n_rows);
    float *row = share_scratch(n->s, worker);
    for (int i = part.first; i < part.last; i++) {
        const float *x = c->x + (size_t)(n->rows ? n->rows[i] : n->s->first_row + i) * (size_t)k;
        n->s->kernels->rms_norm(x, n->weight, c->model->hp.rms_eps, k, row);
        for (int j = part.from; n->scale != 1 && j < part.to; j++) row[j] *= n->scale;
        if (n->keep)
            memcpy(n->keep + (size_t)i * (size_t)k + part.from, row + part.from,
                   (size_t)(part.to - part.from) * sizeof *row);
        for (int f = 0; f < N_ACT_FORMATS; f++) {
            if (n->wanted[f]) act_part_write(n->s, (ActFormat)f, row, k, &part, i);
        }
    }
}

void run_norm(NormStage n, const Mat *const *mats, int n_mats) {
    for (int i = 0; i < n_mats; i++) n.wanted[mats[i]->kernel->act] = true;
    share_run(n.s, norm_task, &n, row_shares(n.s->n_rows) * column_shares(n.s->c->model->hp.n_embd));
}
