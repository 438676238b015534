#include "engine/engine_core.h"

#include "engine/row_price.h"

#include <stdlib.h>

enum { MAX_LIVE = 1 << 20, MS = 1000000 };

const HistogramScale engine_step_rows_scale = {
    1, 13, {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}};
const HistogramScale engine_step_ns_scale = {1e-9,
                                             13,
                                             {1 * MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS,
                                              200 * MS, 500 * MS, 1000 * MS, 2000ull * MS, 5000ull * MS,
                                              10000ull * MS}};

// A sequence whose logits were computed. The rows are one more than its guesses, and are used one
// after the other: each as long as the token chosen from the row before is the one guessed.
typedef struct Sampling {
    Seq *seq;
    int32_t first_row; // of the step's logits
    int32_t n;         // tokens chosen: `chosen` from first_row on
} Sampling;

// A row of logits that tells the log-probability of a prompt's token.
typedef struct Scoring {
    Seq *seq;
    int32_t row, position; // of the step's logits; of the token
} Scoring;

struct EngineCore {
    StepModel model;
    Workers *workers;
    EngineSink sink;
    Sched sched;
    EngineStats stats;
    SamplerScratch **scratch;  // [n_workers]
    LogprobScratch **logprobs; // [n_workers]
    int32_t n_workers;
    Sampling *samplings; // [max_running], in the order of their rows
    Scoring *scorings;   // [max_logits]
    int32_t n_scorings;
    Seq **constrained; // [max_running] whose masks are looked after in this step
    int32_t n_constrained;
    int32_t *chosen;       // [max_logits] a token for each row of logits that was used
    const LogitsRow *rows; // the step's
    RowPrice price;
};

static bool check_config(const EngineConfig *c, const StepModel *m, Err *err) {
    if (c->max_running < 1 || c->max_queue < 0 || c->max_running > MAX_LIVE || c->max_queue > MAX_LIVE)
        return err_set(err, ERR_INVALID, "engine: max_running %d must be 1 … %d and max_queue %d 0 … %d",
                       c->max_running, MAX_LIVE, c->max_queue, MAX_LIVE);
    if (c->row_budget < c->max_running || c->row_budget > m->max_rows)
        return err_set(err, ERR_INVALID, "engine: row_budget %d must be max_running (%d) … %d", c->row_budget,
                       c->max_running, m->max_rows);
    if (c->max_running > m->max_logits)
        return err_set(err, ERR_INVALID, "engine: max_running %d is more than the model's %d logits rows",
                       c->max_running, m->max_logits);
    if (c->prefill_chunk < 1)
        return err_set(err, ERR_INVALID, "engine: prefill_chunk %d must be at least 1", c->prefill_chunk);
    if (c->decode_share < 0 || c->decode_share > 100)
        return err_set(err, ERR_INVALID, "engine: decode_share %d must be 0 … 100", c->decode_share);
    if (c->spec_rows < 0)
        return err_set(err, ERR_INVALID, "engine: spec_rows %d must be at least 0", c->spec_rows);
    if (c->prefix_blocks < 0 || c->max_queue_tokens < 0)
        return err_set(err, ERR_INVALID,
                       "engine: prefix_blocks %d and max_queue_tokens %lld must be at least 0",
                       c->prefix_blocks, (long long)c->max_queue_tokens);
    if (c->priority_step_ns < 0 || c->priority_step_ns > ENGINE_MAX_STEP_NS)
        return err_set(err, ERR_INVALID, "engine: priority_step_ns %lld must be 0 … %lld",
                       (long long)c->priority_step_ns, (long long)ENGINE_MAX_STEP_NS);
    return true;
}

static bool new_scratch(EngineCore *c, Err *err) {
    c->scratch = calloc((size_t)c->n_workers, sizeof c->scratch[0]);
    c->logprobs = calloc((size_t)c->n_workers, sizeof c->logprobs[0]);
    if (!c->scratch || !c->logprobs)
        return err_set(err, ERR_NOMEM, "engine: no memory for %d workers", c->n_workers);
    for (int32_t i = 0; i < c->n_workers; i++)
        if (!(c->scratch[i] = sampler_scratch_new(c->model.n_vocab, err)) ||
            !(c->logprobs[i] = logprob_scratch_new(c->model.n_vocab, err)))
            return false;
    return true;
}

