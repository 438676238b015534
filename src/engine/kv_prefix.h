// Which KV blocks hold what: full blocks found again by the tokens in them and before them.
//
// Keys and values of a token depend on it and on all tokens before it, and on nothing else (batch
// invariance). So a block of 16 tokens computed for one sequence is, byte for byte, what any other
// sequence with the same tokens up to there would compute, and can serve it.
//
// The index is a tree. A block's key is its parent, which is the block of the 16 tokens before, and its
// own tokens; the first blocks of sequences have no parent but a salt, which keeps those apart that
// must not find each other's. A hash (with a secret of this process) only says where to look: what is
// found has been compared, parent, tokens and salt, and comparing the parent's id is comparing all
// that lies before, because a block is only forgotten after all its children. That follows from how
// sequences use it: who holds a block holds its parent, and releases it later, so among the free ones
// the children are always taken before it. One key has one block: who computes the same again is given
// the one that exists and returns its own.
//
// Thread: the engine thread only. Nothing is allocated after kv_prefix_new.
#ifndef CLLM_ENGINE_KV_PREFIX_H
#define CLLM_ENGINE_KV_PREFIX_H

#include "base/str.h"
#include "engine/kv_pool.h"

typedef struct KvPrefix KvPrefix;

typedef struct KvKey {
    int32_t parent;        // a block of the index; -1: none
    Str salt;              // counts without a parent only; at most ENGINE_MAX_SALT bytes
    const int32_t *tokens; // [KV_BLOCK_TOKENS]
} KvKey;

KvPrefix *kv_prefix_new(int32_t n_blocks, Err *err);
void kv_prefix_free(KvPrefix *x); // NULL is allowed

int32_t kv_prefix_find(const KvPrefix *x, KvKey key); // the block with this key, or -1
// The block now has this key; returns it, or the one that had it before (then nothing changes).
int32_t kv_prefix_add(KvPrefix *x, int32_t block, KvKey key);
// The block gets other content. true: it was in the index. It must have no children there.
bool kv_prefix_forget(KvPrefix *x, int32_t block);

// Walks everything; those in the index must be the pool's kept blocks. Aborts on any broken invariant.
void kv_prefix_check(const KvPrefix *x, const KvPool *pool);

#endif
