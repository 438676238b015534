#include "engine/sched.h"

#include <stdlib.h>
#include <string.h>

bool sched_init(Sched *s, const EngineConfig *config, int32_t n_blocks, Err *err) {
    *s = (Sched){
        .max_running = config->max_running,
        .row_budget = config->row_budget,
        .prefill_chunk = config->prefill_chunk,
        .spec_rows = config->spec_rows,
    };
    if (!seq_line_init(&s->line, config->max_running + config->max_queue, err)) return false;
    if (!(s->pool = kv_pool_new(n_blocks, err))) goto fail;
    s->planned = calloc((size_t)s->max_running, sizeof s->planned[0]);
    s->seqs = calloc((size_t)s->max_running, sizeof s->seqs[0]);
    s->tokens = calloc((size_t)s->row_budget, sizeof s->tokens[0]);
    s->wants = calloc((size_t)s->row_budget, sizeof s->wants[0]);
    s->seen = calloc((size_t)n_blocks, 1);
    if (s->planned && s->seqs && s->tokens && s->wants && s->seen) return true;
    err_set(err, ERR_NOMEM, "no memory for the scheduler");
fail:
    sched_destroy(s);
    return false;
}

void sched_destroy(Sched *s) {
    CHECK(s->line.n == 0);
    free(s->seen);
    free(s->wants);
    free(s->tokens);
    free(s->seqs);
    free(s->planned);
    kv_pool_free(s->pool);
    seq_line_destroy(&s->line);
    *s = (Sched){0};
}

void sched_add(Sched *s, Seq *q) {
    seq_line_push(&s->line, q);
}

Seq *sched_find(const Sched *s, uint64_t id) {
    int32_t i = seq_line_find(&s->line, id);
    return i < 0 ? NULL : s->line.at[i];
}

void sched_remove(Sched *s, Seq *q) {
    int32_t i = seq_line_find(&s->line, q->id);
    CHECK(i >= 0 && s->line.at[i] == q);
    seq_drop_blocks(q, s->pool);
    seq_line_remove(&s->line, i);
    if (i < s->n_running) s->n_running--;
}

static void admit(Sched *s) {
    int32_t available = kv_pool_n_free(s->pool);
    for (int32_t i = 0; i < s->n_running; i++) {
        const Seq *q = s->line.at[i];
        int32_t lacks = seq_blocks_for(q->len) - q->n_blocks;
        if (lacks > 0) available -= lacks;
    }
    while (s->n_running < s->max_running && s->n_running < s->line.n) {
        int32_t needs = seq_blocks_for(s->line.at[s->n_running]->len);
        if (s->n_running > 0 && available < needs + s->n_running) return;
        available -= needs;
        s->n_running++;
    }
}

static int32_t missing(const Seq *q) {
    return q->len - q->computed;
}

// Moves the youngest that runs back among those that wait; returns the rows it gives up.
static int32_t preempt_youngest(Sched *s) {
    Seq *victim = s->line.at[--s->n_running];
    int32_t rows = victim->n_rows;
    seq_drop_blocks(victim, s->pool);
    s->n_preemptions++;
    return rows;
}

// Plans up to `want` rows for the sequence at `index`; *budget pays for them.
static void grant(Sched *s, int32_t index, int32_t want, int32_t *budget) {
    Seq *q = s->line.at[index];
    while (q->n_blocks < seq_blocks_for(q->computed + want)) {
        if (seq_take_block(q, s->pool)) continue;
        if (index == s->n_running - 1) break;
        *budget += preempt_youngest(s);
    }
    int32_t covered = q->n_blocks * KV_BLOCK_TOKENS - q->computed;
    q->n_rows = want < covered ? want : covered;
    CHECK(index > 0 || q->n_rows > 0);
    *budget -= q->n_rows;
}

static void hand_out_rows(Sched *s) {
    int32_t budget = s->row_budget;
    for (int32_t i = 0; i < s->n_running; i++) s->line.at[i]->n_rows = s->line.at[i]->n_draft = 0;
    for (int32_t i = 0; i < s->n_running; i++)
        if (missing(s->line.at[i]) == 1) grant(s, i, 1, &budget);
    for (int32_t i = 0; i < s->n_running && budget > 0; i++) {
        int32_t want = missing(s->line.at[i]);
        if (want == 1) continue;
        if (want > s->prefill_chunk) want = s->prefill_chunk;
        grant(s, i, want < budget ? want : budget, &budget);
    }
}

