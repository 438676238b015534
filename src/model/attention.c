#include "model/attention.h"

#include <string.h>

static void add_bias(float *x, const float *bias, int n) {
    for (int i = 0; bias && i < n; i++) x[i] += bias[i];
}

// table: of the layer's RoPE at the row's position; NULL: it has none.
static void turn_heads(const Share *s, float *heads, int n_heads, const float *norm_weight,
                       const float *table) {
    const HyperParams *hp = &s->c->model->hp;
    const Rope *rope = &s->c->model->rope[ROPE_FULL]; // the pairs are those of every use
    for (int h = 0; h < n_heads; h++) {
        float *head = heads + (size_t)h * (size_t)hp->head_dim;
        if (norm_weight) s->kernels->rms_norm(head, norm_weight, hp->rms_eps, hp->head_dim, head);
        if (table) s->kernels->rope(head, table, rope->n_pairs, rope->pairing == ROPE_HALVES);
    }
}

// Bias, head norms and rotation of a row's queries and keys; its keys and values go into the KV.
static void rotate_task(void *ctx, int row, int worker) {
    (void)worker;
    const Share *s = ctx;
    const ModelContext *c = s->c;
    const HyperParams *hp = &c->model->hp;
    row += s->first_row;
    float *q = c->qkv + (size_t)row * (size_t)c->qkv_dim, *k = q + c->q_dim, *v = k + c->kv_dim;
    RopeUse use = s->layer->rope;
    const float *table = use == ROPE_NONE ? NULL : context_rope(c, row, use);
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

// The block with the first key that the sequence's row at a position sees.
static int first_block(const Share *s, int position) {
    return s->window && position >= s->window ? (position + 1 - s->window) / KV_BLOCK_TOKENS : 0;
}

// Where in each layer's part of the KV attention will read, if the caches can hold a layer's worth.
static void list_kv_pieces(Share *s) {
    ModelContext *c = s->c;
    size_t block_bytes = c->kv.head_stride * (size_t)c->kv.n_kv_heads * sizeof(uint16_t);
    s->n_pieces = 0;
    for (int i = s->first_seq; i < s->end_seq; i++) {
        const BatchSeq *q = &s->b->seqs[i];
        for (int j = first_block(s, q->start); j < (q->start + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS; j++)
            for (size_t at = 0; at < block_bytes; at += AHEAD_BYTES) {
                if (s->n_pieces == s->piece_room) return;
                c->kv_pieces[s->first_piece + s->n_pieces++] =
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
//
// Layers with a sliding window do not cut into segments: what a row sees is one, from the block of its first
// key on.

static int attn_group(const Share *s) {
    return s->c->model->hp.n_heads / s->c->model->hp.n_kv_heads;
}

static void add_chunk(Share *s, AttnChunk chunk) {
    enum { BLOCKS_A_CALL = 1 };
    int position = s->b->seqs[chunk.seq].start + chunk.first_row;
    int keys = position + 1 - chunk.segment * ATTN_SEGMENT;
    int most = s->window ? s->window : ATTN_SEGMENT;
    if (chunk.n_segments == 1 && keys > most) keys = most;
    chunk.cost = chunk.n_rows * (keys / KV_BLOCK_TOKENS + 1 + BLOCKS_A_CALL * chunk.n_segments);
    s->chunks[s->n_chunks++] = chunk;
}

static void cut_rows(Share *s) {
    int group = attn_group(s), most = group < ATTN_MAX_QUERIES ? ATTN_MAX_QUERIES / group : 1;
    for (int i = s->first_seq; i < s->end_seq; i++) {
        const BatchSeq *seq = &s->b->seqs[i];
        int row = s->first_row - seq->first_row, end = row + s->n_rows;
        end = end < seq->n_rows ? end : seq->n_rows;
        for (int n, r = row > 0 ? row : 0; r < end; r += n) {
            int position = seq->start + r, left_of_segment = ATTN_SEGMENT - position % ATTN_SEGMENT;
            n = end - r < most ? end - r : most;
            if (!s->window && n > left_of_segment) n = left_of_segment;
            add_chunk(s, (AttnChunk){.seq = i,
                                     .first_row = r,
                                     .n_rows = n,
                                     .n_segments = s->window ? 1 : position / ATTN_SEGMENT + 1,
                                     .part = -1});
        }
    }
}

static int64_t cost_of_units(const Share *s) {
    int64_t cost = 0;
    for (int i = 0; i < s->n_chunks; i++) cost += s->chunks[i].cost;
    return cost * s->c->model->hp.n_kv_heads;
}

static void cut_segments(Share *s, AttnChunk *whole) {
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

static void cut_long_units(Share *s, int64_t share) {
    ModelContext *c = s->c;
    memset(c->row_parts + s->first_row, 0, (size_t)s->n_rows * sizeof *c->row_parts);
    s->n_parts = 0;
    if (share_n_workers(s) == 1) return;
    for (int i = 0, n = s->n_chunks; i < n; i++) {
        AttnChunk *chunk = &s->chunks[i];
        if (chunk->n_segments == 1 || chunk->cost <= share) continue;
        if (s->n_parts + chunk->n_rows * chunk->n_segments <= MAX_ATTN_PARTS) cut_segments(s, chunk);
    }
}

// attn_tasks[t]: the first unit of task t.
static void share_units(Share *s, int64_t cost) {
    int heads = s->c->model->hp.n_kv_heads, task = 0;
    int64_t done = 0, begin = 0; // begin: the cost before which task `task` may not begin
    for (int unit = 0; unit < s->n_chunks * heads; unit++) {
        for (; task < s->n_attn_tasks && done >= begin; begin = cost * task / s->n_attn_tasks)
            s->attn_tasks[task++] = unit;
        done += s->chunks[unit / heads].cost;
    }
    while (task <= s->n_attn_tasks) s->attn_tasks[task++] = s->n_chunks * heads;
}

void attention_plan(Share *s, int32_t window) {
    s->window = window;
    s->n_chunks = 0;
    cut_rows(s);
    s->n_attn_tasks = share_n_workers(s) * ATTN_TASKS_PER_WORKER;
    cut_long_units(s, cost_of_units(s) / s->n_attn_tasks);
    share_units(s, cost_of_units(s));
    list_kv_pieces(s);
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
    float scale = c->model->hp.attn_scale;
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

static void attend(const Share *s, const AttnChunk *chunk, int kv_head, const Queries *n, float *q) {
    const ModelContext *c = s->c;
    const BatchSeq *seq = &s->b->seqs[chunk->seq];
    const KvKernel *kv = &s->kernels->kv[c->config.kv_type];
    size_t hd = (size_t)c->model->hp.head_dim;
    float *out = q + ATTN_MAX_QUERIES * hd, *spare = out + ATTN_MAX_QUERIES * hd;
    int position = seq->start + chunk->first_row, unseen = first_block(s, position);
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
        .blocks = seq->blocks + unseen,
        .n_keys = position + 1 - unseen * KV_BLOCK_TOKENS,
        .window = s->window,
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
    const Share *s = ctx;
    int heads = s->c->model->hp.n_kv_heads, group = attn_group(s);
    for (int unit = s->attn_tasks[task]; unit < s->attn_tasks[task + 1]; unit++) {
        const AttnChunk *chunk = &s->chunks[unit / heads];
        if (chunk->n_segments == 0) continue;
        Queries n = {.row = s->b->seqs[chunk->seq].first_row + chunk->first_row, .n_rows = chunk->n_rows};
        for (int first = 0; first < group; first += ATTN_MAX_QUERIES) {
            n.first_head = unit % heads * group + first;
            n.n_heads = group - first < ATTN_MAX_QUERIES ? group - first : ATTN_MAX_QUERIES;
            attend(s, chunk, unit % heads, &n, share_scratch(s, worker));
        }
    }
}

void attention_merge(const Share *s, int row, int from, int to) {
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

void attention_rotate(Share *s) {
    share_run(s, rotate_task, s, s->n_rows);
}

void attention_run(Share *s) {
    share_run(s, attention_task, s, s->n_attn_tasks);
}