// The config as far as the model goes along with guessing: each guess has a row of logits.
static EngineConfig usable(const EngineConfig *config, const StepModel *model) {
    EngineConfig c = *config;
    int32_t most = c.row_budget < model->max_logits ? c.row_budget : model->max_logits;
    if (c.spec_rows > most) c.spec_rows = most;
    return c;
}

EngineCore *engine_core_new(const EngineConfig *config, const StepModel *model, Workers *workers,
                            const EngineSink *sink, Err *err) {
    if (!check_config(config, model, err)) return NULL;
    EngineCore *c = calloc(1, sizeof *c);
    if (!c) goto no_memory;
    c->model = *model;
    c->workers = workers;
    c->sink = *sink;
    c->n_workers = workers_count(workers);
    row_price_init(&c->price);
    EngineConfig used = usable(config, model);
    if (!sched_init(&c->sched, &used, model, err)) goto free_core;
    if (!new_scratch(c, err)) goto free_core;
    c->samplings = calloc((size_t)config->max_running, sizeof c->samplings[0]);
    c->chosen = calloc((size_t)model->max_logits, sizeof c->chosen[0]);
    c->scorings = calloc((size_t)model->max_logits, sizeof c->scorings[0]);
    c->constrained = calloc((size_t)config->max_running, sizeof c->constrained[0]);
    if (c->samplings && c->chosen && c->scorings && c->constrained) return c;
no_memory:
    err_set(err, ERR_NOMEM, "engine: no memory");
free_core:
    engine_core_free(c);
    return NULL;
}

void engine_core_free(EngineCore *c) {
    if (!c) return;
    sched_destroy(&c->sched);
    for (int32_t i = 0; i < c->n_workers; i++) {
        if (c->scratch) sampler_scratch_free(c->scratch[i]);
        if (c->logprobs) logprob_scratch_free(c->logprobs[i]);
    }
    free(c->scratch);
    free(c->logprobs);
    free(c->scorings);
    free(c->constrained);
    free(c->samplings);
    free(c->chosen);
    free(c);
}

static int64_t now(const EngineCore *c) {
    return c->sink.now(c->sink.ctx);
}

void engine_core_add(EngineCore *c, Seq *s) {
    sched_add(&c->sched, s);
    c->stats.requests++;
}

// The log-probabilities of its prompt, once they are all there.
static const TokenLogprob *scored(const Seq *s) {
    return s->scores && s->first_token_ns ? s->logprobs : NULL;
}

static void end(EngineCore *c, Seq *s, FinishReason reason) {
    int64_t at = now(c);
    int64_t first_row = s->first_row_ns ? s->first_row_ns : at;
    int64_t first_token = s->first_token_ns ? s->first_token_ns : at;
    sched_remove(&c->sched, s);
    c->stats.finished[reason]++;
    EngineEvent event = {
        .kind = ENGINE_END,
        .id = s->id,
        .user = s->user,
        .reason = reason,
        .prompt_logprobs = scored(s),
        .n_prompt = s->n_prompt,
        .n_cached = s->n_cached,
        .n_generated = seq_n_generated(s),
        .n_drafted = s->n_drafted,
        .n_accepted = s->n_accepted,
        .queued_ns = first_row - s->submit_ns,
        .prefill_ns = first_token - first_row,
        .decode_ns = at - first_token,
    };
    c->sink.event(c->sink.ctx, &event, s);
}

void engine_core_cancel(EngineCore *c, SeqPlace at) {
    Seq *s = sched_find(&c->sched, at);
    if (s) end(c, s, FINISH_CANCELLED);
}

void engine_core_end_all(EngineCore *c, FinishReason reason) {
    while (c->sched.line.n > 0) end(c, c->sched.line.at[c->sched.line.n - 1], reason);
}

void engine_core_expire(EngineCore *c) {
    int64_t at = now(c);
    for (int32_t i = c->sched.line.n - 1; i >= 0; i--) {
        Seq *s = c->sched.line.at[i];
        if (s->deadline_ns != 0 && s->deadline_ns <= at) end(c, s, FINISH_TIMEOUT);
    }
}

int64_t engine_core_next_deadline(const EngineCore *c) {
    int64_t next = 0;
    for (int32_t i = 0; i < c->sched.line.n; i++) {
        int64_t deadline = c->sched.line.at[i]->deadline_ns;
        if (deadline != 0 && (next == 0 || deadline < next)) next = deadline;
    }
    return next;
}

