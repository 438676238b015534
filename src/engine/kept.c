#include "engine/kept.h"

#include "engine/logits.h"
#include "kernels/order.h"

#include <math.h>
#include <stdlib.h>

static int bits_of(uint32_t n) {
    int bits = 0;
    for (; n; n >>= 1) bits++;
    return bits;
}

static bool allocate(SamplerScratch *s) {
    size_t n = (size_t)s->n_blocks * LOGITS_BLOCK, blocks = (size_t)s->n_blocks;
    s->x = malloc(n * sizeof s->x[0]);
    s->w = malloc(n * sizeof s->w[0]);
    s->found = malloc(n * sizeof s->found[0]);
    s->keys = malloc(n * sizeof s->keys[0]);
    s->weights = malloc(n * sizeof s->weights[0]);
    s->block_max = malloc(blocks * sizeof s->block_max[0]);
    s->block_sum = malloc(blocks * sizeof s->block_sum[0]);
    s->select.keys = malloc(n * sizeof s->select.keys[0]);
    s->select.weights = malloc(n * sizeof s->select.weights[0]);
    s->select.sums = malloc(2 * SELECT_DIGITS * sizeof s->select.sums[0]);
    return s->x && s->w && s->found && s->keys && s->weights && s->block_max && s->block_sum &&
           s->select.keys && s->select.weights && s->select.sums;
}

SamplerScratch *sampler_scratch_new(int32_t n_vocab, Err *err) {
    CpuRung rung;
    if (!cpu_rung(&rung, err)) return NULL;
    if (n_vocab < 1 || n_vocab > INT32_MAX / 64) {
        err_set(err, ERR_INVALID, "sampler: a vocabulary of %d tokens", n_vocab);
        return NULL;
    }
    SamplerScratch *s = calloc(1, sizeof *s);
    if (s) {
        s->n_vocab = n_vocab;
        s->n_blocks = logits_n_blocks(n_vocab);
        s->id_bits = bits_of((uint32_t)n_vocab - 1);
        s->kernels = kernels_get(rung);
        if (allocate(s)) return s;
    }
    sampler_scratch_free(s);
    err_set(err, ERR_NOMEM, "sampler: no memory for a vocabulary of %d tokens", n_vocab);
    return NULL;
}

void sampler_scratch_free(SamplerScratch *s) {
    if (!s) return;
    free(s->x);
    free(s->w);
    free(s->found);
    free(s->keys);
    free(s->weights);
    free(s->block_max);
    free(s->block_sum);
    free(s->select.keys);
    free(s->select.weights);
    free(s->select.sums);
    free(s);
}

static int32_t load_all(SamplerScratch *s, const float *logits) {
    s->max = logits_prepare(s->kernels, logits, s->n_vocab, s->x, s->block_max);
    int32_t b = 0;
    while (s->block_max[b] != s->max) b++;
    int32_t i = b * LOGITS_BLOCK;
    while (s->x[i] != s->max) i++;
    return i;
}

// Candidates and listed tokens, merged into the order of the ids.
static int32_t load_few(SamplerScratch *s, const LogitsRow *row) {
    int32_t c = 0, l = 0, n = 0, best = 0;
    s->n_found = row->n_candidates + row->n_listed;
    s->max = -INFINITY;
    CHECK(s->n_found <= s->n_vocab);
    for (; n < s->n_found; n++) {
        bool listed =
            c == row->n_candidates || (l < row->n_listed && row->listed[l] < row->candidates[c].token);
        s->found[n] = listed ? row->listed[l] : row->candidates[c].token;
        s->x[n] = logit_clean(listed ? row->listed_logits[l] : row->candidates[c].logit);
        if (s->x[n] > s->max) s->max = s->x[n], best = s->found[n];
        l += listed, c += !listed;
    }
    return best;
}

int32_t kept_load(SamplerScratch *s, const LogitsRow *row) {
    s->few = !row->all;
    return s->few ? load_few(s, row) : load_all(s, row->all);
}

static uint64_t distance_key(const SamplerScratch *s, float logit, int32_t id) {
    return (uint64_t)(logit_order(s->max) - logit_order(logit)) << s->id_bits | (uint64_t)id;
}

static float key_logit(const SamplerScratch *s, uint64_t key) {
    return logit_at_order(logit_order(s->max) - (uint32_t)(key >> s->id_bits));
}

