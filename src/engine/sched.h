// Who computes what in the next step. Pure logic on sequences and the block pool: no clock (it is told how
// long steps took), no thread, no model.
//
// All sequences stand in one line. The first n_running of them run, which means they may hold blocks;
// the others wait and hold none. Admission moves the border one place to the right, preemption one to
// the left: always the last that runs. So the two queues of other designs (waiting, preempted) are one.
//
// The line is in order of rank: the time of arrival, less priority_step_ns for each level of priority.
// A level is a head start: it counts like having waited for so long already. That is ageing, without
// a clock: of two that wait, both gain the same while they wait, so their order never changes, and a rank
// is computed once. At equal priorities it is the order of arrival, and nobody overtakes; a higher one
// overtakes those only that came less than (the difference of the levels) steps before it.
//
// A newcomer whose place is among those that run, runs: the last one makes room if they are too many, and
// blocks come from those behind it as it needs them. One that takes its place behind them waits.
//
// A plan, in this order:
//   1. Admission, while fewer than max_running run: the next in line is let in if the free blocks
//      that no running sequence still needs for its known tokens cover all *its* known tokens (but for
//      the blocks that others hold and it will share) and one block's growth for each that runs already.
//      With nobody running it is let in anyway, since any request fits the whole pool.
//   2. Every running sequence that lacks one row (it decodes) gets it.
//   3. The others, in line order, get what they lack: at most prefill_chunk rows each, as long as
//      rows remain of row_budget; beside decoding ones, together no more than leave those decode_share of
//      the step's time (pace.h).
//   4. If all that run decode, each has its row and there are fewer than spec_rows of them, guesses at
//      what follows (draft.h) fill the step up to spec_rows, shared evenly. A step that small is
//      limited by reading the weights: further rows cost little, and one that comes true saves a step.
//      Guesses preempt nobody, and what wrong ones took goes back after the step. It goes back plain, so it
//      is what is taken next: all in all guesses evict no more cached content than they hold at once.
//      (To take no block for them that would evict was tried: it spared nothing and lost one guess in seven.)
// With a prefix cache (kv_prefix.h) a sequence first takes the blocks that exist already for its tokens,
// when it is let in and whenever others may have computed more of them. In 3 it gets no rows while one
// before it computes the very block that it needs next: it will find it after the step. So requests
// with the same beginning that arrive together compute it once, and none is later for it, since the
// one before would have got its rows first anyway.
//
// Blocks are taken as rows need them. A sequence that finds the pool empty preempts those behind it, the
// last first, until a block is free: they lose blocks and `computed` and are recomputed later, from the
// same tokens to the same result, or find again what nobody took meanwhile. It looks before it does so:
// if those behind hold nothing but blocks that it or others before them hold as well, their giving back
// frees none, and they keep them. It then computes the rows that its blocks cover, perhaps none, and
// keeps what it has until one before it ends or needs it; so does the last, which has nobody behind it.
//
// No livelock: the first in line gets at least one row in every step. Step 2 hands out at most
// max_running <= row_budget rows, one of which it gets in its own turn, and pace.h leaves some for 3; it
// waits for nobody's blocks; nobody can preempt it; alone it fits the pool, so while it lacks a block those
// behind it hold one that it does not, and give it back. So the first ends, after as many steps as it has
// tokens at most, unless another takes the first place before that. Only one of lower rank can, and those are
// bounded: they arrive within 2 * ENGINE_MAX_PRIORITY steps of priority after it. The same holds for each
// place in the line: whoever waits is overtaken for so long and no longer, and moves up with each one that
// ends.
#ifndef CLLM_ENGINE_SCHED_H
#define CLLM_ENGINE_SCHED_H

#include "engine/pace.h"
#include "engine/seq.h"

typedef struct Sched {
    int32_t max_running, row_budget, prefill_chunk, spec_rows, decode_share, max_logits;
    Pace pace;
    KvPool *pool;     // owned
    KvPrefix *prefix; // owned; NULL: nothing is shared
    SeqLine line;
    int32_t n_running;
    uint64_t n_preemptions;
    uint64_t n_hit_tokens; // tokens of prompts whose KV was found
    uint64_t n_evictions;  // blocks taken that somebody might have found
    // The current plan: planned[i] owns seqs[i] of the batch.
    Batch batch;
    Seq **planned;     // [max_running]
    BatchSeq *seqs;    // [max_running]
    int32_t *tokens;   // [row_budget]
    LogitsWant *wants; // [row_budget] one for each row of logits
    int32_t *seen;     // [blocks] references counted; zeros between uses
} Sched;

// The config must have been checked (engine_core_new does).
bool sched_init(Sched *s, const EngineConfig *config, const StepModel *model, Err *err);
void sched_destroy(Sched *s); // the line must be empty; also of a zeroed Sched

void sched_add(Sched *s, Seq *q);             // takes its place in the line
Seq *sched_find(const Sched *s, SeqPlace at); // NULL: not here
void sched_remove(Sched *s, Seq *q);          // its blocks go back to the pool

// The KV of its first `computed` tokens, all known ones, exists now.
void sched_note_computed(Sched *s, Seq *q, int32_t computed);

// The step that was planned took so long.
void sched_note_time(Sched *s, int64_t ns);

// Plans a step and lays it out. n_rows == 0: nobody is here, or all wait for their masks. Valid until the line or a sequence
// changes.
const Batch *sched_plan(Sched *s);

void sched_check(const Sched *s); // aborts on any broken invariant, between steps (tests, debug)

#endif