static void score(void *ctx, int task, int worker) {
    EngineCore *c = ctx;
    const Scoring *p = &c->scorings[task];
    logprobs_load(c->logprobs[worker], c->rows[p->row].all);
    logprobs_take(c->logprobs[worker], p->seq->tokens[p->position], p->seq->n_top,
                  seq_logprobs(p->seq, p->position));
}

// The sampler spoils the row, so its log-probabilities are taken up before.
static int32_t choose(EngineCore *c, const Seq *s, int32_t row, int32_t nth, int worker) {
    if (s->logprobs) logprobs_load(c->logprobs[worker], c->rows[row].all);
    int32_t token = sampler_next(s->sampler, &c->rows[row], c->scratch[worker]);
    if (s->logprobs && token != SAMPLER_NO_TOKEN)
        logprobs_take(c->logprobs[worker], token, s->n_top, seq_logprobs(s, s->len + nth));
    return token;
}

// Some milliseconds of mask work a step, shared by all; at least a piece for each.
static bool mask_is_ready(const EngineCore *c, Constraint *constraint) {
    enum { MASK_PIECES = 16 };
    int32_t n = c->n_constrained < MASK_PIECES ? MASK_PIECES / c->n_constrained : 1;
    while (n-- > 0)
        if (constraint->ops->ready(constraint)) return true;
    return false;
}

static void prepare_mask(void *ctx, int task, int worker) {
    EngineCore *c = ctx;
    Seq *s = c->constrained[task];
    (void)worker;
    s->waits = !mask_is_ready(c, s->constraint);
}

// Of those that run or may be admitted. Returns whether any has to wait.
static bool prepare_masks(EngineCore *c) {
    const SeqLine *line = &c->sched.line;
    bool wait = false;
    c->n_constrained = 0;
    for (int32_t i = 0; i < line->n && i < c->sched.max_running; i++)
        if (line->at[i]->constraint) c->constrained[c->n_constrained++] = line->at[i];
    if (c->n_constrained > 0) workers_run(c->workers, prepare_mask, c, c->n_constrained);
    for (int32_t i = 0; i < c->n_constrained; i++) wait |= c->constrained[i]->waits;
    return wait;
}

static void sample(void *ctx, int task, int worker) {
    EngineCore *c = ctx;
    Sampling *p = &c->samplings[task];
    const Seq *s = p->seq;
    bool guessed = s->max_tokens > 0; // the row that comes next follows what was chosen
    for (p->n = 0; guessed; p->n++) {
        int32_t row = p->first_row + p->n;
        int32_t token = c->chosen[row] = choose(c, s, row, p->n, worker);
        guessed = p->n < s->n_draft && s->tokens[s->len + p->n] == token && !seq_is_end_token(s, token) &&
                  !seq_is_done(s) && (!s->constraint || mask_is_ready(c, s->constraint));
    }
}

// Its prompt has been computed.
static void note_first_token(EngineCore *c, Seq *s) {
    if (s->first_token_ns) return;
    s->first_token_ns = now(c);
    c->stats.prompt_tokens += (uint64_t)s->n_prompt;
}

// last: what follows it is not yet known. false: it has ended.
static bool deliver(EngineCore *c, Seq *s, int32_t token, bool last) {
    if (token == SAMPLER_NO_TOKEN) {
        end(c, s, FINISH_NO_TOKEN);
        return false;
    }
    CHECK(token >= 0 && token < c->model.n_vocab);
    if (seq_is_end_token(s, token)) {
        end(c, s, FINISH_STOP);
        return false;
    }
    s->tokens[s->len++] = token;
    c->stats.generated_tokens++;
    EngineEvent event = {.kind = ENGINE_TOKEN,
                         .id = s->id,
                         .user = s->user,
                         .token = token,
                         .logprobs = s->logprobs ? seq_logprobs(s, s->len - 1) : NULL,
                         .prompt_logprobs = scored(s),
                         .n_prompt = s->n_prompt,
                         .n_cached = s->n_cached,
                         .n_generated = seq_n_generated(s)};
    c->sink.event(c->sink.ctx, &event, NULL);
    bool done = last && seq_is_done(s);
    if (!done && seq_n_generated(s) < s->max_tokens) return true;
    end(c, s, done ? FINISH_STOP : FINISH_LENGTH);
    return false;
}

