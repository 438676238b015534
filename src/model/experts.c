// The router's logits choose n_experts_used experts for a row; their weights are the softmax over the chosen
// (Qwen3's report: over all, normalised over the chosen, which is the same). The rows of an expert, wherever
// they come from, are its slots and go through it together, like the rows of a step through a dense layer.
// What experts make of a row is added in the order of the choice, so its company changes nothing.
#include "model/experts.h"

#include "kernels/exp.h"
#include "model/stages.h"

#include <string.h>

// ---- who computes what ----------------------------------------------------------------------

static bool is_chosen(const ExpertChoice *chosen, int n, int expert) {
    for (int i = 0; i < n; i++)
        if (chosen[i].expert == expert) return true;
    return false;
}

// The largest logits, of equal ones those of the lower experts.
static void choose_task(void *ctx, int row, int worker) {
    (void)worker;
    const ModelContext *c = ((const Share *)ctx)->c;
    int n = c->model->hp.n_experts, used = c->model->hp.n_experts_used;
    const float *logits = c->experts.router + (size_t)row * (size_t)n;
    ExpertChoice *chosen = c->experts.choices + (size_t)row * (size_t)used;
    float sum = 0;
    for (int i = 0; i < used; i++) {
        int best = -1;
        for (int e = 0; e < n; e++)
            if ((best < 0 || logits[e] > logits[best]) && !is_chosen(chosen, i, e)) best = e;
        float weight = i == 0 ? 1 : exp_scalar(logits[best] - logits[chosen[0].expert]);
        chosen[i] = (ExpertChoice){.expert = best, .weight = weight};
        sum += weight;
    }
    for (int i = 0; i < used; i++) chosen[i].weight /= sum;
}

// Slots by expert, rows ascending; returns the number of runs.
static int assign_slots(const Share *s, int *tiles) {
    ExpertScratch *e = &s->c->experts;
    int n = s->c->model->hp.n_experts, used = s->c->model->hp.n_experts_used, n_runs = 0, slot = 0, tile = 0;
    memset(e->next_slot, 0, (size_t)n * sizeof *e->next_slot);
    for (int i = 0; i < s->n_rows * used; i++) e->next_slot[e->choices[i].expert]++;
    for (int expert = 0; expert < n; expert++) {
        ExpertRun run = {expert, slot, e->next_slot[expert], tile};
        e->next_slot[expert] = slot;
        slot += run.n;
        if (run.n == 0) continue;
        for (int end = tile + n_tiles(run.n); tile < end; tile++) e->tile_run[tile] = n_runs;
        e->runs[n_runs++] = run;
    }
    for (int i = 0; i < s->n_rows * used; i++) {
        e->choices[i].slot = e->next_slot[e->choices[i].expert]++;
        e->slot_row[e->choices[i].slot] = i / used;
    }
    *tiles = tile;
    return n_runs;
}

// ---- quantising -----------------------------------------------------------------------------

// The input of the next products, in their act formats.
typedef struct ExpertActs {
    const Share *s;
    int k;
    bool wanted[N_ACT_FORMATS];
} ExpertActs;

// What a task covers: slots [first, first + n) of one tile, columns [from, to).
typedef struct ExpertPart {
    int tile, first, n, from, to;
} ExpertPart;

static ExpertPart expert_part(const ExpertActs *a, int task) {
    const ExpertScratch *e = &a->s->c->experts;
    int tile = task / column_shares(a->k), from = task % column_shares(a->k) * ACT_COLUMNS,
        to = from + ACT_COLUMNS;
    const ExpertRun *run = &e->runs[e->tile_run[tile]];
    int done = (tile - run->first_tile) * ACT_TILE_ROWS, left = run->n - done;
    return (ExpertPart){tile, run->first_slot + done, left < ACT_TILE_ROWS ? left : ACT_TILE_ROWS, from,
                        to < a->k ? to : a->k};
}

static void write_acts(const ExpertActs *a, const ExpertPart *p, int i, const float *row) {
    for (int f = 0; f < N_ACT_FORMATS; f++) {
        if (!a->wanted[f]) continue;
        char *tile = (char *)a->s->c->experts.acts[f] + (size_t)p->tile * act_tile_bytes((ActFormat)f, a->k);
        a->s->kernels->act_write[f](row, a->k, p->from, p->to, tile, i);
    }
}

static void gather_task(void *ctx, int task, int worker) {
    (void)worker;
    const ExpertActs *a = ctx;
    const ExpertScratch *e = &a->s->c->experts;
    ExpertPart p = expert_part(a, task);
    for (int i = 0; i < p.n; i++)
        write_acts(a, &p, i, e->normed + (size_t)e->slot_row[p.first + i] * (size_t)a->k);
}

