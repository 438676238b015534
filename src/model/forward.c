// The forward pass of a step: all rows of all sequences through all layers together.
//
// Every stage is one parallel-for over tasks that write disjoint parts of a buffer; the end of a
// stage is the only synchronisation. Where it pays, the rows are first split between the workers, each of
// whom then goes through all layers alone (split.h): the same stages, whose tasks one worker runs. A row's
// numbers depend on its own sequence alone: products go row by row through the same order of sums
// (kernels.h), norms and rotations are a row's own, and attention reads only the sequence's blocks. That is
// what makes answers independent of load.
#include "base/num.h"
#include "kernels/packed.h"
#include "model/attention.h"
#include "model/pool.h"
#include "model/split.h"

// One clock for all: that of the engine thread, which is worker 0.
static void end_phase(const Share *s, ModelPhase phase) {
    if (s->worker <= 0) phases_end(&s->c->phases, phase);
}

static int n_tiles(int rows) {
    return (rows + ACT_TILE_ROWS - 1) / ACT_TILE_ROWS;
}

// Quantising is cut by columns as well as by tiles of rows: a decoding step has few tiles.
enum { ACT_COLUMNS = 512 }; // columns of a task; a multiple of every act block

static int column_shares(int k) {
    return (k + ACT_COLUMNS - 1) / ACT_COLUMNS;
}

// What a quantising task covers: rows [first, last) of one tile, columns [from, to).
typedef struct ActPart {
    int tile, first, last, from, to;
} ActPart;

static ActPart act_part(int tile, int part, int k, int n_rows) {
    int first = tile * ACT_TILE_ROWS, last = first + ACT_TILE_ROWS;
    int from = part * ACT_COLUMNS, to = from + ACT_COLUMNS;
    return (ActPart){tile, first, last < n_rows ? last : n_rows, from, to < k ? to : k};
}

// Tasks in the order of the rows, for input that workers have made row by row …
static ActPart act_part_by_rows(int task, int k, int n_rows) {
    return act_part(task / column_shares(k), task % column_shares(k), k, n_rows);
}

// … and in the order of the columns, for input that they have made column by column.
static ActPart act_part_by_columns(int task, int k, int n_rows) {
    return act_part(task % n_tiles(n_rows), task / n_tiles(n_rows), k, n_rows);
}

static void *act_tile(const Share *s, ActFormat format, int k, int tile) {
    return s->acts[format] + (size_t)tile * act_tile_bytes(format, k);
}

// ---- products -------------------------------------------------------------------------------

// Up to three matrices with a common input, as one stage. A task takes its slice of each, so that the
// same worker makes the same columns of gate and up.
typedef struct Product {
    const Share *s;
    const Mat *mats[3];
    float *out[3];
    size_t stride[3];
    int n_mats, m;
    bool add;
    bool fetch_kv; // attention comes next: fetch the keys and values that it will read
    int n_tasks;
} Product;

