#include "fake_model.h"

#include "base/err.h"
#include "base/rng.h"
#include "kernels/order.h"

#include <stdlib.h>

static uint64_t mix(uint64_t hash, int32_t token, int32_t position) {
    Rng r = {hash ^ ((uint64_t)(uint32_t)token << 32 | (uint32_t)position)};
    return rng_next(&r);
}

static void fill(uint64_t hash, int32_t first, int32_t last, int32_t n_vocab, float *logits) {
    Rng r = {hash};
    for (int32_t v = 0; v < n_vocab; v++) logits[v] = (float)(rng_uniform(&r) * 8 - 4);
    if (first % 2) logits[(last + 1) % 7] += 7;
}

void fake_logits(const int32_t *tokens, int32_t n, int32_t n_vocab, float *logits) {
    uint64_t hash = 0;
    for (int32_t i = 0; i < n; i++) hash = mix(hash, tokens[i], i);
    fill(hash, tokens[0], tokens[n - 1], n_vocab, logits);
}

static int32_t largest_of(const float *logits, int32_t n) {
    int32_t best = 0;
    for (int32_t v = 1; v < n; v++)
        if (logit_clean(logits[v]) > logit_clean(logits[best])) best = v;
    return best;
}

static void insert_by_token(Candidate *sorted, int32_t n, Candidate c) {
    for (; n > 0 && sorted[n - 1].token > c.token; n--) sorted[n] = sorted[n - 1];
    sorted[n] = c;
}

LogitsRow fake_row(float *logits, int32_t n_vocab, const LogitsWant *want, float *listed,
                   Candidate *candidates) {
    if (!want || !want->n_candidates) return (LogitsRow){.all = logits};
    for (int32_t i = 0; i < want->n_listed; i++) {
        CHECK(i == 0 || want->listed[i - 1] < want->listed[i]);
        listed[i] = logits[want->listed[i]];
        logits[want->listed[i]] = -INFINITY;
    }
    LogitsRow row = {.candidates = candidates,
                     .listed = want->listed,
                     .listed_logits = listed,
                     .n_listed = want->n_listed};
    while (row.n_candidates < want->n_candidates) {
        int32_t best = largest_of(logits, n_vocab);
        float logit = logit_clean(logits[best]);
        if (logit == -INFINITY) break;
        insert_by_token(candidates, row.n_candidates++, (Candidate){best, logit});
        logits[best] = -INFINITY;
    }
    return row;
}

static int32_t *cell(FakeModel *m, const BatchSeq *s, int32_t position) {
    int32_t block = s->blocks[position / KV_BLOCK_TOKENS];
    return &m->memory[block * KV_BLOCK_TOKENS + position % KV_BLOCK_TOKENS];
}

// Every block of every sequence in the step is in range, and no two write to the same.
static void note_written(FakeModel *m, const BatchSeq *s, int32_t index) {
    for (int32_t k = 0; k * KV_BLOCK_TOKENS < s->start + s->n_rows; k++) {
        CHECK(s->blocks[k] >= 0 && s->blocks[k] < m->step.n_blocks);
        if ((k + 1) * KV_BLOCK_TOKENS <= s->start) continue;
        CHECK(m->writer[s->blocks[k]] >> 16 != m->n_calls);
        m->writer[s->blocks[k]] = m->n_calls << 16 | (uint64_t)index;
    }
}

// Nobody reads what another one writes in the same step.
static void check_read(const FakeModel *m, const BatchSeq *s, int32_t index) {
    for (int32_t k = 0; k * KV_BLOCK_TOKENS < s->start + s->n_rows; k++) {
        uint64_t writer = m->writer[s->blocks[k]];
        CHECK(writer >> 16 != m->n_calls || (writer & 0xffff) == (uint64_t)index);
    }
}

static void store_rows(FakeModel *m, const Batch *b, const BatchSeq *s) {
    CHECK(s->start >= 0 && s->n_rows >= 1 && s->start + s->n_rows <= m->step.max_context);
    CHECK(s->n_logits >= 0 && s->n_logits <= s->n_rows);
    for (int32_t i = 0; i < s->n_rows; i++) {
        int32_t token = b->tokens[s->first_row + i];
        CHECK(token >= 0 && token < m->step.n_vocab);
        *cell(m, s, s->start + i) = token;
    }
}

