#include "engine/kv_pool.h"

#include "base/num.h"

#include <stdlib.h>

// A taken block has refs >= 1 and stands in no list; a free one has refs 0 and stands in the list
// exactly once. The list is doubly linked so that a block may leave from the middle, as a prefix
// cache that revives a free block needs it.
typedef struct Block {
    int32_t refs;
    int32_t prev, next; // free list neighbours, NONE at the ends and while taken
} Block;

enum { NONE = -1 };

struct KvPool {
    int32_t n_blocks, n_free;
    int32_t first; // the free list: taken from the front, released to the front
    Block blocks[];
};

static void prepend(KvPool *p, int32_t b) {
    p->blocks[b].prev = NONE;
    p->blocks[b].next = p->first;
    if (p->first != NONE) p->blocks[p->first].prev = b;
    p->first = b;
    p->n_free++;
}

static void unlink_block(KvPool *p, int32_t b) {
    Block *block = &p->blocks[b];
    if (block->prev == NONE)
        p->first = block->next;
    else
        p->blocks[block->prev].next = block->next;
    if (block->next != NONE) p->blocks[block->next].prev = block->prev;
    block->prev = block->next = NONE;
    p->n_free--;
}

KvPool *kv_pool_new(int32_t n_blocks, Err *err) {
    size_t size;
    if (n_blocks < 1) {
        err_set(err, ERR_INVALID, "KV pool: %d blocks; at least 1 is needed", n_blocks);
        return NULL;
    }
    KvPool *p = NULL;
    if (num_mul((size_t)n_blocks, sizeof p->blocks[0], &size) && num_add(size, sizeof *p, &size))
        p = calloc(1, size);
    if (!p) {
        err_set(err, ERR_NOMEM, "KV pool: no memory for the table of %d blocks", n_blocks);
        return NULL;
    }
    p->n_blocks = n_blocks;
    p->first = NONE;
    for (int32_t b = n_blocks - 1; b >= 0; b--) prepend(p, b);
    return p;
}

void kv_pool_free(KvPool *p) {
    if (!p) return;
    CHECK(p->n_free == p->n_blocks);
    free(p);
}

int32_t kv_pool_take(KvPool *p) {
    int32_t b = p->first;
    if (b == NONE) return -1;
    unlink_block(p, b);
    p->blocks[b].refs = 1;
    return b;
}

static Block *taken(KvPool *p, int32_t b) {
    CHECK(b >= 0 && b < p->n_blocks);
    CHECK(p->blocks[b].refs > 0);
    return &p->blocks[b];
}

void kv_pool_retain(KvPool *p, int32_t block) {
    Block *b = taken(p, block);
    CHECK(b->refs < INT32_MAX);
    b->refs++;
}

void kv_pool_release(KvPool *p, int32_t block) {
    if (--taken(p, block)->refs == 0) prepend(p, block);
}

int32_t kv_pool_n_free(const KvPool *p) {
    return p->n_free;
}

int32_t kv_pool_n_blocks(const KvPool *p) {
    return p->n_blocks;
}

void kv_pool_check(const KvPool *p) {
    int32_t listed = 0, unreferenced = 0, prev = NONE;
    for (int32_t b = p->first; b != NONE; prev = b, b = p->blocks[b].next) {
        CHECK(b >= 0 && b < p->n_blocks);
        CHECK(p->blocks[b].refs == 0);
        CHECK(p->blocks[b].prev == prev);
        CHECK(++listed <= p->n_blocks); // more than there are: the list has a circle
    }
    CHECK(listed == p->n_free);
    for (int32_t b = 0; b < p->n_blocks; b++) {
        const Block *block = &p->blocks[b];
        CHECK(block->refs >= 0);
        unreferenced += block->refs == 0;
        if (block->refs) CHECK(block->prev == NONE && block->next == NONE);
    }
    CHECK(unreferenced == listed); // every free block is in the list, no taken one is
}
