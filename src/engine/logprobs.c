#include "engine/logprobs.h"

#include "engine/logits.h"

#include <math.h>
#include <stdlib.h>

struct LogprobScratch {
    const Kernels *kernels;
    int32_t n_vocab, n_blocks;
    float max;
    double log_sum;
    float *x;          // [n_blocks * LOGITS_BLOCK] cleaned
    float *w;          // [n_blocks * LOGITS_BLOCK]
    float *block_max;  // [n_blocks]
    double *block_sum; // [n_blocks]
};

LogprobScratch *logprob_scratch_new(int32_t n_vocab, Err *err) {
    CpuRung rung;
    if (!cpu_rung(&rung, err)) return NULL;
    LogprobScratch *s = calloc(1, sizeof *s);
    if (!s) goto no_memory;
    s->kernels = kernels_get(rung);
    s->n_vocab = n_vocab;
    s->n_blocks = logits_n_blocks(n_vocab);
    size_t blocks = (size_t)s->n_blocks, n = blocks * LOGITS_BLOCK;
    s->x = malloc(n * sizeof s->x[0]);
    s->w = malloc(n * sizeof s->w[0]);
    s->block_max = malloc(blocks * sizeof s->block_max[0]);
    s->block_sum = malloc(blocks * sizeof s->block_sum[0]);
    if (s->x && s->w && s->block_max && s->block_sum) return s;
no_memory:
    logprob_scratch_free(s);
    err_set(err, ERR_NOMEM, "no memory for log-probabilities of %d tokens", n_vocab);
    return NULL;
}

void logprob_scratch_free(LogprobScratch *s) {
    if (!s) return;
    free(s->x);
    free(s->w);
    free(s->block_max);
    free(s->block_sum);
    free(s);
}

void logprobs_load(LogprobScratch *s, const float *logits) {
    s->max = logits_prepare(s->kernels, logits, s->n_vocab, s->x, s->block_max);
    if (s->max == -INFINITY) return;
    s->log_sum = log(s->kernels->weigh(s->x, s->n_blocks, s->max, logits_scale(1), s->w, s->block_sum));
}

static TokenLogprob at(const LogprobScratch *s, int32_t token) {
    if (s->x[token] == -INFINITY) return (TokenLogprob){token, -INFINITY};
    return (TokenLogprob){token, (float)((double)s->x[token] - (double)s->max - s->log_sum)};
}

// Tokens come in ascending order, so one that is only as likely as the last of the best stays behind it.
static int32_t insert(const LogprobScratch *s, int32_t *best, int32_t n, int32_t most, int32_t token) {
    int32_t i = n < most ? n : most - 1;
    for (; i > 0 && s->x[best[i - 1]] < s->x[token]; i--) best[i] = best[i - 1];
    best[i] = token;
    return n < most ? n + 1 : n;
}

static int32_t find_best(const LogprobScratch *s, int32_t most, int32_t *best) {
    int32_t n = 0;
    for (int32_t b = 0; b < s->n_blocks; b++) {
        float least = n < most ? -INFINITY : s->x[best[n - 1]];
        if (!(s->block_max[b] > least)) continue;
        for (int32_t i = b * LOGITS_BLOCK; i < (b + 1) * LOGITS_BLOCK; i++) {
            if (!(s->x[i] > least)) continue;
            n = insert(s, best, n, most, i);
            if (n == most) least = s->x[best[n - 1]];
        }
    }
    return n;
}

void logprobs_take(const LogprobScratch *s, int32_t token, int32_t n_top, TokenLogprob *out) {
    int32_t best[LOGPROBS_MAX_TOP];
    CHECK(n_top >= 0 && n_top <= LOGPROBS_MAX_TOP);
    int32_t n = n_top ? find_best(s, n_top, best) : 0;
    out[0] = at(s, token);
    for (int32_t i = 0; i < n_top; i++) out[1 + i] = i < n ? at(s, best[i]) : (TokenLogprob){-1, -INFINITY};
}
