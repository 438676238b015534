#include "engine/sched.h"

#include <stdlib.h>
#include <string.h>

bool sched_init(Sched *s, const EngineConfig *config, const StepModel *model, Err *err) {
    int32_t n_blocks = model->n_blocks;
    *s = (Sched){
        .max_running = config->max_running,
        .row_budget = config->row_budget,
        .prefill_chunk = config->prefill_chunk,
        .spec_rows = config->spec_rows,
        .decode_share = config->decode_share,
        .max_logits = model->max_logits,
    };
    if (!seq_line_init(&s->line, config->max_running + config->max_queue, err)) return false;
    if (!(s->pool = kv_pool_new(n_blocks, config->prefix_blocks, err))) goto fail;
    if (config->prefix_cache && !(s->prefix = kv_prefix_new(n_blocks, err))) goto fail;
    s->planned = calloc((size_t)s->max_running, sizeof s->planned[0]);
    s->seqs = calloc((size_t)s->max_running, sizeof s->seqs[0]);
    s->tokens = calloc((size_t)s->row_budget, sizeof s->tokens[0]);
    s->wants = calloc((size_t)s->row_budget, sizeof s->wants[0]);
    s->seen = calloc((size_t)n_blocks, sizeof s->seen[0]);
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
    kv_prefix_free(s->prefix);
    kv_pool_free(s->pool);
    seq_line_destroy(&s->line);
    *s = (Sched){0};
}

static SeqPlace place_of(const Seq *q) {
    return (SeqPlace){q->rank, q->id};
}

static bool is_before(SeqPlace a, SeqPlace b) {
    return a.rank < b.rank || (a.rank == b.rank && a.id < b.id);
}

