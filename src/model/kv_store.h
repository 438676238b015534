// KV memory: the blocks that the engine's pool counts.
//
// Block-major, so that memory becomes resident in proportion to the blocks in use, and one block
// of one layer and KV head is contiguous:
//
//     block b, layer l, KV head h:  keys f16 [head_dim][16 tokens], values f16 [16 tokens][head_dim]
//
// Thread: the engine thread and its workers; different blocks or slots may be written in parallel.
#ifndef CLLM_MODEL_KV_STORE_H
#define CLLM_MODEL_KV_STORE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct KvStore {
    uint16_t *base;
    size_t bytes;
    size_t block_stride; // elements from one block to the next
    size_t head_stride;  // elements of one layer and head in a block: 2 * 16 * head_dim
    int n_kv_heads;
} KvStore;

// Bytes of KV that one token takes in all layers.
size_t kv_store_token_bytes(int n_layers, int n_kv_heads, int head_dim);

bool kv_store_init(KvStore *s, int n_blocks, int n_layers, int n_kv_heads, int head_dim, Err *err);
void kv_store_free(KvStore *s);

// Makes the memory of n blocks resident, from `block` on, without changing what they hold. Where first
// touching memory is slow (a virtual machine that gets it from its host), it takes longer than computing
// what goes into it. Any thread, also while others compute.
void kv_store_touch(const KvStore *s, int block, int n);

// Block 0 of a layer and head; block b lies b * block_stride further.
static inline uint16_t *kv_store_head(const KvStore *s, int layer, int head) {
    return s->base + ((size_t)layer * (size_t)s->n_kv_heads + (size_t)head) * s->head_stride;
}

#endif