// Guesses behind the known tokens, at most `most`; returns how many. The token that the last of them
// leads to is one too, and max_tokens is not to be exceeded.
static int32_t draft(Sched *s, Seq *q, int32_t most) {
    int32_t room = q->n_prompt + q->max_tokens - q->len - 1;
    int32_t n = draft_propose(q->drafter, q->tokens, q->len, most < room ? most : room);
    while (q->n_blocks < seq_blocks_for(q->len + n) && seq_take_block(q, s->pool)) {
    }
    int32_t covered = q->n_blocks * KV_BLOCK_TOKENS - q->len;
    q->n_draft = n < covered ? n : covered;
    q->n_rows += q->n_draft;
    return q->n_draft;
}

static void fill_with_drafts(Sched *s) {
    int32_t spare = s->spec_rows - s->n_running;
    for (int32_t i = 0; i < s->n_running && spare > 0; i++)
        if (missing(s->line.at[i]) != 1 || s->line.at[i]->n_rows != 1) return;
    for (int32_t i = 0; i < s->n_running && spare > 0; i++) {
        int32_t sharing = s->n_running - i;
        spare -= draft(s, s->line.at[i], (spare + sharing - 1) / sharing);
    }
}

// A sampler lists the tokens that it must see for its next choice only: the rows behind guesses are whole.
static void want_logits(const Seq *q, int32_t n, LogitsWant *wants) {
    for (int32_t i = 0; i < n; i++) wants[i] = i == 0 ? sampler_want(q->sampler) : (LogitsWant){0};
}

static void lay_out(Sched *s) {
    Batch *b = &s->batch;
    *b = (Batch){.tokens = s->tokens, .seqs = s->seqs, .wants = s->wants};
    for (int32_t i = 0; i < s->n_running; i++) {
        Seq *q = s->line.at[i];
        if (q->n_rows == 0) continue;
        int32_t behind = q->computed + q->n_rows - q->len; // rows behind the last known token's
        int32_t n_logits = behind < 0 ? 0 : behind + 1;
        s->planned[b->n_seqs] = q;
        s->seqs[b->n_seqs++] = (BatchSeq){q->blocks, q->computed, q->n_rows, b->n_rows, n_logits};
        memcpy(s->tokens + b->n_rows, q->tokens + q->computed, (size_t)q->n_rows * sizeof s->tokens[0]);
        b->n_rows += q->n_rows;
        want_logits(q, n_logits, s->wants + b->n_logits);
        b->n_logits += n_logits;
    }
}

const Batch *sched_plan(Sched *s) {
    admit(s);
    hand_out_rows(s);
    fill_with_drafts(s);
    lay_out(s);
    return &s->batch;
}

static void check_seq(const Sched *s, const Seq *q, bool runs) {
    CHECK(q->len >= q->n_prompt && q->len <= q->n_prompt + q->max_tokens);
    CHECK(q->computed >= 0 && q->computed < q->len);
    CHECK(q->computed <= q->n_blocks * KV_BLOCK_TOKENS);
    CHECK(q->n_blocks <= seq_blocks_for(q->len));
    CHECK(runs || (q->n_blocks == 0 && q->computed == 0 && q->n_rows == 0));
    for (int32_t k = 0; k < q->n_blocks; k++) {
        CHECK(q->blocks[k] >= 0 && q->blocks[k] < kv_pool_n_blocks(s->pool));
        CHECK(!s->seen[q->blocks[k]]); // a block belongs to one sequence
        s->seen[q->blocks[k]] = 1;
    }
}

void sched_check(const Sched *s) {
    int32_t held = 0;
    CHECK(s->n_running >= 0 && s->n_running <= s->max_running && s->n_running <= s->line.n);
    memset(s->seen, 0, (size_t)kv_pool_n_blocks(s->pool));
    for (int32_t i = 0; i < s->line.n; i++) {
        CHECK(i == 0 || s->line.at[i - 1]->id < s->line.at[i]->id);
        check_seq(s, s->line.at[i], i < s->n_running);
        held += s->line.at[i]->n_blocks;
    }
    CHECK(held == kv_pool_n_blocks(s->pool) - kv_pool_n_free(s->pool));
    kv_pool_check(s->pool);
}
