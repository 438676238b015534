// The engine: continuous batching over token ids. It never sees text.
//
// One engine thread owns all sequences, blocks and the scheduler, and runs step after step while
// there is work; it sleeps when there is none. One front thread (the event loop) submits, cancels
// and collects events. The two are joined by two bounded single-producer single-consumer queues
// and two eventfds, and some atomics (statistics, stop); there is no mutex.
//
// Promise: every accepted request yields zero or more TOKEN events and then exactly one END event,
// whatever happens (finish, length, cancel, deadline, shutdown). After END the engine never refers
// to its id or `user` again, and its blocks are back in the pool.
#ifndef CLLM_ENGINE_ENGINE_H
#define CLLM_ENGINE_ENGINE_H

#include "base/err.h"
#include "base/histogram.h"
#include "base/str.h"
#include "base/turns.h"
#include "base/workers.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "model/batch.h"

typedef struct Engine Engine;

typedef struct EngineConfig {
    int32_t max_running;   // sequences that may hold KV blocks at once, >= 1
    int32_t max_queue;     // accepted requests that wait beyond those, >= 0
    int32_t row_budget;    // rows of a step, 1 … StepModel.max_rows; >= max_running
    int32_t prefill_chunk; // most rows that one sequence's prompt gets in a step, >= 1
    int32_t decode_share; // percent of a step's time that decoding ones keep beside prompts (pace.h); 0: none
    int32_t spec_rows;    // rows up to which a step is filled with guesses (sched.h), as far as row_budget
                          // and StepModel.max_logits allow; 0 or 1: none
    bool prefix_cache;    // sequences that begin alike share their KV (kv_prefix.h)
    int32_t prefix_blocks; // free blocks whose content is kept before memory never used is taken (kv_pool.h)
    int64_t max_queue_tokens; // prompt tokens of accepted requests without a token yet; 0: no bound
    Turns *turns; // of engines that share CPUs: one of them computes a step at a time; NULL: it is alone. Borrowed
    int64_t priority_step_ns; // what a level of priority counts in waiting, 0 … ENGINE_MAX_STEP_NS
} EngineConfig;

enum { ENGINE_MAX_SALT = 128, ENGINE_MAX_PRIORITY = 10 };
#define ENGINE_MAX_STEP_NS INT64_C(86400000000000)

typedef struct EngineRequest {
    const int32_t *prompt; // [n_prompt], copied; n_prompt >= 1
    int32_t n_prompt;
    int32_t max_tokens; // 0: nothing is generated; it ends (LENGTH) as soon as its prompt is computed
    SamplingParams sampling;
    const int32_t *end_tokens; // [n_end_tokens], borrowed until END: generation ends at any of these
    int32_t n_end_tokens;
    int32_t priority; // -ENGINE_MAX_PRIORITY … ENGINE_MAX_PRIORITY; the higher is served the sooner (sched.h)
    Str cache_salt;   // copied, at most ENGINE_MAX_SALT bytes: only requests with the same one share KV
    Pooling pooling;  // unless NONE, the prompt's hidden states are pooled; all of it is computed then,
    double *pooled;   //   whatever the prefix cache has. [n_embd] of batch.h, borrowed until END
    int64_t deadline_ns;    // clock_now_ns() time at which it ends with FINISH_TIMEOUT; 0 = none
    void *user;             // comes back in its events
    bool logprobs;          // those of the tokens generated are wanted,
    bool prompt_logprobs;   //   and of the prompt's, all of which is computed then
    int32_t n_top;          //   each with so many of the likeliest, 0 … LOGPROBS_MAX_TOP
    bool companion;         // belongs to the one submitted before, with which max_queue_tokens was asked
    Constraint *constraint; // NULL: none; with SUBMIT_OK it belongs to the engine
} EngineRequest;

typedef enum SubmitResult {
    SUBMIT_OK,
    SUBMIT_QUEUE_FULL, // come back later (429); err tells which bound is reached
    SUBMIT_TOO_LONG,   // n_prompt + max_tokens exceeds engine_max_sequence()
    SUBMIT_CLOSED,     // the engine is draining (503)
    SUBMIT_BAD,        // err tells: parameters, a token out of range, no memory
} SubmitResult;

