// One sequence: a request on its way, and the line in which sequences stand.
//
// `len` tokens are known, the KV of the first `computed` exists. All the rest follows: what is
// missing is computed, and when nothing more is missing the last row's logits give a new token.
// A new request, a chunked prompt, a decoding sequence and one that lost its blocks differ in
// these two numbers only.
//
// Behind the known tokens a step may place n_draft guesses. Their rows are computed like others, and
// each gives the logits for the token behind it, which count only if the guess was right. A wrong one
// leaves nothing behind: `computed` does not include it, and later rows overwrite it.
//
// Its first n_indexed blocks are full, computed and in the index of kv_prefix.h, where others find them:
// they may be shared, and nobody writes to them any more. The blocks behind those are its own.
//
// Everything a sequence will ever need is allocated by seq_new, so a step allocates nothing.
// Thread: made and freed by the front thread, used by the engine thread from submit to END.
#ifndef CLLM_ENGINE_SEQ_H
#define CLLM_ENGINE_SEQ_H

#include "engine/draft.h"
#include "engine/engine.h"
#include "engine/kv_prefix.h"

#include <stdatomic.h>

// What all sequences of an engine have in common.
typedef struct SeqTraits {
    int32_t n_vocab;
    bool drafts;              // they may guess ahead
    int64_t priority_step_ns; // what a level of priority counts in waiting
} SeqTraits;

typedef struct Seq {
    uint64_t id;      // also its place in the order of arrival
    int64_t rank;     // its place in the scheduler's line, see sched.h; of equal ones, the id decides
    atomic_bool runs; // it may hold blocks; the engine thread writes it, anybody may read it
    void *user;
    SamplerState *sampler;     // owned
    Constraint *constraint;    // owned; NULL: none
    Drafter *drafter;          // owned; NULL: no guesses
    const int32_t *end_tokens; // [n_end_tokens], borrowed from the request
    int32_t n_end_tokens;
    int32_t n_prompt, max_tokens;
    int32_t len;            // tokens known: n_prompt + tokens generated
    int32_t computed;       // tokens whose KV exists; < len while it lives (between steps)
    int32_t n_blocks;       // blocks held, covering at least `computed` positions
    int32_t n_indexed;      // of those, from the first on: in the index
    int32_t n_cached;       // tokens of the prompt whose KV was found when it first ran
    Pooling pooling;        // NONE: `pooled` is not used
    double *pooled;         // borrowed from the request
    bool resumed;           // it has lost its blocks before
    int32_t n_rows;         // rows planned in the current step, those of guesses included
    int32_t n_draft;        // guesses in the current step: tokens[len … len + n_draft - 1]
    bool waits;             // for its constraint's mask: what gives logits is not computed in this step
    bool told;              // they are the constraint's, not the drafter's
    bool scores;            // the log-probabilities of the prompt's tokens are wanted
    int32_t n_top;          // likeliest tokens in a row of log-probabilities
    TokenLogprob *logprobs; // owned; NULL: none are wanted; see seq_logprobs
    int64_t deadline_ns, submit_ns;
    int64_t first_row_ns, first_token_ns; // 0: not yet
    int32_t n_drafted, n_accepted;        // guesses so far, and those that came true
    bool cancel_sent;                     // the front thread's
    int32_t *tokens;                      // [n_prompt + max_tokens]
    int32_t *blocks;                      // [seq_blocks_for(n_prompt + max_tokens)]
    Str salt;                             // only sequences with the same one share blocks
    int32_t data[];
} Seq;

// Where a sequence stands in the scheduler's line: lower ranks first, of equal ones lower ids.
typedef struct SeqPlace {
    int64_t rank;
    uint64_t id;
} SeqPlace;

static inline int32_t seq_blocks_for(int32_t n_tokens) {
    return (n_tokens + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
}

// The rows of its prompt are still to tell log-probabilities.
static inline bool seq_is_scoring(const Seq *s) {
    return s->scores && s->len == s->n_prompt;
}

// Its rows are wanted themselves, not only their keys and values: nothing may be taken from the prefix cache.
static inline bool seq_wants_all_rows(const Seq *s) {
    return s->pooling != POOLING_NONE || seq_is_scoring(s);
}

static inline int32_t seq_n_generated(const Seq *s) {
    return s->len - s->n_prompt;
}

// The request's constraint becomes its own, if it is made. The request must have been checked: n_prompt +
// max_tokens fits int32_t, tokens are in range.
Seq *seq_new(const EngineRequest *r, uint64_t id, const SeqTraits *traits, int64_t now_ns, Err *err);
void seq_free(Seq *s); // holds no blocks any more; NULL is allowed

bool seq_take_block(Seq *s, KvPool *pool);  // one more block; false: the pool is empty
void seq_drop_blocks(Seq *s, KvPool *pool); // releases all, last to first; nothing is computed any more
void seq_trim_blocks(Seq *s, KvPool *pool); // releases those that no known token needs

// With a prefix cache. A sequence whose blocks are all in the index takes those that follow, as far as
// they exist and one token remains to be computed, which gives its logits.
void seq_find_blocks(Seq *s, KvPool *pool, const KvPrefix *prefix);
// How many of its blocks others hold already, so that they cost no free one. It holds none yet.
int32_t seq_n_shared_blocks(const Seq *s, const KvPool *pool, const KvPrefix *prefix);
// Puts its full computed blocks into the index. One that is there already replaces its own.
void seq_index_blocks(Seq *s, KvPool *pool, KvPrefix *prefix);
// The key of its block at `index`; all 16 tokens must be known, `parent` be the block before.
KvKey seq_block_key(const Seq *s, int32_t index, int32_t parent);

// The place of the log-probabilities of the token at `position`, of the prompt only if it scores.
TokenLogprob *seq_logprobs(const Seq *s, int32_t position);

bool seq_is_end_token(const Seq *s, int32_t token);
bool seq_is_done(const Seq *s); // its constraint lets nothing follow what was chosen

// Sequences in some order: of arrival, which is that of their ids (the front thread's), or of rank (sched.h).
typedef struct SeqLine {
    Seq **at; // [n]
    int32_t n, capacity;
} SeqLine;

bool seq_line_init(SeqLine *line, int32_t capacity, Err *err);
void seq_line_destroy(SeqLine *line);                       // not the sequences; also of a zeroed line
void seq_line_insert(SeqLine *line, int32_t index, Seq *s); // there must be room
int32_t seq_line_find(const SeqLine *line, uint64_t id);    // index, or -1; of a line in order of arrival
void seq_line_remove(SeqLine *line, int32_t index);

#endif