static int panels_of(const Mat *m) {
    return (int)num_div_up((size_t)m->n, PANEL_ROWS);
}

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
        int first = workers_share(panels_of(m), task, p->n_tasks);
        GemmArgs a = {
            .weights = m->packed,
            .n = m->n,
            .k = m->k,
            .panel = first,
            .n_panels = workers_share(panels_of(m), task + 1, p->n_tasks) - first,
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
static void run_product(Product *p) {
    enum { TASKS_PER_WORKER = 8 };
    int most = 0, panels = 0;
    for (int i = 0; i < p->n_mats; i++) {
        panels += panels_of(p->mats[i]);
        most = panels_of(p->mats[i]) > most ? panels_of(p->mats[i]) : most;
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

// Adds a product and a bias (or NULL) to the residual stream, normalised first where there is a norm for it.
static void add_product(const Share *s, const Mat *m, const float *bias, const float *norm) {
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

// Rows of x, normalised and written in the act formats that the following products want.
typedef struct NormStage {
    const Share *s;
    const float *weight;
    const int32_t *rows; // which rows of x, or NULL for all of the share in order
    float scale;         // of what comes out
    bool wanted[N_ACT_FORMATS];
} NormStage;

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
        for (int f = 0; f < N_ACT_FORMATS; f++) {
            if (!n->wanted[f]) continue;
            void *tile = act_tile(n->s, (ActFormat)f, k, part.tile);
            n->s->kernels->act_write[f](row, k, part.from, part.to, tile, i - part.first);
        }
    }
}

static void norm(NormStage n, const Mat *const *mats, int n_mats) {
    for (int i = 0; i < n_mats; i++) n.wanted[mats[i]->kernel->act] = true;
    share_run(n.s, norm_task, &n, n_tiles(n.s->n_rows) * column_shares(n.s->c->model->hp.n_embd));
}

// ---- start of a step ------------------------------------------------------------------------

static void embed_task(void *ctx, int row, int worker) {
    (void)worker;
    const Share *s = ctx;
    row += s->first_row;
    const Model *m = s->c->model;
    const GgufTensor *t = m->weights.token_embd;
    int32_t token = s->b->tokens[row];
    float *x = s->c->x + (size_t)row * (size_t)m->hp.n_embd;
    weight_dequantize_row(m->weights.embd_type, t->data + (size_t)token * t->row_bytes, m->hp.n_embd, x);
    for (int i = 0; m->hp.embd_scale != 1 && i < m->hp.n_embd; i++) x[i] *= m->hp.embd_scale;
    for (int use = ROPE_FULL; use <= (m->hp.window ? ROPE_WINDOWED : ROPE_FULL); use++)
        rope_table(&m->rope[use], s->c->row_position[row], context_rope(s->c, row, (RopeUse)use));
}

// ---- attention ------------------------------------------------------------------------------

static void attention_acts_task(void *ctx, int task, int worker) {
    (void)worker;
    const Share *s = ctx;
    const ModelContext *c = s->c;
    ActFormat format = s->layer->o.kernel->act;
    int k = c->q_dim;
    ActPart part = act_part_by_rows(task, k, s->n_rows);
    void *tile = act_tile(s, format, k, part.tile);
    for (int i = part.first; i < part.last; i++) {
        const float *row = c->attn + (size_t)(s->first_row + i) * (size_t)k;
        attention_merge(s, s->first_row + i, part.from, part.to);
        s->kernels->act_write[format](row, k, part.from, part.to, tile, i - part.first);
    }
}

static void attention_block(Share *s) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    size_t stride = (size_t)c->qkv_dim, first = (size_t)s->first_row;
    float *q = c->qkv + first * stride;
    norm((NormStage){.s = s, .weight = l->attn_norm, .scale = 1}, (const Mat *const[]){&l->q, &l->k, &l->v},
         3);
    Product qkv = {.s = s,
                   .fetch_kv = s->n_rows > 2 && s->n_pieces > 0,
                   .mats = {&l->q, &l->k, &l->v},
                   .n_mats = 3,
                   .m = s->n_rows,
                   .stride = {stride, stride, stride},
                   .out = {q, q + c->q_dim, q + c->q_dim + c->kv_dim}};
    run_product(&qkv);
    end_phase(s, PHASE_QKV);
    attention_rotate(s);
    if (s->meets) workers_meet(c->workers);
    attention_run(s);
    end_phase(s, PHASE_ATTENTION);
    share_run(s, attention_acts_task, s, n_tiles(s->n_rows) * column_shares(c->q_dim));
    add_product(s, &l->o, l->o_bias, l->attn_post_norm);
    end_phase(s, PHASE_OUTPUT);
}

// ---- feed-forward ---------------------------------------------------------------------------

static void gate_task(void *ctx, int task, int worker) {
    (void)worker;
    const Share *s = ctx;
    const ModelContext *c = s->c;
    ActFormat format = s->layer->down.kernel->act;
    int k = c->model->hp.n_ff;
    void (*gate_mul)(float *, const float *, int) =
        c->model->hp.arch->gelu ? s->kernels->gelu_mul : s->kernels->silu_mul;
    ActPart part = act_part_by_columns(task, k, s->n_rows);
    void *tile = act_tile(s, format, k, part.tile);
    for (int i = part.first; i < part.last; i++) {
        float *gate = c->gate + (size_t)(s->first_row + i) * (size_t)k;
        const float *up = c->up + (size_t)(s->first_row + i) * (size_t)k;
        gate_mul(gate + part.from, up + part.from, part.to - part.from);
        s->kernels->act_write[format](gate, k, part.from, part.to, tile, i - part.first);
    }
}

static void feed_forward_block(Share *s) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    size_t n_ff = (size_t)c->model->hp.n_ff, first = (size_t)s->first_row;
    norm((NormStage){.s = s, .weight = l->ffn_norm, .scale = 1}, (const Mat *const[]){&l->gate, &l->up}, 2);
    Product p = {.s = s,
                 .mats = {&l->gate, &l->up},
                 .n_mats = 2,
                 .m = s->n_rows,
                 .stride = {n_ff, n_ff},
                 .out = {c->gate + first * n_ff, c->up + first * n_ff}};
    run_product(&p);
    share_run(s, gate_task, s, n_tiles(s->n_rows) * column_shares(c->model->hp.n_ff));
    add_product(s, &l->down, NULL, l->ffn_post_norm);
    end_phase(s, PHASE_FFN);
}

