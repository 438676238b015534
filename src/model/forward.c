// The forward pass of a step: all rows of all sequences through all layers together.
//
// Every stage is one parallel-for over tasks that write disjoint parts of a buffer; the end of a
// stage is the only synchronisation. Where it pays, the rows are first split between the workers, each of
// whom then goes through all layers alone (split.h): the same stages, whose tasks one worker runs. A row's
// numbers depend on its own sequence alone: products go row by row through the same order of sums
// (kernels.h), norms and rotations are a row's own, and attention reads only the sequence's blocks. That is
// what makes answers independent of load.
#include "model/attention.h"
#include "model/experts.h"
#include "model/pool.h"
#include "model/split.h"
#include "model/stages.h"

// One clock for all: that of the engine thread, which is worker 0.
static void end_phase(const Share *s, ModelPhase phase) {
    if (s->worker <= 0) phases_end(&s->c->phases, phase);
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
    for (int i = part.first; i < part.last; i++) {
        const float *row = c->attn + (size_t)(s->first_row + i) * (size_t)k;
        attention_merge(s, s->first_row + i, part.from, part.to);
        act_part_write(s, format, row, k, &part, i);
    }
}

static void attention_block(Share *s) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    size_t stride = (size_t)c->qkv_dim, first = (size_t)s->first_row;
    float *q = c->qkv + first * stride;
    run_norm((NormStage){.s = s, .weight = l->attn_norm, .scale = 1},
             (const Mat *const[]){&l->q, &l->k, &l->v}, 3);
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
    share_run(s, attention_acts_task, s, row_shares(s->n_rows) * column_shares(c->q_dim));
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
    for (int i = part.first; i < part.last; i++) {
        float *gate = c->gate + (size_t)(s->first_row + i) * (size_t)k;
        const float *up = c->up + (size_t)(s->first_row + i) * (size_t)k;
        gate_mul(gate + part.from, up + part.from, part.to - part.from);
        act_part_write(s, format, gate, k, &part, i);
    }
}

static void feed_forward_block(Share *s) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    if (l->router.kernel) {
        run_experts(s);
        end_phase(s, PHASE_FFN);
        return;
    }
    size_t n_ff = (size_t)c->model->hp.n_ff, first = (size_t)s->first_row;
    run_norm((NormStage){.s = s, .weight = l->ffn_norm, .scale = 1}, (const Mat *const[]){&l->gate, &l->up},
             2);
    Product p = {.s = s,
                 .mats = {&l->gate, &l->up},
                 .n_mats = 2,
                 .m = s->n_rows,
                 .stride = {n_ff, n_ff},
                 .out = {c->gate + first * n_ff, c->up + first * n_ff}};
    run_product(&p);
    share_run(s, gate_task, s, row_shares(s->n_rows) * column_shares(c->model->hp.n_ff));
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
    run_norm((NormStage){.s = &s,
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
    // Experts see few rows each: workers share them, lest each read all.
    int most_shares = c->model->hp.n_experts ? 1 : workers_count(c->workers);
    t.n_shares = split_rows(b, most_shares, c->model->weights.kernels->busy_rows, first_row, &t.cut);
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