static void expert_gate_task(void *ctx, int task, int worker) {
    (void)worker;
    const ExpertActs *a = ctx;
    const ModelContext *c = a->s->c;
    ExpertPart p = expert_part(a, task);
    for (int i = 0; i < p.n; i++) {
        float *gate = c->gate + (size_t)(p.first + i) * (size_t)a->k;
        const float *up = c->up + (size_t)(p.first + i) * (size_t)a->k;
        a->s->kernels->silu_mul(gate + p.from, up + p.from, p.to - p.from);
        write_acts(a, &p, i, gate);
    }
}

// ---- products -------------------------------------------------------------------------------

// One or two matrices of each expert, with its slots.
typedef struct ExpertProduct {
    const Share *s;
    const Mat *mats[2];
    float *out[2]; // [slots][n]
    int n_mats, n; // n: weight rows of one expert
    int pieces;    // tasks of an expert; run_expert_product sets it
} ExpertProduct;

static void expert_product_task(void *ctx, int task, int worker) {
    (void)worker;
    const ExpertProduct *p = ctx;
    const ExpertScratch *e = &p->s->c->experts;
    const ExpertRun *run = &e->runs[task / p->pieces];
    int panels = panels_of(p->n), first = workers_share(panels, task % p->pieces, p->pieces);
    for (int i = 0; i < p->n_mats; i++) {
        const Mat *m = p->mats[i];
        ActFormat act = m->kernel->act;
        size_t weights = (size_t)run->expert * (size_t)panels * m->kernel->panel_bytes(m->type, m->k);
        GemmArgs a = {
            .weights = (const char *)m->packed + weights,
            .n = p->n,
            .k = m->k,
            .panel = first,
            .n_panels = workers_share(panels, task % p->pieces + 1, p->pieces) - first,
            .acts = (const char *)e->acts[act] + (size_t)run->first_tile * act_tile_bytes(act, m->k),
            .m = run->n,
            .out = p->out[i] + (size_t)run->first_slot * (size_t)p->n,
            .out_stride = (size_t)p->n,
        };
        m->kernel->gemm(m->type, &a);
    }
}

static void run_expert_product(ExpertProduct p, int n_runs) {
    enum { TASKS_PER_WORKER = 8 };
    int wanted = share_n_workers(p.s) * TASKS_PER_WORKER;
    p.pieces = (wanted + n_runs - 1) / n_runs;
    if (p.pieces > panels_of(p.n)) p.pieces = panels_of(p.n);
    share_run(p.s, expert_product_task, &p, n_runs * p.pieces);
}

// ---- the whole ------------------------------------------------------------------------------

static void combine_task(void *ctx, int row, int worker) {
    (void)worker;
    const ModelContext *c = ((const Share *)ctx)->c;
    int used = c->model->hp.n_experts_used, n_embd = c->model->hp.n_embd;
    float *x = c->x + (size_t)row * (size_t)n_embd;
    for (int i = 0; i < used; i++) {
        const ExpertChoice *choice = &c->experts.choices[row * used + i];
        const float *out = c->experts.out + (size_t)choice->slot * (size_t)n_embd;
        for (int j = 0; j < n_embd; j++) x[j] += choice->weight * out[j];
    }
}

// Which experts compute each row.
static int route(Share *s, int *tiles) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    size_t n_experts = (size_t)c->model->hp.n_experts;
    run_norm((NormStage){.s = s, .weight = l->ffn_norm, .scale = 1, .keep = c->experts.normed},
             (const Mat *const[]){&l->router}, 1);
    Product p = {.s = s,
                 .mats = {&l->router},
                 .out = {c->experts.router},
                 .stride = {n_experts},
                 .n_mats = 1,
                 .m = s->n_rows};
    run_product(&p);
    share_run(s, choose_task, s, s->n_rows);
    return assign_slots(s, tiles);
}

void run_experts(Share *s) {
    ModelContext *c = s->c;
    const Layer *l = s->layer;
    const HyperParams *hp = &c->model->hp;
    CHECK(s->worker == TEAM && s->first_row == 0);
    int tiles, n_runs = route(s, &tiles);
    ExpertActs in = {.s = s, .k = hp->n_embd}, hidden = {.s = s, .k = hp->n_ff};
    in.wanted[l->gate.kernel->act] = in.wanted[l->up.kernel->act] = true;
    hidden.wanted[l->down.kernel->act] = true;
    share_run(s, gather_task, &in, tiles * column_shares(in.k));
    run_expert_product((ExpertProduct){s, {&l->gate, &l->up}, {c->gate, c->up}, 2, hp->n_ff, 0}, n_runs);
    share_run(s, expert_gate_task, &hidden, tiles * column_shares(hidden.k));
    run_expert_product((ExpertProduct){s, {&l->down}, {c->experts.out}, 1, hp->n_embd, 0}, n_runs);
    share_run(s, combine_task, s, s->n_rows);
}
