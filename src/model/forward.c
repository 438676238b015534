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
    int n_chunks, n_attn_tasks, n_parts; // see plan_attention
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
    const Rope *rope = &s->c->model->rope;
    for (int h = 0; h < n_heads; h++) {
        float *head = heads + (size_t)h * (size_t)hp->head_dim;
        if (norm_weight) s->kernels->rms_norm(head, norm_weight, hp->rms_eps, hp->head_dim, head);
        s->kernels->rope(head, table, rope->n_pairs, rope->pairing == ROPE_HALVES);
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
    const KvKernel *kv = &s->kernels->kv[c->config.kv_type];
    add_bias(q, s->layer->q_bias, c->q_dim);
    add_bias(k, s->layer->k_bias, c->kv_dim);
    add_bias(v, s->layer->v_bias, c->kv_dim);
    turn_heads(s, q, hp->n_heads, s->layer->q_norm, table);
    turn_heads(s, k, hp->n_kv_heads, s->layer->k_norm, table);
    int position = c->row_position[row];
    int32_t block = s->b->seqs[c->row_seq[row]].blocks[position / KV_BLOCK_TOKENS];
    for (int h = 0; h < hp->n_kv_heads; h++) {
        uint16_t *at = kv_store_head(&c->kv, s->layer_index, h) + (size_t)block * c->kv.block_stride;
        kv->write(k + h * hp->head_dim, v + h * hp->head_dim, hp->head_dim, at, position % KV_BLOCK_TOKENS);
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
                c->kv_pieces[c->n_kv_pieces++] =
                    (size_t)q->blocks[j] * c->kv.block_stride * sizeof(uint16_t) + at;
            }
    }
}

// How the work is cut.
//
// A chunk is some rows of one sequence, as many as a kernel call takes queries for; all its rows see the same
// segments of keys (kernels.h). A unit is a chunk with one KV head; its cost is the blocks that it goes
// through, a call counting as one more. The units, in order, are cut into tasks of about equal cost:
// neighbouring KV heads, whose memory is contiguous, mostly go together.
//
// A unit that is more than a task's share is one long sequence, and would keep one worker busy while the
// others wait. Its segments become chunks of their own, which leave their parts in memory; whoever quantises
// the row for the next product merges them first, in the order of the keys. In all other units the worker
// merges as it goes. Both do the same arithmetic.

static int attn_group(const Step *s) {
    return s->c->model->hp.n_heads / s->c->model->hp.n_kv_heads;
}

static void add_chunk(Step *s, AttnChunk chunk) {
    enum { BLOCKS_A_CALL = 1 };
    int first_key = chunk.segment * ATTN_SEGMENT;
    int keys = s->b->seqs[chunk.seq].start + chunk.first_row + 1 - first_key;
    if (chunk.n_segments == 1 && keys > ATTN_SEGMENT) keys = ATTN_SEGMENT;
    chunk.cost = chunk.n_rows * (keys / KV_BLOCK_TOKENS + 1 + BLOCKS_A_CALL * chunk.n_segments);
    s->c->chunks[s->n_chunks++] = chunk;
}

static void cut_rows(Step *s) {
    int group = attn_group(s), most = group < ATTN_MAX_QUERIES ? ATTN_MAX_QUERIES / group : 1;
    for (int i = 0; i < s->b->n_seqs; i++) {
        const BatchSeq *seq = &s->b->seqs[i];
        for (int row = 0, n; row < seq->n_rows; row += n) {
            int position = seq->start + row, left_of_segment = ATTN_SEGMENT - position % ATTN_SEGMENT;
            n = seq->n_rows - row < most ? seq->n_rows - row : most;
            n = n < left_of_segment ? n : left_of_segment;
            add_chunk(s, (AttnChunk){.seq = i,
                                     .first_row = row,
                                     .n_rows = n,
                                     .n_segments = position / ATTN_SEGMENT + 1,
                                     .part = -1});
        }
    }
}

static int64_t cost_of_units(const Step *s) {
    int64_t cost = 0;
    for (int i = 0; i < s->n_chunks; i++) cost += s->c->chunks[i].cost;
    return cost * s->c->model->hp.n_kv_heads;
}

static void cut_segments(Step *s, AttnChunk *whole) {
    int row = s->b->seqs[whole->seq].first_row + whole->first_row;
    for (int r = 0; r < whole->n_rows; r++)
        s->c->row_parts[row + r] = (RowParts){s->n_parts + r * whole->n_segments, whole->n_segments};
    AttnChunk part = *whole;
    part.row_parts = whole->n_segments;
    part.n_segments = 1;
    for (part.segment = 0; part.segment < whole->n_segments; part.segment++) {
        part.part = s->n_parts + part.segment;
        add_chunk(s, part);
    }
    s->n_parts += whole->n_rows * whole->n_segments;
    whole->cost = whole->n_segments = 0; // nothing is left to it
}