typedef enum FinishReason {
    FINISH_NONE,
    FINISH_STOP,      // an end token (not delivered as a TOKEN event, not counted), or the constraint is done
    FINISH_LENGTH,    // max_tokens reached
    FINISH_CANCELLED, // engine_cancel
    FINISH_TIMEOUT,   // the deadline passed: in the queue, in prefill or while decoding
    FINISH_NO_TOKEN,  // the constraint allows no token to follow
    FINISH_SHUTDOWN,  // engine_stop(…, now)
} FinishReason;

typedef enum EngineEventKind { ENGINE_TOKEN, ENGINE_END } EngineEventKind;

typedef struct EngineEvent {
    EngineEventKind kind;
    uint64_t id;
    void *user;
    int32_t token; // TOKEN
    // With log-probabilities, until the next engine_poll. Rows are of 1 + n_top: the token's own, then the
    // likeliest.
    const TokenLogprob *logprobs;        // TOKEN: its row, if wanted
    const TokenLogprob *prompt_logprobs; // [n_prompt] rows, if wanted and computed; the first one names its
                                         //   token only
    FinishReason reason;  // END
    int32_t n_prompt;     // both: tokens of the prompt
    int32_t n_cached;     // both: tokens of the prompt that were not computed, as their KV was found
    int32_t n_generated;  // both: TOKEN events delivered, this one included
    int32_t n_drafted;    // END: guesses computed for it
    int32_t n_accepted;   // END: those that came true
    int64_t queued_ns;    // END: time from submit to the first row computed (or to the end)
    int64_t prefill_ns;   // END: from then to the first token
    int64_t decode_ns;    // END: from then to the end
} EngineEvent;

// A consistent-enough snapshot for health and statistics, readable from any thread at any time
// without touching the engine thread (relaxed atomics).
typedef struct EngineStats {
    int32_t running, waiting;          // sequences now
    int32_t blocks_total, blocks_used; // KV pool now
    int32_t blocks_cached;             // free ones with content
    int32_t blocks_touched;            // ever used: resident
    uint64_t steps;                    // since start, like what follows
    uint64_t prompt_tokens, generated_tokens;
    uint64_t drafted_tokens, accepted_tokens;        // guesses computed, and those that came true
    uint64_t prefix_query_tokens, prefix_hit_tokens; // of prompts begun, and of those found in the cache
    uint64_t prefix_evictions;                       // blocks with content that were taken for others
    uint64_t requests, preemptions;
    uint64_t finished[FINISH_SHUTDOWN + 1]; // by reason
    Histogram step_rows, step_ns;           // a step's rows and its time
} EngineStats;

extern const HistogramScale engine_step_rows_scale, engine_step_ns_scale; // of the two

// Starts the engine thread. The model, its KV memory and the workers are borrowed until
// engine_free; workers_run is called from the engine thread only.
Engine *engine_new(const EngineConfig *config, const StepModel *model, Workers *workers, Err *err);

// now=false: refuse newcomers, finish what runs. now=true: end everything with FINISH_SHUTDOWN.
void engine_stop(Engine *e, bool now);
bool engine_idle(const Engine *e); // front thread: no accepted request is without its END
void engine_free(
    Engine *e); // stops now if need be, joins the thread, drops uncollected events; NULL is allowed

// Front thread only.
SubmitResult engine_submit(Engine *e, const EngineRequest *r, uint64_t *id, Err *err);
void engine_cancel(Engine *e, uint64_t id);    // an id that has ended is allowed and does nothing
bool engine_poll(Engine *e, EngineEvent *out); // false: nothing now
int engine_event_fd(
    const Engine *e); // becomes readable when there may be events; engine_poll until false re-arms it

int32_t engine_n_embd(const Engine *e);       // numbers of an embedding
int32_t engine_max_sequence(const Engine *e); // tokens a request may have: min(model context, pool)
int32_t engine_max_live(const Engine *e);     // accepted requests without END that there may be at once
int64_t engine_queue_tokens(const Engine *e); // front thread: what max_queue_tokens bounds
int32_t engine_n_live(const Engine *e);       // front thread: those there are
bool engine_runs(const Engine *e,
                 uint64_t id); // front thread: this one may hold blocks now; false: it waits, or has ended
void engine_stats(const Engine *e, EngineStats *out);

#endif
