#include "model/head.h"

#include "base/num.h"
#include "kernels/packed.h"
#include "model/context.h"

#include <math.h>
#include <string.h>

enum { PANELS = HEAD_COLUMNS / PANEL_ROWS }; // of a strip

typedef struct Head {
    ModelContext *c;
    const Mat *m;
    int n_rows, n_panels, n_strips, n_tasks;
} Head;

static HeadRow *head_row(const Head *h, int row, int worker) {
    return &h->c->head_rows[(size_t)worker * (size_t)h->c->config.max_logits + (size_t)row];
}

// The listed logits of a row stand where the row itself would.
static void begin_row(const Head *h, int row, const LogitsWant *want) {
    ModelContext *c = h->c;
    float *logits = c->logits + (size_t)row * (size_t)h->m->n;
    c->logits_rows[row] = (LogitsRow){.all = logits};
    if (!want || !want->n_candidates) return;
    CHECK(want->n_listed >= 0 && want->n_listed <= h->m->n);
    c->logits_rows[row] = (LogitsRow){
        .candidates = c->candidates + (size_t)row * MOST_CANDIDATES,
        .listed = want->listed,
        .listed_logits = logits,
        .n_listed = want->n_listed,
    };
    for (int worker = 0; worker < workers_count(c->workers); worker++)
        largest_begin(&head_row(h, row, worker)->largest, want->n_candidates);
}

static int32_t first_listed(const LogitsRow *row, int32_t token) {
    int32_t low = 0, high = row->n_listed;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (row->listed[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void compute_strip(const Head *h, int strip, float *out, size_t out_stride) {
    const Mat *m = h->m;
    int panel = strip * PANELS, left = h->n_panels - panel;
    size_t panel_bytes = m->kernel->panel_bytes(m->type, m->k);
    GemmArgs a = {
        .weights = (const char *)m->packed + (size_t)panel * panel_bytes,
        .n = m->n - strip * HEAD_COLUMNS,
        .k = m->k,
        .n_panels = left < PANELS ? left : PANELS,
        .acts = h->c->acts[m->kernel->act],
        .m = h->n_rows,
        .out = out,
        .out_stride = out_stride,
    };
    m->kernel->gemm(m->type, &a);
}

// Moves the listed tokens of a strip out of it, so that they are no candidates.
static void take_listed(const LogitsRow *row, HeadRow *h, float *logits, int32_t first, int32_t n) {
    for (int32_t i; (i = h->next_listed) < row->n_listed && row->listed[i] < first + n; h->next_listed++) {
        row->listed_logits[i] = logits[row->listed[i] - first];
        logits[row->listed[i] - first] = -INFINITY;
    }
}

static void take_strip(const Head *h, int strip, float *logits, int worker) {
    const ModelContext *c = h->c;
    int32_t first = strip * HEAD_COLUMNS, n = h->m->n - first < HEAD_COLUMNS ? h->m->n - first : HEAD_COLUMNS;
    for (int r = 0; r < h->n_rows; r++, logits += HEAD_STRIDE) {
        const LogitsRow *row = &c->logits_rows[r];
        if (row->all) {
            memcpy(row->all + first, logits, (size_t)n * sizeof *logits);
            continue;
        }
        HeadRow *own = head_row(h, r, worker);
        take_listed(row, own, logits, first, n);
        largest_add(&own->largest, c->model->weights.kernels, logits, n, first);
    }
}

static void strips_task(void *ctx, int task, int worker) {
    const Head *h = ctx;
    float *out = h->c->strips + (size_t)worker * (size_t)h->c->config.max_logits * HEAD_STRIDE;
    int strip = workers_share(h->n_strips, task, h->n_tasks);
    for (int r = 0; r < h->n_rows; r++) {
        const LogitsRow *row = &h->c->logits_rows[r];
        head_row(h, r, worker)->next_listed = first_listed(row, strip * HEAD_COLUMNS);
    }
    for (int end = workers_share(h->n_strips, task + 1, h->n_tasks); strip < end; strip++) {
        compute_strip(h, strip, out, HEAD_STRIDE);
        take_strip(h, strip, out, worker);
    }
}

static void whole_task(void *ctx, int task, int worker) {
    (void)worker;
    const Head *h = ctx;
    int strip = workers_share(h->n_strips, task, h->n_tasks),
        end = workers_share(h->n_strips, task + 1, h->n_tasks);
    for (; strip < end; strip++)
        compute_strip(h, strip, h->c->logits + (size_t)strip * HEAD_COLUMNS, (size_t)h->m->n);
}

static void merge_task(void *ctx, int r, int worker) {
    (void)worker;
    const Head *h = ctx;
    LogitsRow *row = &h->c->logits_rows[r];
    if (row->all) return;
    Largest *best = &head_row(h, r, 0)->largest;
    for (int w = 1; w < workers_count(h->c->workers); w++) largest_merge(best, &head_row(h, r, w)->largest);
    row->n_candidates = largest_take(best, h->c->candidates + (size_t)r * MOST_CANDIDATES);
}

void head_run(ModelContext *c, const Batch *b) {
    enum { TASKS_PER_WORKER = 8 }; // as other products
    const Mat *m = &c->model->weights.output;
    Head h = {.c = c, .m = m, .n_rows = b->n_logits, .n_panels = (int)num_div_up((size_t)m->n, PANEL_ROWS)};
    h.n_strips = (int)num_div_up((size_t)m->n, HEAD_COLUMNS);
    h.n_tasks = workers_count(c->workers) * TASKS_PER_WORKER;
    if (h.n_tasks > h.n_strips) h.n_tasks = h.n_strips;
    bool all_whole = true;
    for (int r = 0; r < h.n_rows; r++) {
        begin_row(&h, r, b->wants ? &b->wants[r] : NULL);
        all_whole = all_whole && c->logits_rows[r].all;
    }
    workers_run(c->workers, all_whole ? whole_task : strips_task, &h, h.n_tasks);
    if (!all_whole) workers_run(c->workers, merge_task, &h, h.n_rows);
}