static void count_drafts(EngineCore *c, Seq *s, int32_t n_accepted) {
    if (s->n_draft == 0) return;
    if (!s->told) draft_judge(s->drafter, s->len, s->n_draft, n_accepted, c->price.value);
    s->n_drafted += s->n_draft;
    s->n_accepted += n_accepted;
    c->stats.drafted_tokens += (uint64_t)s->n_draft;
    c->stats.accepted_tokens += (uint64_t)n_accepted;
}

// Makes the chosen tokens known. All but the last were guessed, so they are computed already.
static void settle(EngineCore *c, const Sampling *p) {
    Seq *s = p->seq;
    note_first_token(c, s);
    if (s->max_tokens == 0) {
        end(c, s, FINISH_LENGTH);
        return;
    }
    count_drafts(c, s, p->n - 1);
    for (int32_t i = 0; i < p->n; i++)
        if (!deliver(c, s, c->chosen[p->first_row + i], i == p->n - 1)) return;
    sched_note_computed(&c->sched, s, s->len - 1);
    seq_trim_blocks(s, c->sched.pool);
}

static void note_first_row(EngineCore *c, Seq *s, int64_t began) {
    s->first_row_ns = began;
    if (c->sched.prefix) c->stats.prefix_query_tokens += (uint64_t)s->n_prompt;
}

// Each row tells the token after its own.
static void note_scorings(EngineCore *c, Seq *s, int32_t first_row) {
    for (int32_t i = 0; i < s->n_rows && s->computed + i + 1 < s->n_prompt; i++)
        c->scorings[c->n_scorings++] = (Scoring){s, first_row + i, s->computed + i + 1};
}

// What the forward pass has made true. Returns the number of sequences whose logits exist.
static int32_t account(EngineCore *c, const Batch *b, int64_t began) {
    int32_t n_samplings = 0, row = 0;
    c->n_scorings = 0;
    for (int32_t i = 0; i < b->n_seqs; i++) {
        Seq *s = c->sched.planned[i];
        if (!s->first_row_ns) note_first_row(c, s, began);
        if (seq_is_scoring(s)) note_scorings(c, s, row);
        sched_note_computed(&c->sched, s, s->computed + s->n_rows - s->n_draft);
        row += b->seqs[i].n_logits;
        if (s->computed == s->len)
            c->samplings[n_samplings++] = (Sampling){.seq = s, .first_row = row - s->n_draft - 1};
    }
    return n_samplings;
}

bool engine_core_step(EngineCore *c) {
    engine_core_expire(c);
    bool wait = prepare_masks(c);
    const Batch *b = sched_plan(&c->sched);
    if (b->n_rows == 0) return wait;
    int64_t began = now(c);
    c->rows = c->model.forward(c->model.self, b);
    int32_t n_samplings = account(c, b, began);
    workers_run(c->workers, score, c, c->n_scorings);
    workers_run(c->workers, sample, c, n_samplings);
    for (int32_t i = 0; i < n_samplings; i++) settle(c, &c->samplings[i]);
    c->stats.steps++;
    histogram_add(&c->stats.step_rows, &engine_step_rows_scale, (uint64_t)b->n_rows);
    int64_t ns = now(c) - began;
    histogram_add(&c->stats.step_ns, &engine_step_ns_scale, (uint64_t)ns);
    row_price_learn(&c->price, b, ns);
    sched_note_time(&c->sched, ns);
    return true;
}

const EngineStats *engine_core_stats(EngineCore *c) {
    c->stats.running = c->sched.n_running;
    c->stats.waiting = c->sched.line.n - c->sched.n_running;
    c->stats.blocks_total = kv_pool_n_blocks(c->sched.pool);
    c->stats.blocks_used = c->stats.blocks_total - kv_pool_n_free(c->sched.pool);
    c->stats.blocks_cached = kv_pool_n_kept(c->sched.pool);
    c->stats.blocks_touched = kv_pool_n_touched(c->sched.pool);
    c->stats.preemptions = c->sched.n_preemptions;
    c->stats.prefix_hit_tokens = c->sched.n_hit_tokens;
    c->stats.prefix_evictions = c->sched.n_evictions;
    return &c->stats;
}

const Sched *engine_core_sched(const EngineCore *c) {
    return &c->sched;
}
