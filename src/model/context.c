#define _DEFAULT_SOURCE
#include "model/context.h"

#include "base/num.h"

#include <stdlib.h>
#include <sys/mman.h>

static int max_int(int a, int b) {
    return a > b ? a : b;
}

// The widest input of each act format among all matrices; 0 where no matrix wants it.
static void widest_inputs(const Model *m, int widest[N_ACT_FORMATS]) {
    for (int f = 0; f < N_ACT_FORMATS; f++) widest[f] = 0;
    widest[m->weights.output.kernel->act] = m->weights.output.k;
    for (int i = 0; i < m->hp.n_layers; i++) {
        const Layer *l = &m->weights.layers[i];
        for (int j = 0; j < layer_n_mats(l); j++) {
            const Mat *mat = layer_mat(l, j);
            widest[mat->kernel->act] = max_int(widest[mat->kernel->act], mat->k);
        }
    }
}

// One memory region for all scratch: first pass (base NULL) counts, second hands out.
typedef struct Carver {
    char *base;
    size_t used;
    bool overflow;
} Carver;

static void *carve(Carver *c, size_t n, size_t size) {
    size_t bytes, end;
    if (!num_mul(n, size, &bytes) || !num_align(bytes, 64, &bytes) || !num_add(c->used, bytes, &end)) {
        c->overflow = true;
        return NULL;
    }
    void *p = c->base ? c->base + c->used : NULL;
    c->used = end;
    return p;
}

static void carve_head(ModelContext *c, Carver *a) {
    size_t rows = (size_t)c->config.max_logits, worker_rows = rows * (size_t)workers_count(c->workers);
    c->logits = carve(a, rows * (size_t)c->model->hp.n_vocab, sizeof(float));
    c->strips = carve(a, worker_rows * HEAD_STRIDE, sizeof(float));
    c->head_rows = carve(a, worker_rows, sizeof(HeadRow));
    c->candidates = carve(a, rows * MOST_CANDIDATES, sizeof(Candidate));
    c->logits_rows = carve(a, rows, sizeof(LogitsRow));
    c->logits_row = carve(a, rows, sizeof(int32_t));
}

// Slots: a row for each expert that it is given to; tiles begin anew with each expert.
static void carve_experts(ModelContext *c, Carver *a) {
    const HyperParams *hp = &c->model->hp;
    ExpertScratch *e = &c->experts;
    size_t rows = (size_t)c->config.max_rows, slots = rows * (size_t)hp->n_experts_used;
    size_t tiles = num_div_up(slots, ACT_TILE_ROWS) + (size_t)hp->n_experts;
    e->router = carve(a, rows * (size_t)hp->n_experts, sizeof(float));
    e->normed = carve(a, rows * (size_t)hp->n_embd, sizeof(float));
    e->choices = carve(a, slots, sizeof(ExpertChoice));
    e->slot_row = carve(a, slots, sizeof(int32_t));
    e->next_slot = carve(a, (size_t)hp->n_experts, sizeof(int32_t));
    e->runs = carve(a, (size_t)hp->n_experts, sizeof(ExpertRun));
    e->tile_run = carve(a, tiles, sizeof(int32_t));
    e->out = carve(a, slots * (size_t)hp->n_embd, sizeof(float));
    for (int i = 0; i < N_ACT_FORMATS; i++)
        e->acts[i] = c->act_tile_stride[i] ? carve(a, tiles, c->act_tile_stride[i]) : NULL;
}

