#include "engine/seq.h"

#include "base/num.h"

#include <stdlib.h>
#include <string.h>

// Rows that are never written to cost no memory: the system gives it page by page.
static bool new_logprobs(Seq *s, const EngineRequest *r, Err *err) {
    if (!r->logprobs && !r->prompt_logprobs) return true;
    s->scores = r->prompt_logprobs;
    s->n_top = r->n_top;
    size_t rows = (size_t)s->max_tokens + (s->scores ? (size_t)s->n_prompt : 0), size;
    if (num_mul(rows + 1, (size_t)(1 + s->n_top) * sizeof s->logprobs[0], &size)) s->logprobs = malloc(size);
    if (!s->logprobs) return err_set(err, ERR_NOMEM, "no memory for the log-probabilities of a request");
    if (!s->scores) return true;
    for (int32_t i = 0; i <= s->n_top; i++) s->logprobs[i] = (TokenLogprob){i ? -1 : s->tokens[0], 0};
    return true;
}

TokenLogprob *seq_logprobs(const Seq *s, int32_t position) {
    int32_t row = s->scores ? position : position - s->n_prompt;
    return s->logprobs + (size_t)row * (size_t)(1 + s->n_top);
}

Seq *seq_new(const EngineRequest *r, uint64_t id, const SeqTraits *traits, int64_t now_ns, Err *err) {
    int32_t n_tokens = r->n_prompt + r->max_tokens;
    size_t n_data = (size_t)n_tokens + (size_t)seq_blocks_for(n_tokens), size;
    Seq *s = NULL;
    if (num_mul(n_data, sizeof s->data[0], &size) && num_add(size, sizeof *s + r->cache_salt.len, &size))
        s = malloc(size);
    if (!s) {
        err_set(err, ERR_NOMEM, "no memory for a request of %d tokens", n_tokens);
        return NULL;
    }
    *s = (Seq){
        .id = id,
        .rank = now_ns - r->priority * traits->priority_step_ns,
        .user = r->user,
        .end_tokens = r->end_tokens,
        .n_end_tokens = r->n_end_tokens,
        .n_prompt = r->n_prompt,
        .max_tokens = r->max_tokens,
        .len = r->n_prompt,
        .pooling = r->pooling,
        .pooled = r->pooled,
        .deadline_ns = r->deadline_ns,
        .submit_ns = now_ns,
    };
    s->tokens = s->data;
    s->blocks = s->data + n_tokens;
    memcpy(s->tokens, r->prompt, (size_t)r->n_prompt * sizeof s->tokens[0]);
    if (r->cache_salt.len > 0) {
        char *salt = (char *)(s->data + n_data);
        memcpy(salt, r->cache_salt.ptr, r->cache_salt.len);
        s->salt = (Str){salt, r->cache_salt.len};
    }
    s->sampler = sampler_new(&r->sampling, r->prompt, r->n_prompt, r->max_tokens, traits->n_vocab, err);
    if (!s->sampler || !new_logprobs(s, r, err) ||
        (traits->drafts && !(s->drafter = draft_new(n_tokens, err)))) {
        seq_free(s);
        return NULL;
    }
    s->constraint = r->constraint;
    sampler_constrain(s->sampler, s->constraint);
    return s;
}

void seq_free(Seq *s) {
    if (!s) return;
    CHECK(s->n_blocks == 0);
    constraint_free(s->constraint);
    free(s->logprobs);
    draft_free(s->drafter);
    sampler_free(s->sampler);
    free(s);
}

bool seq_take_block(Seq *s, KvPool *pool) {
    CHECK(s->n_blocks < seq_blocks_for(s->n_prompt + s->max_tokens));
    int32_t block = kv_pool_take(pool);
    if (block < 0) return false;
    s->blocks[s->n_blocks++] = block;
    return true;
}

void seq_drop_blocks(Seq *s, KvPool *pool) {
    while (s->n_blocks > 0) kv_pool_release(pool, s->blocks[--s->n_blocks]);
    s->computed = s->n_indexed = 0;
    s->n_rows = s->n_draft = 0;
}

