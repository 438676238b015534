// The forward pass of a step: all rows of all sequences through all layers together.
//
// Every stage is one parallel-for over tasks that write disjoint parts of a buffer; the end of a
// stage is the only synchronisation. A row's numbers depend on its own sequence alone: products go
// row by row through the same order of sums (kernels.h), norms and rotations are a row's own, and
// attention reads only the sequence's blocks. That is what makes answers independent of load.
#include "model/context.h"

#include "base/num.h"
#include "kernels/packed.h"

#include <math.h>
#include <string.h>

typedef struct Step {
    ModelContext *c;
    const Batch *b;
    const Kernels *kernels;
    const Layer *layer;
    int layer_index;
    int n_chunks, chunk_rows, head_parts, heads_per_task; // attention: see plan_attention
} Step;

static float *worker_row(const Step *s, int worker) {
    return s->c->worker_row + (size_t)worker * s->c->worker_stride;
}

static int n_tiles(int rows) {
    return (rows + ACT_TILE_ROWS - 1) / ACT_TILE_ROWS;
}

// Quantising is cut by columns as well as by tiles of rows: a decoding step has few tiles.
enum { ACT_COLUMNS = 512 }; // columns of a task; a multiple of every act block

static int column_parts(int k) {
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
    return act_part(task / column_parts(k), task % column_parts(k), k, n_rows);
}

// … and in the order of the columns, for input that they have made column by column.
static ActPart act_part_by_columns(int task, int k, int n_rows) {
    return act_part(task % n_tiles(n_rows), task / n_tiles(n_rows), k, n_rows);
}

static void *act_tile(const ModelContext *c, ActFormat format, int k, int tile) {
    return (char *)c->acts[format] + (size_t)tile * act_tile_bytes(format, k);
}

// ---- products -------------------------------------------------------------------------------