static void cut_long_units(Step *s, int64_t share) {
    ModelContext *c = s->c;
    memset(c->row_parts, 0, (size_t)s->b->n_rows * sizeof *c->row_parts);
    s->n_parts = 0;
    if (workers_count(c->workers) == 1) return;
    for (int i = 0, n = s->n_chunks; i < n; i++) {
        AttnChunk *chunk = &c->chunks[i];
        if (chunk->n_segments == 1 || chunk->cost <= share) continue;
        if (s->n_parts + chunk->n_rows * chunk->n_segments <= MAX_ATTN_PARTS) cut_segments(s, chunk);
    }
}

// attn_tasks[t]: the first unit of task t.
static void share_units(Step *s, int64_t cost) {
    ModelContext *c = s->c;
    int heads = c->model->hp.n_kv_heads, task = 0;
    int64_t done = 0, begin = 0; // begin: the cost before which task `task` may not begin
    for (int unit = 0; unit < s->n_chunks * heads; unit++) {
        for (; task < s->n_attn_tasks && done >= begin; begin = cost * task / s->n_attn_tasks)
            c->attn_tasks[task++] = unit;
        done += c->chunks[unit / heads].cost;
    }
    while (task <= s->n_attn_tasks) c->attn_tasks[task++] = s->n_chunks * heads;
}

static void plan_attention(Step *s) {
    s->n_chunks = 0;
    cut_rows(s);
    s->n_attn_tasks = workers_count(s->c->workers) * ATTN_TASKS_PER_WORKER;
    cut_long_units(s, cost_of_units(s) / s->n_attn_tasks);
    share_units(s, cost_of_units(s));
}

// The queries of one call: rows of a chunk with one KV head, or (where they are more than a call takes) a
// part of its heads.
typedef struct Queries {
    int row, n_rows;
    int first_head, n_heads;
} Queries;

static float *head_of(const ModelContext *c, float *rows, int width, int row, int head) {
    return rows + (size_t)row * (size_t)width + (size_t)head * (size_t)c->model->hp.head_dim;
}

static void gather_queries(const ModelContext *c, const Queries *n, float *q) {
    size_t width = (size_t)n->n_heads * (size_t)c->model->hp.head_dim;
    float scale = 1.0f / sqrtf((float)c->model->hp.head_dim);
    for (int r = 0; r < n->n_rows; r++) {
        const float *from = head_of(c, c->qkv, c->qkv_dim, n->row + r, n->first_head);
        for (size_t i = 0; i < width; i++) q[(size_t)r * width + i] = from[i] * scale;
    }
}

// Results of some rows go to rows of `to` that are `step` apart.
static void scatter_rows(const ModelContext *c, const Queries *n, const float *out, float *to, int row,
                         int step) {
    size_t width = (size_t)n->n_heads * (size_t)c->model->hp.head_dim;
    for (int r = 0; r < n->n_rows; r++)
        memcpy(head_of(c, to, c->q_dim, row + r * step, n->first_head), out + (size_t)r * width,
               width * sizeof *out);
}

static void keep_parts(const ModelContext *c, const AttnChunk *chunk, const Queries *n, const float *out,
                       const float *max, const float *sum) {
    size_t heads = (size_t)c->model->hp.n_heads, width = (size_t)n->n_heads;
    scatter_rows(c, n, out, c->part_acc, chunk->part, chunk->row_parts);
    for (int r = 0; r < n->n_rows; r++) {
        size_t at = (size_t)(chunk->part + r * chunk->row_parts) * heads + (size_t)n->first_head;
        memcpy(c->part_max + at, max + (size_t)r * width, width * sizeof *max);
        memcpy(c->part_sum + at, sum + (size_t)r * width, width * sizeof *sum);
    }
}

// The arguments for one of a chunk's segments: all its keys for every query, or the last ones row by row.
static AttnArgs segment_args(const AttnArgs *a, int segment) {
    AttnArgs part = *a;
    part.blocks += segment * (ATTN_SEGMENT / KV_BLOCK_TOKENS);
    part.n_keys -= segment * ATTN_SEGMENT;
    if (part.n_keys > ATTN_SEGMENT) {
        part.n_keys = ATTN_SEGMENT;
        part.group = part.n_q;
    }
    return part;
}