void seq_trim_blocks(Seq *s, KvPool *pool) {
    while (s->n_blocks > seq_blocks_for(s->len)) kv_pool_release(pool, s->blocks[--s->n_blocks]);
}

KvKey seq_block_key(const Seq *s, int32_t index, int32_t parent) {
    return (KvKey){parent, s->salt, s->tokens + (ptrdiff_t)index * KV_BLOCK_TOKENS};
}

static int32_t last_block(const Seq *s, int32_t n) {
    return n > 0 ? s->blocks[n - 1] : -1;
}

// Blocks that it need not compute, if they exist: all full ones but for one token at least.
static int32_t n_findable(const Seq *s) {
    if (seq_wants_all_rows(s)) return 0;
    return (s->len - 1) / KV_BLOCK_TOKENS;
}

void seq_find_blocks(Seq *s, KvPool *pool, const KvPrefix *prefix) {
    int32_t had = s->n_blocks;
    while (s->n_blocks == s->n_indexed && s->n_blocks < n_findable(s)) {
        int32_t n = s->n_blocks, block = kv_prefix_find(prefix, seq_block_key(s, n, last_block(s, n)));
        if (block < 0) break;
        kv_pool_retain(pool, block);
        s->blocks[s->n_blocks++] = block;
        s->computed = ++s->n_indexed * KV_BLOCK_TOKENS;
    }
    if (!s->resumed) s->n_cached += (s->n_blocks - had) * KV_BLOCK_TOKENS;
}

int32_t seq_n_shared_blocks(const Seq *s, const KvPool *pool, const KvPrefix *prefix) {
    int32_t n = 0, block = -1;
    for (; n < n_findable(s); n++) {
        block = kv_prefix_find(prefix, seq_block_key(s, n, block));
        if (block < 0 || kv_pool_refs(pool, block) == 0) break;
    }
    return n;
}

void seq_index_blocks(Seq *s, KvPool *pool, KvPrefix *prefix) {
    for (; s->n_indexed < s->computed / KV_BLOCK_TOKENS; s->n_indexed++) {
        int32_t n = s->n_indexed, own = s->blocks[n];
        int32_t block = kv_prefix_add(prefix, own, seq_block_key(s, n, last_block(s, n)));
        if (block == own) {
            kv_pool_keep(pool, own);
            continue;
        }
        kv_pool_retain(pool, block);
        kv_pool_release(pool, own);
        s->blocks[n] = block;
    }
}

bool seq_is_end_token(const Seq *s, int32_t token) {
    for (int32_t i = 0; i < s->n_end_tokens; i++)
        if (s->end_tokens[i] == token) return true;
    return false;
}

bool seq_is_done(const Seq *s) {
    return s->constraint && s->constraint->ops->is_done(s->constraint);
}

bool seq_line_init(SeqLine *line, int32_t capacity, Err *err) {
    *line = (SeqLine){.at = calloc((size_t)capacity, sizeof line->at[0]), .capacity = capacity};
    if (!line->at) return err_set(err, ERR_NOMEM, "no memory for a line of %d requests", capacity);
    return true;
}

void seq_line_destroy(SeqLine *line) {
    free(line->at);
    *line = (SeqLine){0};
}

void seq_line_insert(SeqLine *line, int32_t index, Seq *s) {
    CHECK(line->n < line->capacity && index >= 0 && index <= line->n);
    memmove(&line->at[index + 1], &line->at[index], (size_t)(line->n - index) * sizeof line->at[0]);
    line->at[index] = s;
    line->n++;
}

int32_t seq_line_find(const SeqLine *line, uint64_t id) {
    int32_t low = 0, high = line->n;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (line->at[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < line->n && line->at[low]->id == id ? low : -1;
}

void seq_line_remove(SeqLine *line, int32_t index) {
    CHECK(index >= 0 && index < line->n);
    line->n--;
    memmove(&line->at[index], &line->at[index + 1], (size_t)(line->n - index) * sizeof line->at[0]);
}
