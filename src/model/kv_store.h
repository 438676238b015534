// KV memory: the blocks that the engine's pool counts.
//
// Block-major, so that memory becomes resident in proportion to the blocks in use, and one block
// of one layer and KV head is contiguous:
//
//     block b, layer l, KV head h:  keys, then values, as the KV type says (kernels/kv_block.h)
//
// Thread: the engine thread and its workers; different blocks or slots may be written in parallel.
#ifndef CLLM_MODEL_KV_STORE_H
#define CLLM_MODEL_KV_STORE_H

#include "base/err.h"
#include "kernels/kv_block.h"

#include <stddef.h>
#include <stdint.h>

typedef struct KvStore {
    uint16_t *base;
    size_t bytes;
    size_t block_stride; // units of 16 bits from one block to the next
    size_t head_stride;  // units of one layer and head in a block
    int n_kv_heads;
} KvStore;

typedef struct KvShape {
    KvType type;
    int n_layers, n_kv_heads, head_dim;
} KvShape;

// Bytes of KV that one token takes in all layers.
size_t kv_store_token_bytes(const KvShape *shape);

// Maps the memory of n_blocks; none of it is resident yet. False: the system has no such address range. The
// caller frees *s, which may also be zeroed.
bool kv_store_init(KvStore *s, const KvShape *shape, int n_blocks, Err *err);
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