// The tokens at or above `threshold` (-inf never counts) become keys, in id order.
static void gather(SamplerScratch *s, float threshold) {
    int32_t n = 0;
    if (!(threshold >= -FLT_MAX)) threshold = -FLT_MAX;
    for (int32_t b = 0; b < s->n_blocks; b++) {
        if (s->block_max[b] < threshold) continue;
        int32_t end = b + 1;
        while (end < s->n_blocks && s->block_max[end] >= threshold) end++;
        n += s->kernels->collect(s->x, b * LOGITS_BLOCK, end * LOGITS_BLOCK, threshold, s->found + n);
        b = end;
    }
    for (int32_t k = 0; k < n; k++) s->keys[k] = distance_key(s, s->x[s->found[k]], s->found[k]);
    s->n = n;
}

static void gather_found(SamplerScratch *s) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_found; i++) {
        s->keys[n] = distance_key(s, s->x[i], s->found[i]);
        n += s->x[i] > -INFINITY;
    }
    s->n = n;
}

static double weigh_row(SamplerScratch *s) {
    return s->kernels->weigh(s->x, s->n_blocks, s->max, s->scale, s->w, s->block_sum);
}

// Gives the gathered tokens their weights; those with none are left out. Many are weighed faster
// with the whole row, to the same bits.
static void weigh(SamplerScratch *s, bool row_is_weighed) {
    int32_t n = 0;
    if (!row_is_weighed && !s->few && s->n > s->n_vocab / 8) {
        weigh_row(s);
        row_is_weighed = true;
    }
    for (int32_t k = 0; k < s->n; k++) {
        float weight = row_is_weighed ? s->w[kept_id(s, k)]
                                      : logits_weight((key_logit(s, s->keys[k]) - s->max) * s->scale);
        s->keys[n] = s->keys[k];
        s->weights[n] = weight;
        n += weight > 0;
    }
    s->n = n;
}

static void cut(SamplerScratch *s, uint64_t last_key) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n; i++) {
        s->keys[n] = s->keys[i];
        s->weights[n] = s->weights[i];
        n += s->keys[i] <= last_key;
    }
    s->n = n;
}

static void cut_unweighed(SamplerScratch *s, uint64_t last_key) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n; i++) {
        s->keys[n] = s->keys[i];
        n += s->keys[i] <= last_key;
    }
    s->n = n;
}

// A logit that at least k tokens reach, as high as the blocks' maxima can tell.
static float top_k_bound(SamplerScratch *s, int32_t k) {
    if (k > s->n_blocks) return -INFINITY;
    for (int32_t b = 0; b < s->n_blocks; b++) s->keys[b] = distance_key(s, s->block_max[b], b);
    uint64_t key = select_cut(&s->select, s->keys, NULL, s->n_blocks, (double)k);
    return s->block_max[key & ((UINT64_C(1) << s->id_bits) - 1)];
}

static void keep_top_k(SamplerScratch *s, int32_t k) {
    if (s->few)
        gather_found(s);
    else
        gather(s, top_k_bound(s, k));
    if (s->n > k) cut_unweighed(s, select_cut(&s->select, s->keys, NULL, s->n, (double)k));
    weigh(s, false);
}

// The logit at which a token weighs `weight` times the largest, lowered a little so that rounding
// here excludes nobody: the exact test follows.
static float logit_at(const SamplerScratch *s, double weight) {
    double distance = (log2(weight) - 1e-3) / (double)s->scale;
    return nextafterf((float)((double)s->max + distance), -INFINITY);
}

static double sum_weights(const SamplerScratch *s) {
    double sum = 0;
    for (int32_t i = 0; i < s->n; i++) sum += (double)s->weights[i];
    return sum;
}

// Gathers a superset of the top_p set. A few of the heaviest tokens mostly reach the target, so
// bounds are tried from above; the last one needs no trial.
static void gather_top_p(SamplerScratch *s, double total, double top_p) {
    double last = (1 - top_p) * total / s->n_vocab;
    for (double bound = 0x1p-7; bound > last; bound *= 0x1p-7) {
        gather(s, logit_at(s, bound));
        weigh(s, true);
        if (sum_weights(s) >= top_p * total) return;
    }
    gather(s, logit_at(s, last));
    weigh(s, true);
}