// All segments, merged as they come; `spare` has room for the outputs of one.
static void attend_segments(const KvKernel *kv, const AttnArgs *a, int n_segments, float *spare) {
    float max[2][ATTN_MAX_QUERIES], sum[2][ATTN_MAX_QUERIES];
    AttnArgs part = segment_args(a, 0);
    kv->attention_part(&part, max[0], sum[0]);
    for (int segment = 1; segment < n_segments; segment++) {
        part = segment_args(a, segment);
        part.out = spare;
        kv->attention_part(&part, max[1], sum[1]);
        for (int i = 0; i < a->n_q; i++) {
            size_t at = (size_t)i * a->out_stride;
            AttnPart into = {max[0][i], sum[0][i], a->out + at}, next = {max[1][i], sum[1][i], spare + at};
            attn_merge(&into, &next, a->head_dim);
            max[0][i] = into.max;
            sum[0][i] = into.sum;
        }
    }
    for (int i = 0; i < a->n_q; i++)
        attn_finish(&(AttnPart){max[0][i], sum[0][i], a->out + (size_t)i * a->out_stride}, a->head_dim);
}

static void attend(const Step *s, const AttnChunk *chunk, int kv_head, const Queries *n, float *q) {
    const ModelContext *c = s->c;
    const BatchSeq *seq = &s->b->seqs[chunk->seq];
    const KvKernel *kv = &s->kernels->kv[c->config.kv_type];
    size_t hd = (size_t)c->model->hp.head_dim;
    float *out = q + ATTN_MAX_QUERIES * hd, *spare = out + ATTN_MAX_QUERIES * hd;
    gather_queries(c, n, q);
    AttnArgs a = {
        .q = q,
        .q_stride = hd,
        .out = out,
        .out_stride = hd,
        .n_q = n->n_rows * n->n_heads,
        .group = n->n_heads,
        .head_dim = c->model->hp.head_dim,
        .kv = kv_store_head(&c->kv, s->layer_index, kv_head),
        .block_stride = c->kv.block_stride,
        .blocks = seq->blocks,
        .n_keys = seq->start + chunk->first_row + 1,
    };
    if (chunk->part >= 0) {
        float max[ATTN_MAX_QUERIES], sum[ATTN_MAX_QUERIES];
        a = segment_args(&a, chunk->segment);
        kv->attention_part(&a, max, sum);
        keep_parts(c, chunk, n, out, max, sum);
        return;
    }
    if (chunk->n_segments == 1)
        kv->attention(&a);
    else
        attend_segments(kv, &a, chunk->n_segments, spare);
    scatter_rows(c, n, out, c->attn, n->row, 1);
}

static void attention_task(void *ctx, int task, int worker) {
    const Step *s = ctx;
    const ModelContext *c = s->c;
    int heads = c->model->hp.n_kv_heads, group = attn_group(s);
    for (int unit = c->attn_tasks[task]; unit < c->attn_tasks[task + 1]; unit++) {
        const AttnChunk *chunk = &c->chunks[unit / heads];
        if (chunk->n_segments == 0) continue;
        Queries n = {.row = s->b->seqs[chunk->seq].first_row + chunk->first_row, .n_rows = chunk->n_rows};
        for (int first = 0; first < group; first += ATTN_MAX_QUERIES) {
            n.first_head = unit % heads * group + first;
            n.n_heads = group - first < ATTN_MAX_QUERIES ? group - first : ATTN_MAX_QUERIES;
            attend(s, chunk, unit % heads, &n, worker_row(s, worker));
        }
    }
}

// Columns [from, to) of a row whose segments were left apart.
static void merge_parts(const Step *s, int row, int from, int to) {
    const ModelContext *c = s->c;
    const RowParts *parts = &c->row_parts[row];
    int hd = c->model->hp.head_dim, heads = c->model->hp.n_heads;
    float *out = c->attn + (size_t)row * (size_t)c->q_dim;
    for (int at = from, n; parts->n && at < to; at += n) {
        int head = at / hd;
        n = (head + 1) * hd < to ? (head + 1) * hd - at : to - at;
        AttnPart all = {.acc = out + at};
        for (int i = parts->first; i < parts->first + parts->n; i++) {
            size_t slot = (size_t)i * (size_t)heads + (size_t)head;
            AttnPart part = {c->part_max[slot], c->part_sum[slot],
                             c->part_acc + (size_t)i * (size_t)c->q_dim + at};
            if (i > parts->first) {
                attn_merge(&all, &part, n);
                continue;
            }
            all.max = part.max;
            all.sum = part.sum;
            memcpy(all.acc, part.acc, (size_t)n * sizeof *all.acc);
        }
        attn_finish(&all, n);
    }
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
        merge_parts(s, i, part.from, part.to);
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
    workers_run(c->workers, attention_task, s, s->n_attn_tasks);
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

float *forward_step(void *context, const Batch *b) {
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
        product(&s, &w->output, c->logits, (size_t)c->model->hp.n_vocab, b->n_logits, false);
    }
    phases_end(&c->phases, PHASE_HEAD);
    return c->logits;
}