// ---- the step -------------------------------------------------------------------------------

static void lay_out_rows(ModelContext *c, const Batch *b) {
    int next = 0, n_logits = 0;
    for (int i = 0; i < b->n_seqs; i++) {
        const BatchSeq *q = &b->seqs[i];
        CHECK(q->first_row == next && q->n_rows >= 1 && q->n_logits <= q->n_rows);
        for (int r = 0; r < q->n_rows; r++) {
            int32_t token = b->tokens[next + r];
            CHECK(token >= 0 && token < c->model->hp.n_vocab);
            c->row_seq[next + r] = i;
            c->row_position[next + r] = q->start + r;
        }
        for (int r = q->n_rows - q->n_logits; r < q->n_rows; r++) c->logits_row[n_logits++] = next + r;
        next += q->n_rows;
    }
    CHECK(next == b->n_rows && n_logits == b->n_logits);
}

// All layers for the rows of a share.
static void run_layers(Share *s) {
    const Weights *w = &s->c->model->weights;
    share_run(s, embed_task, s, s->n_rows);
    end_phase(s, PHASE_OTHER);
    for (int i = 0; i < s->c->model->hp.n_layers; i++) {
        s->layer = &w->layers[i];
        s->layer_index = i;
        if (i == 0 || s->layer->window != s->window) attention_plan(s, s->layer->window);
        attention_block(s);
        feed_forward_block(s);
    }
}

// What the shares of a step have in common.
typedef struct Step {
    ModelContext *c;
    const Batch *b;
    int n_shares;
    bool cut;                 // see split_rows
    const int32_t *first_row; // [n_shares + 1]
} Step;

// Share `index` of a step. Tiles of rows begin anew with each.
static Share share_of(const Step *t, int index, int worker) {
    ModelContext *c = t->c;
    int first_row = t->first_row[index], end_row = t->first_row[index + 1];
    Share s = {.c = c,
               .b = t->b,
               .kernels = c->model->weights.kernels,
               .worker = worker,
               .meets = t->cut,
               .first_row = first_row,
               .n_rows = end_row - first_row,
               .first_seq = c->row_seq[first_row],
               .end_seq = c->row_seq[end_row - 1] + 1,
               .chunks = c->chunks + first_row,
               .attn_tasks = c->attn_tasks + index * (ATTN_TASKS_PER_WORKER + 1),
               .first_piece = workers_share(MAX_KV_PIECES, index, t->n_shares),
               .piece_room = MAX_KV_PIECES / t->n_shares};
    for (int f = 0; f < N_ACT_FORMATS; f++)
        if (c->acts[f])
            s.acts[f] = (char *)c->acts[f] + (size_t)(n_tiles(first_row) + index) * c->act_tile_stride[f];
    return s;
}

static void share_task(void *ctx, int index, int worker) {
    const Step *t = ctx;
    Share s = share_of(t, index, worker);
    run_layers(&s);
}

// The output matrix, once for all rows that want logits.
static void run_head(const Step *t) {
    const Weights *w = &t->c->model->weights;
    Share s = share_of(t, 0, TEAM);
    s.n_rows = t->b->n_logits;
    norm((NormStage){.s = &s,
                     .weight = w->output_norm,
                     .rows = t->c->logits_row,
                     .scale = t->c->model->hp.logit_scale},
         (const Mat *const[]){&w->output}, 1);
    head_run(t->c, t->b);
}

const LogitsRow *forward_step(void *context, const Batch *b) {
    ModelContext *c = context;
    CHECK(b->n_rows >= 1 && b->n_rows <= c->config.max_rows && b->n_logits <= c->config.max_logits);
    int32_t first_row[WORKERS_MAX + 1];
    Step t = {.c = c, .b = b, .first_row = first_row};
    t.n_shares = split_rows(b, workers_count(c->workers), first_row, &t.cut);
    phases_begin(&c->phases);
    lay_out_rows(c, b);
    if (t.n_shares > 1) {
        workers_run(c->workers, share_task, &t, t.n_shares);
    } else {
        Share s = share_of(&t, 0, TEAM);
        run_layers(&s);
    }
    pool_run(c, b);
    phases_end(&c->phases, PHASE_OTHER);
    if (b->n_logits) run_head(&t);
    phases_end(&c->phases, PHASE_HEAD);
    return c->logits_rows;
}