static void keep_top_p(SamplerScratch *s, double total, double top_p) {
    cut(s, select_cut(&s->select, s->keys, s->weights, s->n, top_p * total));
}

static void keep_min_p(SamplerScratch *s, float min_p) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n; i++) {
        s->keys[n] = s->keys[i];
        s->weights[n] = s->weights[i];
        n += s->weights[i] >= min_p;
    }
    s->n = n;
}

static void filter(SamplerScratch *s, const SamplingParams *p, bool top_k) {
    double total = 0;
    if (top_k) {
        keep_top_k(s, p->top_k);
        total = sum_weights(s);
    } else if (p->top_p < 1) {
        total = weigh_row(s);
        gather_top_p(s, total, p->top_p);
    } else {
        gather(s, logit_at(s, p->min_p));
        weigh(s, false);
    }
    if (p->top_p < 1) keep_top_p(s, total, p->top_p);
    if (p->min_p > 0) keep_min_p(s, p->min_p);
}

void kept_filter(SamplerScratch *s, const SamplingParams *p) {
    CHECK(s->max > -INFINITY && p->temperature > 0);
    bool top_k = p->top_k > 0 && p->top_k < s->n_vocab;
    CHECK(top_k || !s->few);
    s->scale = logits_scale(p->temperature);
    s->all = !top_k && p->top_p == 1 && p->min_p == 0;
    if (s->all) {
        weigh_row(s);
        return;
    }
    filter(s, p, top_k);
    for (int32_t i = s->n; i % LOGITS_BLOCK; i++) s->weights[i] = 0;
    logits_sum(s->weights, logits_n_blocks(s->n), s->block_sum);
}

// What the tokens in blocks [first, end) with logits of at least `least` weigh.
static double weight_from(const SamplerScratch *s, int32_t first, int32_t end, float least) {
    size_t at = (size_t)first * LOGITS_BLOCK;
    return s->kernels->sum_from(s->x + at, s->w + at, s->block_max + first, end - first, least);
}

// What the tokens with smaller keys than `id`'s weigh: larger logits, and equal ones of lower ids.
static double weight_before(const SamplerScratch *s, int32_t id) {
    float x = s->x[id];
    int32_t block = id / LOGITS_BLOCK, first = block * LOGITS_BLOCK;
    double sum = weight_from(s, 0, block, x);
    for (int32_t i = first; i < first + LOGITS_BLOCK; i++)
        if (s->x[i] > x || (s->x[i] == x && i < id)) sum += (double)s->w[i];
    return sum + weight_from(s, block + 1, s->n_blocks, nextafterf(x, INFINITY));
}

int32_t kept_draw_top_p(SamplerScratch *s, const SamplingParams *p, Rng *rng) {
    enum { DRAWS = 3 };
    CHECK(s->max > -INFINITY && p->temperature > 0);
    s->scale = logits_scale(p->temperature);
    s->all = true;
    double target = p->top_p * weigh_row(s);
    for (int draw = 0; draw < DRAWS; draw++) {
        int32_t id = kept_draw(s, rng_uniform(rng));
        if (s->w[id] >= p->min_p && weight_before(s, id) < target) return id;
    }
    return -1;
}

// Whole blocks are skipped by their sums. If rounding leaves u out, it is the last token with weight.
int32_t kept_draw(const SamplerScratch *s, double u) {
    const float *weights = s->all ? s->w : s->weights;
    int32_t n_blocks = s->all ? s->n_blocks : logits_n_blocks(s->n), block = -1, at = 0;
    double total = 0, sum = 0;
    for (int32_t b = 0; b < n_blocks; b++) total += s->block_sum[b];
    for (int32_t b = 0; b < n_blocks; b++) {
        if (s->block_sum[b] == 0) continue;
        if (block >= 0) sum += s->block_sum[block];
        block = b;
        if (sum + s->block_sum[b] > u * total) break;
    }
    CHECK(block >= 0);
    for (int32_t i = block * LOGITS_BLOCK; i < (block + 1) * LOGITS_BLOCK; i++) {
        if (weights[i] == 0) continue;
        at = i;
        sum += (double)weights[i];
        if (sum > u * total) break;
    }
    return s->all ? at : kept_id(s, at);
}
