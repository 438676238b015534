#define _DEFAULT_SOURCE
#include "model/kv_store.h"

#include "base/num.h"
#include "model/batch.h"

#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // Linux 5.14; older ones refuse it, and memory comes when it is first written
#endif

static size_t block_units(const KvShape *s) {
    return (size_t)s->n_layers * (size_t)s->n_kv_heads * kv_head_units(s->type, s->head_dim);
}

size_t kv_store_token_bytes(const KvShape *shape) {
    return block_units(shape) * sizeof(uint16_t) / KV_BLOCK_TOKENS;
}

bool kv_store_init(KvStore *s, const KvShape *shape, int n_blocks, Err *err) {
    *s = (KvStore){.n_kv_heads = shape->n_kv_heads,
                   .head_stride = kv_head_units(shape->type, shape->head_dim),
                   .block_stride = block_units(shape)};
    if (!num_mul((size_t)n_blocks, s->block_stride * sizeof(uint16_t), &s->bytes))
        return err_set(err, ERR_LIMIT, "a KV pool of %d blocks is too large", n_blocks);
    void *base =
        mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return err_set(err, ERR_NOMEM, "no memory for a KV pool of %zu MB; ask for a smaller one",
                       s->bytes >> 20);
    madvise(base, s->bytes, MADV_HUGEPAGE); // a block of all layers is about the size of a huge page
    s->base = base;
    return true;
}

void kv_store_touch(const KvStore *s, int block, int n) {
    size_t block_bytes = s->block_stride * sizeof(uint16_t);
    size_t from = (size_t)block * block_bytes & ~(size_t)4095, end = (size_t)(block + n) * block_bytes;
    if (end > s->bytes) end = s->bytes;
    if (from < end) (void)madvise((char *)s->base + from, end - from, MADV_POPULATE_WRITE);
}

void kv_store_free(KvStore *s) {
    if (s->base) munmap(s->base, s->bytes);
    *s = (KvStore){0};
}