static void follow_script(FakeModel *m, const BatchSeq *s, int32_t position, float *out) {
    const FakeScript *script = atomic_load(&m->script);
    int32_t mark = position;
    if (!script) return;
    while (mark > 0 && *cell(m, s, mark) != script->mark) mark--;
    if (position - mark < script->n) out[script->ids[position - mark]] += 100;
}

static float *compute(FakeModel *m, const BatchSeq *s, float *out) {
    uint64_t hash = 0;
    int32_t end = s->start + s->n_rows;
    for (int32_t i = 0; i < end; i++) {
        hash = mix(hash, *cell(m, s, i), i);
        if (i < end - s->n_logits) continue;
        fill(hash, *cell(m, s, 0), *cell(m, s, i), m->step.n_vocab, out);
        follow_script(m, s, i, out);
        out += m->step.n_vocab;
    }
    return out;
}

// As model/pool.h, where the hidden state of a token is the token and its position.
static void pool(const Batch *b, const BatchSeq *s) {
    if (s->pooling == POOLING_NONE) return;
    CHECK(s->pooling == POOLING_MEAN);
    if (s->start == 0) s->pooled[0] = s->pooled[1] = 0;
    for (int32_t i = 0; i < s->n_rows; i++) {
        s->pooled[0] += b->tokens[s->first_row + i];
        s->pooled[1] += s->start + i;
    }
}

static void give_rows(FakeModel *m, const Batch *b) {
    size_t n_vocab = (size_t)m->step.n_vocab;
    for (size_t i = 0; i < (size_t)b->n_logits; i++)
        m->rows[i] = fake_row(m->logits + i * n_vocab, m->step.n_vocab, b->wants ? &b->wants[i] : NULL,
                              m->listed + i * n_vocab, m->candidates + i * MOST_CANDIDATES);
}

static const LogitsRow *forward(void *self, const Batch *b) {
    FakeModel *m = self;
    int32_t rows = 0, n_logits = 0;
    m->n_calls++;
    CHECK(b->n_rows >= 1 && b->n_rows <= m->step.max_rows && b->n_logits <= m->step.max_logits);
    m->n_rows = b->n_rows;
    if (b->n_rows > m->most_rows) m->most_rows = b->n_rows;
    for (int32_t i = 0; i < b->n_seqs; i++) {
        CHECK(b->seqs[i].first_row == rows);
        rows += b->seqs[i].n_rows;
        n_logits += b->seqs[i].n_logits;
        note_written(m, &b->seqs[i], i);
        store_rows(m, b, &b->seqs[i]);
        pool(b, &b->seqs[i]);
    }
    CHECK(rows == b->n_rows && n_logits == b->n_logits);
    for (int32_t i = 0; i < b->n_seqs; i++) check_read(m, &b->seqs[i], i);
    float *out = m->logits;
    for (int32_t i = 0; i < b->n_seqs; i++) out = compute(m, &b->seqs[i], out);
    give_rows(m, b);
    if (m->called) m->called(m->ctx);
    return m->rows;
}

FakeModel *fake_model_new(int32_t n_vocab, int32_t max_context, int32_t n_blocks, int32_t max_rows) {
    FakeModel *m = calloc(1, sizeof *m);
    CHECK(m);
    m->step = (StepModel){.self = m,
                          .n_vocab = n_vocab,
                          .n_embd = FAKE_EMBD,
                          .max_context = max_context,
                          .max_rows = max_rows,
                          .max_logits = max_rows,
                          .n_blocks = n_blocks,
                          .forward = forward};
    size_t cells = (size_t)n_blocks * KV_BLOCK_TOKENS;
    m->memory = malloc(cells * sizeof m->memory[0]);
    m->writer = calloc((size_t)n_blocks, sizeof m->writer[0]);
    size_t n_logits = (size_t)max_rows * (size_t)n_vocab;
    m->logits = malloc(n_logits * sizeof m->logits[0]);
    m->listed = malloc(n_logits * sizeof m->listed[0]);
    m->candidates = malloc((size_t)max_rows * MOST_CANDIDATES * sizeof m->candidates[0]);
    m->rows = malloc((size_t)max_rows * sizeof m->rows[0]);
    CHECK(m->memory && m->writer && m->logits && m->listed && m->candidates && m->rows);
    for (size_t i = 0; i < cells; i++) m->memory[i] = -1;
    return m;
}

void fake_model_free(FakeModel *m) {
    if (!m) return;
    free(m->memory);
    free(m->writer);
    free(m->logits);
    free(m->listed);
    free(m->candidates);
    free(m->rows);
    free(m);
}