// Up to three matrices with a common input, as one stage. A task takes its slice of each, so that the
// same worker makes the same columns of gate and up.
typedef struct Product {
    const Step *s;
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
static void share_kv(ModelContext *c, int n_panels) {
    int n_workers = workers_count(c->workers);
    for (int i = 0; i < n_workers; i++) {
        KvFetch *f = &c->kv_fetch[i];
        f->next = workers_share(c->n_kv_pieces, i, n_workers);
        f->end = workers_share(c->n_kv_pieces, i + 1, n_workers);
        f->per_panel = (f->end - f->next) * n_workers / n_panels + 1;
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
            .acts = p->s->c->acts[m->kernel->act],
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
    ModelContext *c = p->s->c;
    int most = 0, panels = 0;
    for (int i = 0; i < p->n_mats; i++) {
        panels += panels_of(p->mats[i]);
        most = panels_of(p->mats[i]) > most ? panels_of(p->mats[i]) : most;
    }
    p->n_tasks = workers_count(c->workers) * TASKS_PER_WORKER;
    if (p->n_tasks > most) p->n_tasks = most;
    if (p->fetch_kv) share_kv(c, panels);
    workers_run(c->workers, product_task, p, p->n_tasks);
}

static void product(const Step *s, const Mat *m, float *out, size_t stride, int rows, bool add) {
    Product p = {.s = s, .mats = {m}, .out = {out}, .stride = {stride}, .n_mats = 1, .m = rows, .add = add};
    run_product(&p);
}

// ---- norm and quantise ----------------------------------------------------------------------

// Rows of x, normalised and written in the act formats that the following products want.
typedef struct NormStage {
    const Step *s;
    const float *weight;
    const int32_t *rows; // which rows of x, or NULL for all in order
    int n_rows;
    bool wanted[N_ACT_FORMATS];
} NormStage;

static void norm_task(void *ctx, int task, int worker) {
    const NormStage *n = ctx;
    const ModelContext *c = n->s->c;
    int k = c->model->hp.n_embd;
    ActPart part = act_part_by_rows(task, k, n->n_rows);
    float *row = worker_row(n->s, worker);
    for (int i = part.first; i < part.last; i++) {
        const float *x = c->x + (size_t)(n->rows ? n->rows[i] : i) * (size_t)k;
        n->s->kernels->rms_norm(x, n->weight, c->model->hp.rms_eps, k, row);
        for (int f = 0; f < N_ACT_FORMATS; f++) {
            if (!n->wanted[f]) continue;
            void *tile = act_tile(c, (ActFormat)f, k, part.tile);
            n->s->kernels->act_write[f](row, k, part.from, part.to, tile, i - part.first);
        }
    }
}

static void norm(const Step *s, const float *weight, const int32_t *rows, int n_rows, const Mat *const *mats,
                 int n_mats) {
    NormStage n = {.s = s, .weight = weight, .rows = rows, .n_rows = n_rows};
    for (int i = 0; i < n_mats; i++) n.wanted[mats[i]->kernel->act] = true;
    workers_run(s->c->workers, norm_task, &n, n_tiles(n_rows) * column_parts(s->c->model->hp.n_embd));
}

// ---- start of a step ------------------------------------------------------------------------

static void embed_task(void *ctx, int row, int worker) {
    (void)worker;
    const Step *s = ctx;
    const Model *m = s->c->model;
    const GgufTensor *t = m->weights.token_embd;
    int32_t token = s->b->tokens[row];
    weight_dequantize_row(m->weights.embd_type, t->data + (size_t)token * t->row_bytes, m->hp.n_embd,
                          s->c->x + (size_t)row * (size_t)m->hp.n_embd);
    rope_table(&m->rope, s->c->row_position[row], s->c->rope + (size_t)row * (size_t)m->hp.rope_dims);
}

// ---- attention ------------------------------------------------------------------------------

static void add_bias(float *x, const float *bias, int n) {
    for (int i = 0; bias && i < n; i++) x[i] += bias[i];
}

static void turn_heads(const Step *s, float *heads, int n_heads, const float *norm_weight,
                       const float *table) {
    const HyperParams *hp = &s->c->model->hp;
    for (int h = 0; h < n_heads; h++) {
        float *head = heads + (size_t)h * (size_t)hp->head_dim;
        if (norm_weight) s->kernels->rms_norm(head, norm_weight, hp->rms_eps, hp->head_dim, head);
        rope_turn(&s->c->model->rope, table, head);
    }
}

// Bias, head norms and rotation of a row's queries and keys; its keys and values go into the KV.
static void rotate_task(void *ctx, int row, int worker) {
    (void)worker;
    const Step *s = ctx;
    const ModelContext *c = s->c;
    const HyperParams *hp = &c->model->hp;
    float *q = c->qkv + (size_t)row * (size_t)c->qkv_dim, *k = q + c->q_dim, *v = k + c->kv_dim;
    const float *table = c->rope + (size_t)row * (size_t)hp->rope_dims;
    add_bias(q, s->layer->q_bias, c->q_dim);
    add_bias(k, s->layer->k_bias, c->kv_dim);
    add_bias(v, s->layer->v_bias, c->kv_dim);
    turn_heads(s, q, hp->n_heads, s->layer->q_norm, table);
    turn_heads(s, k, hp->n_kv_heads, s->layer->k_norm, table);
    int position = c->row_position[row];
    int32_t block = s->b->seqs[c->row_seq[row]].blocks[position / KV_BLOCK_TOKENS];
    for (int h = 0; h < hp->n_kv_heads; h++) {
        uint16_t *at = kv_store_head(&c->kv, s->layer_index, h) + (size_t)block * c->kv.block_stride;
        s->kernels->kv_write(k + h * hp->head_dim, v + h * hp->head_dim, hp->head_dim, at,
                             position % KV_BLOCK_TOKENS);
    }
}

// Where in each layer's part of the KV attention will read, if the caches can hold a layer's worth.
static void list_kv_pieces(const Step *s) {
    ModelContext *c = s->c;
    size_t block_bytes = c->kv.head_stride * (size_t)c->kv.n_kv_heads * sizeof(uint16_t);
    c->n_kv_pieces = 0;
    for (int i = 0; i < s->b->n_seqs; i++) {
        const BatchSeq *q = &s->b->seqs[i];
        for (int j = 0; j < (q->start + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS; j++)
            for (size_t at = 0; at < block_bytes; at += AHEAD_BYTES) {
                if (c->n_kv_pieces == MAX_KV_PIECES) return;
                c->kv_pieces[c->n_kv_pieces++] = (size_t)q->blocks[j] * c->kv.block_stride * sizeof(uint16_t) + at;
            }
    }
}

// Cuts the sequences' rows into chunks of at most ATTN_MAX_QUERIES queries for a KV head. A task is a
// chunk with as many neighbouring KV heads as leaves enough tasks: their memory is contiguous.
static void plan_attention(Step *s) {
    enum { TASKS_PER_WORKER = 8 };
    const HyperParams *hp = &s->c->model->hp;
    int group = hp->n_heads / hp->n_kv_heads;
    s->chunk_rows = group < ATTN_MAX_QUERIES ? ATTN_MAX_QUERIES / group : 1;
    s->head_parts = (group + ATTN_MAX_QUERIES - 1) / ATTN_MAX_QUERIES;
    s->n_chunks = 0;
    for (int i = 0; i < s->b->n_seqs; i++)
        for (int row = 0; row < s->b->seqs[i].n_rows; row += s->chunk_rows) {
            int left = s->b->seqs[i].n_rows - row;
            s->c->chunks[s->n_chunks++] = (AttnChunk){i, row, left < s->chunk_rows ? left : s->chunk_rows};
        }
    s->heads_per_task = 1;
    int enough = workers_count(s->c->workers) * TASKS_PER_WORKER;
    for (int n = 2; n <= hp->n_kv_heads; n++)
        if (hp->n_kv_heads % n == 0 && s->n_chunks * (hp->n_kv_heads / n) >= enough) s->heads_per_task = n;
}

// One chunk of rows with one KV head, or (where they are more than a call takes) a part of its queries.
static void attend(const Step *s, const AttnChunk *chunk, int kv_head, int part, float *q) {
    const ModelContext *c = s->c;
    const HyperParams *hp = &c->model->hp;
    const BatchSeq *seq = &s->b->seqs[chunk->seq];
    int group = hp->n_heads / hp->n_kv_heads, first = part * ATTN_MAX_QUERIES;
    int heads = group - first < ATTN_MAX_QUERIES ? group - first : ATTN_MAX_QUERIES;
    size_t hd = (size_t)hp->head_dim, width = (size_t)heads * hd;
    size_t head_at = ((size_t)kv_head * (size_t)group + (size_t)first) * hd;
    float *out = q + ATTN_MAX_QUERIES * hd, scale = 1.0f / sqrtf((float)hp->head_dim);
    int row = seq->first_row + chunk->first_row;
    for (int r = 0; r < chunk->n_rows; r++) {
        const float *from = c->qkv + (size_t)(row + r) * (size_t)c->qkv_dim + head_at;
        for (size_t i = 0; i < width; i++) q[(size_t)r * width + i] = from[i] * scale;
    }
    AttnArgs a = {
        .q = q,
        .q_stride = hd,
        .out = out,
        .out_stride = hd,
        .n_q = chunk->n_rows * heads,
        .group = heads,
        .head_dim = hp->head_dim,
        .kv = kv_store_head(&c->kv, s->layer_index, kv_head),
        .block_stride = c->kv.block_stride,
        .blocks = seq->blocks,
        .n_keys = seq->start + chunk->first_row + 1,
    };
    s->kernels->attention(&a);
    for (int r = 0; r < chunk->n_rows; r++)
        memcpy(c->attn + (size_t)(row + r) * (size_t)c->q_dim + head_at, out + (size_t)r * width,
               width * sizeof *out);
}

static void attention_task(void *ctx, int task, int worker) {
    const Step *s = ctx;
    int tasks = s->c->model->hp.n_kv_heads / s->heads_per_task;
    const AttnChunk *chunk = &s->c->chunks[task / tasks];
    int first = task % tasks * s->heads_per_task;
    for (int head = first; head < first + s->heads_per_task; head++)
        for (int part = 0; part < s->head_parts; part++) attend(s, chunk, head, part, worker_row(s, worker));
}

static void attention_acts_task(void *ctx, int task, int worker) {
    (void)worker;
    const Step *s = ctx;
    const ModelContext *c = s->c;
    ActFormat format = s->layer->o.kernel->act;
    int k = c->q_dim;
    ActPart part = act_part_by_rows(task, k, s->b->n_rows);
    void *tile = act_tile(c, format, k, part.tile);
    for (int i = part.first; i < part.last; i++) {
        const float *row = c->attn + (size_t)i * (size_t)k;
        s->kernels->act_write[format](row, k, part.from, part.to, tile, i - part.first);
    }
}

static void attention_block(Step *s) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    const HyperParams *hp = &c->model->hp;
    int rows = s->b->n_rows;
    size_t stride = (size_t)c->qkv_dim;
    norm(s, l->attn_norm, NULL, rows, (const Mat *const[]){&l->q, &l->k, &l->v}, 3);
    Product qkv = {.s = s,
                   .fetch_kv = rows > 2 && c->n_kv_pieces > 0,
                   .mats = {&l->q, &l->k, &l->v},
                   .n_mats = 3,
                   .m = rows,
                   .stride = {stride, stride, stride},
                   .out = {c->qkv, c->qkv + c->q_dim, c->qkv + c->q_dim + c->kv_dim}};
    run_product(&qkv);
    phases_end(&c->phases, PHASE_QKV);
    workers_run(c->workers, rotate_task, s, rows);
    workers_run(c->workers, attention_task, s, s->n_chunks * (hp->n_kv_heads / s->heads_per_task));
    phases_end(&c->phases, PHASE_ATTENTION);
    workers_run(c->workers, attention_acts_task, s, n_tiles(rows) * column_parts(c->q_dim));
    product(s, &l->o, c->x, (size_t)hp->n_embd, rows, true);
    for (int r = 0; l->o_bias && r < rows; r++)
        add_bias(c->x + (size_t)r * (size_t)hp->n_embd, l->o_bias, hp->n_embd);
    phases_end(&c->phases, PHASE_OUTPUT);
}

// ---- feed-forward ---------------------------------------------------------------------------

static void swiglu_task(void *ctx, int task, int worker) {
    (void)worker;
    const Step *s = ctx;
    const ModelContext *c = s->c;
    ActFormat format = s->layer->down.kernel->act;
    int k = c->model->hp.n_ff;
    ActPart part = act_part_by_columns(task, k, s->b->n_rows);
    void *tile = act_tile(c, format, k, part.tile);
    for (int i = part.first; i < part.last; i++) {
        float *gate = c->gate + (size_t)i * (size_t)k;
        const float *up = c->up + (size_t)i * (size_t)k;
        s->kernels->silu_mul(gate + part.from, up + part.from, part.to - part.from);
        s->kernels->act_write[format](gate, k, part.from, part.to, tile, i - part.first);
    }
}

static void feed_forward_block(Step *s) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    size_t stride = (size_t)c->model->hp.n_ff;
    int rows = s->b->n_rows;
    norm(s, l->ffn_norm, NULL, rows, (const Mat *const[]){&l->gate, &l->up}, 2);
    Product p = {.s = s,
                 .mats = {&l->gate, &l->up},
                 .n_mats = 2,
                 .m = rows,
                 .stride = {stride, stride},
                 .out = {c->gate, c->up}};
    run_product(&p);
    workers_run(c->workers, swiglu_task, s, n_tiles(rows) * column_parts(c->model->hp.n_ff));
    product(s, &l->down, c->x, (size_t)c->model->hp.n_embd, rows, true);
    phases_end(&c->phases, PHASE_FFN);
}

// ---- the step -------------------------------------------------------------------------------

static void lay_out_rows(const Step *s) {
    const Batch *b = s->b;
    ModelContext *c = s->c;
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

const LogitsRow *forward_step(void *context, const Batch *b) {
    ModelContext *c = context;
    const Weights *w = &c->model->weights;
    Step s = {.c = c, .b = b, .kernels = w->kernels};
    CHECK(b->n_rows >= 1 && b->n_rows <= c->config.max_rows && b->n_logits <= c->config.max_logits);
    phases_begin(&c->phases);
    lay_out_rows(&s);
    plan_attention(&s);
    list_kv_pieces(&s);
    workers_run(c->workers, embed_task, &s, b->n_rows);
    phases_end(&c->phases, PHASE_OTHER);
    for (int i = 0; i < c->model->hp.n_layers; i++) {
        s.layer = &w->layers[i];
        s.layer_index = i;
        attention_block(&s);
        feed_forward_block(&s);
    }
    if (b->n_logits) {
        norm(&s, w->output_norm, c->logits_row, b->n_logits, (const Mat *const[]){&w->output}, 1);
        head_run(c, b);
    }
    phases_end(&c->phases, PHASE_HEAD);
    return c->logits_rows;
}
