// KV block policy: which block belongs to whom. Ids and counts only; the memory itself is the model's.
//
// All blocks stand in one pool sized once. A block is free (references 0) or taken (references >= 1).
// Releasing a block that is not taken, or referring to one out of range, is a bug and aborts: the
// report that this project grew from is about a double release.
//
// There are two kinds of free block, each in a list of its own. A plain one holds nothing of use; they
// are taken first, the last released before the others: a block that is taken again is likely still in
// the caches. A kept one holds content that somebody may ask for (kv_prefix.h). It can be referred to
// again; until then it is as free as the plain ones, and taken when no plain one is left, the least
// recently released first. The links are intrusive and double, so that a block may leave from the middle.
//
// Memory becomes resident as blocks are first taken, in the order of their numbers. A cache that took a
// new block as long as there is one would walk through the whole pool, however light the load. So a block
// that was never taken counts as plain only while fewer than n_keep kept ones are free; beyond that the
// least recently used content makes room. Resident is then, at most, what was ever referred to at once and
// n_keep blocks more.
//
// Thread: the engine thread only.
#ifndef CLLM_ENGINE_KV_POOL_H
#define CLLM_ENGINE_KV_POOL_H

#include "base/err.h"

#include <stdint.h>

typedef struct KvPool KvPool;

KvPool *kv_pool_new(int32_t n_blocks, int32_t n_keep, Err *err);
void kv_pool_free(KvPool *p); // NULL is allowed; every block must have been released

int32_t kv_pool_take(KvPool *p);               // a block with one reference, plain from now; -1: none is free
void kv_pool_retain(KvPool *p, int32_t block); // one more reference to a block that is taken or kept
void kv_pool_release(KvPool *p, int32_t block); // one reference less; the last one frees it
void kv_pool_keep(KvPool *p, int32_t block);    // a taken block: it is kept from now until it is taken anew
bool kv_pool_is_kept(const KvPool *p, int32_t block);
int32_t kv_pool_refs(const KvPool *p, int32_t block);
int32_t kv_pool_n_free(const KvPool *p);    // of both kinds
int32_t kv_pool_n_kept(const KvPool *p);    // of those, kept ones
int32_t kv_pool_n_touched(const KvPool *p); // were ever taken: 0 … n - 1
int32_t kv_pool_n_blocks(const KvPool *p);
void kv_pool_check(const KvPool *p); // walks everything, aborts on any broken invariant (tests, debug)

#endif