// Index of the first in line that does not stand before this place.
static int32_t index_of(const Sched *s, SeqPlace at) {
    int32_t low = 0, high = s->line.n;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (is_before(place_of(s->line.at[middle]), at))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void set_running(Sched *s, Seq *q, bool runs) {
    s->n_running += runs ? 1 : -1;
    atomic_store_explicit(&q->runs, runs, memory_order_relaxed);
}

static void preempt_last(Sched *s) {
    Seq *victim = s->line.at[s->n_running - 1];
    set_running(s, victim, false);
    if (victim->n_blocks == 0) return; // let in only now
    victim->resumed = true;
    seq_drop_blocks(victim, s->pool);
    s->n_preemptions++;
}

void sched_add(Sched *s, Seq *q) {
    int32_t i = index_of(s, place_of(q));
    seq_line_insert(&s->line, i, q);
    if (i >= s->n_running) return;
    set_running(s, q, true);
    if (s->n_running > s->max_running) preempt_last(s);
}

Seq *sched_find(const Sched *s, SeqPlace at) {
    int32_t i = index_of(s, at);
    return i < s->line.n && s->line.at[i]->id == at.id ? s->line.at[i] : NULL;
}

void sched_remove(Sched *s, Seq *q) {
    int32_t i = index_of(s, place_of(q));
    CHECK(i < s->line.n && s->line.at[i] == q);
    seq_drop_blocks(q, s->pool);
    seq_line_remove(&s->line, i);
    if (i < s->n_running) set_running(s, q, false);
}

static int32_t missing(const Seq *q) {
    return q->len - q->computed;
}

// … of which this step may compute so many.
static int32_t wanted(const Seq *q) {
    return missing(q) - q->waits;
}

static void find_blocks(Sched *s, Seq *q) {
    if (!s->prefix) return;
    int32_t had = q->n_cached;
    seq_find_blocks(q, s->pool, s->prefix);
    s->n_hit_tokens += (uint64_t)(q->n_cached - had);
}

// Free blocks beyond what those that run lack for their known tokens.
static int32_t n_spare(const Sched *s) {
    int32_t spare = kv_pool_n_free(s->pool);
    for (int32_t i = 0; i < s->n_running; i++) {
        const Seq *q = s->line.at[i];
        spare -= seq_blocks_for(q->len) - q->n_blocks;
    }
    return spare;
}

static void admit(Sched *s) {
    while (s->n_running < s->max_running && s->n_running < s->line.n) {
        Seq *q = s->line.at[s->n_running];
        int32_t needs = seq_blocks_for(q->len);
        if (s->prefix) needs -= seq_n_shared_blocks(q, s->pool, s->prefix);
        if (s->n_running > 0 && n_spare(s) < needs + s->n_running) return;
        find_blocks(s, q);
        set_running(s, q, true);
    }
}

// A sequence before this one computes in this step what this one needs next, or has begun to.
static bool is_computed_by(const Seq *first, const Seq *q) {
    int32_t k = q->n_blocks, from = k * KV_BLOCK_TOKENS, end = from + KV_BLOCK_TOKENS;
    if (first->n_rows == 0 || first->computed < from || first->computed >= end || first->len < end)
        return false;
    bool same_parent = k == 0 ? str_eq(first->salt, q->salt) : first->blocks[k - 1] == q->blocks[k - 1];
    return same_parent &&
           memcmp(first->tokens + from, q->tokens + from, KV_BLOCK_TOKENS * sizeof q->tokens[0]) == 0;
}

// Then it waits for the block instead of computing it as well.
static bool waits_for_block(const Sched *s, int32_t index) {
    const Seq *q = s->line.at[index];
    if (!s->prefix || seq_wants_all_rows(q) || q->n_blocks != q->n_indexed || missing(q) <= KV_BLOCK_TOKENS)
        return false;
    for (int32_t i = 0; i < index; i++)
        if (is_computed_by(s->line.at[i], q)) return true;
    return false;
}

// Counts q among those that would give their blocks back; does it free one of theirs?
static bool would_free(Sched *s, const Seq *q) {
    bool frees = false;
    for (int32_t k = 0; k < q->n_blocks; k++)
        frees |= ++s->seen[q->blocks[k]] == kv_pool_refs(s->pool, q->blocks[k]);
    return frees;
}

// The last behind `index` from whom on blocks are not merely shared with those before; n_running: none.
static int32_t find_victim(Sched *s, int32_t index) {
    int32_t first = s->n_running;
    bool frees = false;
    while (!frees && first > index + 1) frees = would_free(s, s->line.at[--first]);
    for (int32_t i = first; i < s->n_running; i++)
        for (int32_t k = 0; k < s->line.at[i]->n_blocks; k++) s->seen[s->line.at[i]->blocks[k]] = 0;
    return frees ? first : s->n_running;
}

// Has some behind `index` give their blocks back, so that one is free, and their rows to the budget.
static bool preempt_behind(Sched *s, int32_t index, int32_t *budget) {
    int32_t victim = find_victim(s, index);
    if (victim == s->n_running) return false;
    while (s->n_running > victim) {
        *budget += s->line.at[s->n_running - 1]->n_rows;
        preempt_last(s);
    }
    return true;
}

static bool take_block(Sched *s, Seq *q) {
    if (!seq_take_block(q, s->pool)) return false;
    if (s->prefix && kv_prefix_forget(s->prefix, q->blocks[q->n_blocks - 1])) s->n_evictions++;
    return true;
}

// Plans up to `want` rows for the sequence at `index`; *budget pays for them.
static void grant(Sched *s, int32_t index, int32_t want, int32_t *budget) {
    Seq *q = s->line.at[index];
    while (q->n_blocks < seq_blocks_for(q->computed + want)) {
        if (!take_block(s, q) && !preempt_behind(s, index, budget)) break;
    }
    int32_t covered = q->n_blocks * KV_BLOCK_TOKENS - q->computed;
    q->n_rows = want < covered ? want : covered;
    CHECK(index > 0 || q->n_rows > 0);
    *budget -= q->n_rows;
}

// One row for each sequence that decodes; returns how many got it.
static int32_t grant_decoding(Sched *s, int32_t *budget) {
    int32_t n = 0;
    for (int32_t i = 0; i < s->n_running; i++) s->line.at[i]->n_rows = s->line.at[i]->n_draft = 0;
    for (int32_t i = 0; i < s->n_running; i++) {
        if (wanted(s->line.at[i]) != 1) continue;
        grant(s, i, 1, budget);
        n += s->line.at[i]->n_rows;
    }
    return n;
}

static void hand_out_rows(Sched *s) {
    int32_t budget = s->row_budget, n_decoding = grant_decoding(s, &budget);
    if (n_decoding > 0 && s->decode_share > 0) {
        int32_t most = pace_prompt_rows(&s->pace, n_decoding, s->decode_share);
        if (budget > most) budget = most;
    }
    int32_t logits = s->max_logits - s->n_running; // beyond one row for each that runs
    for (int32_t i = 0; i < s->n_running && budget > 0; i++) {
        int32_t want = wanted(s->line.at[i]);
        if (want <= 1 || waits_for_block(s, i)) continue;
        if (want > s->prefill_chunk) want = s->prefill_chunk;
        if (seq_is_scoring(s->line.at[i]) && want > logits + 1) want = logits + 1;
        grant(s, i, want < budget ? want : budget, &budget);
        if (seq_is_scoring(s->line.at[i])) logits -= s->line.at[i]->n_rows - 1;
    }
}

// A constraint that leaves little choice knows better than a look back.
static int32_t propose(Seq *q, int32_t most) {
    Constraint *c = q->constraint;
    int32_t n = c && most > 0 ? c->ops->guess(c, q->tokens + q->len, most) : 0;
    q->told = n > 0;
    return n > 0 ? n : draft_propose(q->drafter, q->tokens, q->len, most);
}

// Guesses behind the known tokens, at most `most`; returns how many. The token that the last of them
// leads to is one too, and max_tokens is not to be exceeded.
static int32_t draft(Sched *s, Seq *q, int32_t most) {
    int32_t room = q->n_prompt + q->max_tokens - q->len - 1;
    if (room <= 0) return 0;
    int32_t n = propose(q, most < room ? most : room);
    while (q->n_blocks < seq_blocks_for(q->len + n) && take_block(s, q)) {
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

// The rows that need logits: that of the last known token and those of guesses behind it; where the prompt's
// log-probabilities are wanted, all.
static int32_t n_logits_of(const Seq *q) {
    int32_t behind = q->computed + q->n_rows - q->len;
    if (seq_is_scoring(q)) return q->n_rows;
    return behind < 0 || q->max_tokens == 0 ? 0 : behind + 1;
}

// A sampler lists the tokens that it must see for its next choice only: the rows behind guesses are whole,
// and so are those that give log-probabilities.
static void want_logits(const Seq *q, int32_t n, LogitsWant *wants) {
    for (int32_t i = 0; i < n; i++)
        wants[i] = i == 0 && !q->logprobs ? sampler_want(q->sampler) : (LogitsWant){0};
}

static void lay_out(Sched *s) {
    Batch *b = &s->batch;
    *b = (Batch){.tokens = s->tokens, .seqs = s->seqs, .wants = s->wants};
    for (int32_t i = 0; i < s->n_running; i++) {
        Seq *q = s->line.at[i];
        if (q->n_rows == 0) continue;
        int32_t n_logits = n_logits_of(q);
        s->planned[b->n_seqs] = q;
        s->seqs[b->n_seqs++] = (BatchSeq){.blocks = q->blocks,
                                          .start = q->computed,
                                          .n_rows = q->n_rows,
                                          .first_row = b->n_rows,
                                          .n_logits = n_logits,
                                          .pooling = q->pooling,
                                          .pooled = q->pooled};
        memcpy(s->tokens + b->n_rows, q->tokens + q->computed, (size_t)q->n_rows * sizeof s->tokens[0]);
        b->n_rows += q->n_rows;
        want_logits(q, n_logits, s->wants + b->n_logits);
        b->n_logits += n_logits;
    }
}

const Batch *sched_plan(Sched *s) {
    for (int32_t i = 0; i < s->n_running; i++) find_blocks(s, s->line.at[i]);
    admit(s);
    hand_out_rows(s);
    fill_with_drafts(s);
    lay_out(s);
    return &s->batch;
}

void sched_note_time(Sched *s, int64_t ns) {
    pace_learn(&s->pace, &s->batch, ns);
}

void sched_note_computed(Sched *s, Seq *q, int32_t computed) {
    q->computed = computed;
    if (s->prefix) seq_index_blocks(q, s->pool, s->prefix);
}

// A block before n_indexed has its place in the index and may be shared; one behind is its owner's alone.
static void check_block(const Sched *s, const Seq *q, int32_t k) {
    int32_t b = q->blocks[k];
    CHECK(b >= 0 && b < kv_pool_n_blocks(s->pool));
    s->seen[b]++;
    CHECK(kv_pool_is_kept(s->pool, b) == (k < q->n_indexed));
    if (k < q->n_indexed)
        CHECK(kv_prefix_find(s->prefix, seq_block_key(q, k, k ? q->blocks[k - 1] : -1)) == b);
    else
        CHECK(kv_pool_refs(s->pool, b) == 1);
}

static void check_seq(const Sched *s, const Seq *q, bool runs) {
    CHECK(q->len >= q->n_prompt && q->len <= q->n_prompt + q->max_tokens);
    CHECK(q->computed >= 0 && q->computed < q->len);
    CHECK(q->computed <= q->n_blocks * KV_BLOCK_TOKENS);
    CHECK(q->n_blocks <= seq_blocks_for(q->len));
    CHECK(atomic_load(&q->runs) == runs);
    CHECK(runs || (q->n_blocks == 0 && q->computed == 0 && q->n_rows == 0));
    CHECK(q->n_indexed == (s->prefix ? q->computed / KV_BLOCK_TOKENS : 0));
    CHECK(q->n_cached >= 0 && q->n_cached < q->n_prompt);
    for (int32_t k = 0; k < q->n_blocks; k++) check_block(s, q, k);
}

void sched_check(const Sched *s) {
    CHECK(s->n_running >= 0 && s->n_running <= s->max_running && s->n_running <= s->line.n);
    for (int32_t i = 0; i < s->line.n; i++) {
        CHECK(i == 0 || is_before(place_of(s->line.at[i - 1]), place_of(s->line.at[i])));
        check_seq(s, s->line.at[i], i < s->n_running);
    }
    for (int32_t b = 0; b < kv_pool_n_blocks(s->pool); b++) {
        CHECK(kv_pool_refs(s->pool, b) == s->seen[b]);
        s->seen[b] = 0;
    }
    kv_pool_check(s->pool);
    if (s->prefix) kv_prefix_check(s->prefix, s->pool);
}