static void carve_all(ModelContext *c, Carver *a) {
    const HyperParams *hp = &c->model->hp;
    size_t rows = (size_t)c->config.max_rows, workers = (size_t)workers_count(c->workers), f = sizeof(float);
    size_t tiles =
        num_div_up(rows, ACT_TILE_ROWS) + workers; // each worker's rows may end in an unfinished tile
    int widest[N_ACT_FORMATS];
    widest_inputs(c->model, widest);
    c->x = carve(a, rows * (size_t)hp->n_embd, f);
    c->qkv = carve(a, rows * (size_t)c->qkv_dim, f);
    c->attn = carve(a, rows * (size_t)c->q_dim, f);
    size_t gated = rows * (size_t)max_int(hp->n_experts_used, 1);
    c->gate = carve(a, gated * (size_t)hp->n_ff, f);
    c->up = carve(a, gated * (size_t)hp->n_ff, f);
    c->rope = carve(a, rows * N_ROPES * (size_t)hp->rope_dims, f);
    c->branch = hyper_params_has_branch(hp) ? carve(a, rows * (size_t)hp->n_embd, f) : NULL;
    carve_head(c, a);
    c->worker_stride = (size_t)max_int(hp->n_embd, ATTN_MAX_QUERIES * hp->head_dim * 3);
    c->worker_row = carve(a, workers * c->worker_stride, f);
    c->row_position = carve(a, rows, sizeof(int32_t));
    c->row_seq = carve(a, rows, sizeof(int32_t));
    c->kv_pieces = carve(a, MAX_KV_PIECES, sizeof(size_t));
    c->kv_fetch = carve(a, workers, sizeof(KvFetch));
    c->chunks = carve(a, rows + MAX_ATTN_PARTS, sizeof(AttnChunk));
    c->attn_tasks = carve(a, workers * (ATTN_TASKS_PER_WORKER + 1), sizeof(int32_t));
    c->row_parts = carve(a, rows, sizeof(RowParts));
    c->part_acc = carve(a, MAX_ATTN_PARTS * (size_t)c->q_dim, f);
    c->part_max = carve(a, MAX_ATTN_PARTS * (size_t)hp->n_heads, f);
    c->part_sum = carve(a, MAX_ATTN_PARTS * (size_t)hp->n_heads, f);
    for (int i = 0; i < N_ACT_FORMATS; i++) {
        c->act_tile_stride[i] = widest[i] ? act_tile_bytes((ActFormat)i, widest[i]) : 0;
        c->acts[i] = widest[i] ? carve(a, tiles, c->act_tile_stride[i]) : NULL;
    }
    if (hp->n_experts) carve_experts(c, a);
}

static bool alloc_scratch(ModelContext *c, Err *err) {
    Carver count = {0};
    carve_all(c, &count);
    void *region = MAP_FAILED;
    if (!count.overflow)
        region = mmap(NULL, count.used, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return err_set(err, ERR_NOMEM, "no memory for steps of %d rows (%zu MB); ask for fewer",
                       c->config.max_rows, count.used >> 20);
    c->arena = region;
    c->arena_bytes = count.used;
    Carver hand_out = {.base = region};
    carve_all(c, &hand_out);
    return true;
}

ModelContext *model_context_new(Model *m, const ModelContextConfig *config, Workers *workers, Err *err) {
    CHECK(config->n_blocks >= 1 && config->max_rows >= 1 && config->max_logits >= 1);
    ModelContext *c = calloc(1, sizeof *c);
    if (!c) {
        err_set(err, ERR_NOMEM, "out of memory for the model's context");
        return NULL;
    }
    const HyperParams *hp = &m->hp;
    c->model = m;
    c->workers = workers;
    c->config = *config;
    c->q_dim = hp->n_heads * hp->head_dim;
    c->kv_dim = hp->n_kv_heads * hp->head_dim;
    c->qkv_dim = c->q_dim + 2 * c->kv_dim;
    KvShape shape = kv_shape_of(&m->hp, config->kv_type);
    if (!kv_store_init(&c->kv, &shape, config->n_blocks, err) || !alloc_scratch(c, err)) {
        model_context_free(c);
        return NULL;
    }
    return c;
}

void model_context_free(ModelContext *c) {
    if (!c) return;
    kv_store_free(&c->kv);
    if (c->arena) munmap(c->arena, c->arena_bytes);
    free(c);
}

void model_context_touch(const ModelContext *c, int32_t block, int32_t n) {
    kv_store_touch(&c->kv, block, n);
}

StepModel model_step(ModelContext *c) {
    return (StepModel){
        .self = c,
        .n_vocab = c->model->hp.n_vocab,
        .n_embd = c->model->hp.n_embd,
        .max_context = c->model->hp.context,
        .max_rows = c->config.max_rows,
        .max_logits = c->config.max_logits,
        .n_blocks = c->config.n_blocks,
        .forward = forward_step,
    };
}

const ModelPhases *model_phases(const ModelContext *c) {
    return &c->phases;
}
