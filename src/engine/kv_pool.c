#include "engine/kv_pool.h"

#include "base/num.h"

#include <stdlib.h>

// A taken block has refs >= 1 and stands in no list; a free one has refs 0 and stands exactly once in
// the list of its kind.
typedef struct Block {
    int32_t refs;
    int32_t prev, next; // neighbours in the list, NONE at the ends and while taken
    bool kept;
} Block;

enum { NONE = -1 };

typedef struct FreeList {
    int32_t first, last; // taken from the front
} FreeList;

struct KvPool {
    int32_t n_blocks, n_free;
    int32_t n_kept;    // of the free ones
    int32_t n_keep;    // see kv_pool.h
    int32_t n_touched; // blocks from here on were never taken; they end the plain list, in order
    FreeList plain;    // released to the front
    FreeList kept;     // released to the back
    Block blocks[];
};

static FreeList *list_of(KvPool *p, int32_t b) {
    return p->blocks[b].kept ? &p->kept : &p->plain;
}

// Puts the block between two neighbours, either of which may be NONE.
static void link_block(KvPool *p, int32_t b, int32_t prev, int32_t next) {
    FreeList *list = list_of(p, b);
    p->blocks[b].prev = prev;
    p->blocks[b].next = next;
    *(prev == NONE ? &list->first : &p->blocks[prev].next) = b;
    *(next == NONE ? &list->last : &p->blocks[next].prev) = b;
    p->n_free++;
    p->n_kept += p->blocks[b].kept;
}

static void unlink_block(KvPool *p, int32_t b) {
    FreeList *list = list_of(p, b);
    Block *block = &p->blocks[b];
    *(block->prev == NONE ? &list->first : &p->blocks[block->prev].next) = block->next;
    *(block->next == NONE ? &list->last : &p->blocks[block->next].prev) = block->prev;
    block->prev = block->next = NONE;
    p->n_free--;
    p->n_kept -= block->kept;
}

static void link_free(KvPool *p, int32_t b) {
    if (p->blocks[b].kept)
        link_block(p, b, p->kept.last, NONE);
    else
        link_block(p, b, NONE, p->plain.first);
}

KvPool *kv_pool_new(int32_t n_blocks, int32_t n_keep, Err *err) {
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
    p->n_keep = n_keep;
    p->plain = p->kept = (FreeList){NONE, NONE};
    for (int32_t b = n_blocks - 1; b >= 0; b--) link_free(p, b);
    return p;
}

void kv_pool_free(KvPool *p) {
    if (!p) return;
    CHECK(p->n_free == p->n_blocks);
    free(p);
}

static int32_t next_to_take(const KvPool *p) {
    int32_t b = p->plain.first;
    bool untouched = b >= p->n_touched;
    return b == NONE || (untouched && p->n_kept > 0 && p->n_kept >= p->n_keep) ? p->kept.first : b;
}

int32_t kv_pool_take(KvPool *p) {
    int32_t b = next_to_take(p);
    if (b == NONE) return -1;
    unlink_block(p, b);
    if (b >= p->n_touched) p->n_touched = b + 1;
    p->blocks[b].refs = 1;
    p->blocks[b].kept = false;
    return b;
}

static Block *at(KvPool *p, int32_t b) {
    CHECK(b >= 0 && b < p->n_blocks);
    return &p->blocks[b];
}

void kv_pool_retain(KvPool *p, int32_t block) {
    Block *b = at(p, block);
    CHECK(b->refs < INT32_MAX && (b->refs > 0 || b->kept));
    if (b->refs == 0) unlink_block(p, block);
    b->refs++;
}

void kv_pool_release(KvPool *p, int32_t block) {
    Block *b = at(p, block);
    CHECK(b->refs > 0);
    if (--b->refs == 0) link_free(p, block);
}

void kv_pool_keep(KvPool *p, int32_t block) {
    Block *b = at(p, block);
    CHECK(b->refs > 0 && !b->kept);
    b->kept = true;
}

bool kv_pool_is_kept(const KvPool *p, int32_t block) {
    return at((KvPool *)p, block)->kept;
}

int32_t kv_pool_refs(const KvPool *p, int32_t block) {
    return at((KvPool *)p, block)->refs;
}

int32_t kv_pool_n_free(const KvPool *p) {
    return p->n_free;
}

int32_t kv_pool_n_kept(const KvPool *p) {
    return p->n_kept;
}

int32_t kv_pool_n_touched(const KvPool *p) {
    return p->n_touched;
}

int32_t kv_pool_n_blocks(const KvPool *p) {
    return p->n_blocks;
}

// Returns how many blocks stand in the list.
static int32_t check_list(const KvPool *p, FreeList list, bool kept) {
    int32_t n = 0, prev = NONE;
    for (int32_t b = list.first; b != NONE; prev = b, b = p->blocks[b].next) {
        CHECK(b >= 0 && b < p->n_blocks);
        CHECK(p->blocks[b].refs == 0 && p->blocks[b].kept == kept);
        CHECK(p->blocks[b].prev == prev);
        CHECK(++n <= p->n_blocks); // more than there are: the list has a circle
    }
    CHECK(list.last == prev);
    return n;
}

void kv_pool_check(const KvPool *p) {
    int32_t n_kept = check_list(p, p->kept, true), unreferenced = 0;
    int32_t listed = check_list(p, p->plain, false) + n_kept;
    CHECK(listed == p->n_free && n_kept == p->n_kept);
    for (int32_t b = 0; b < p->n_blocks; b++) {
        const Block *block = &p->blocks[b];
        CHECK(block->refs >= 0);
        unreferenced += block->refs == 0;
        if (block->refs) CHECK(block->prev == NONE && block->next == NONE);
        if (b >= p->n_touched)
            CHECK(block->refs == 0 && !block->kept && block->next == (b + 1 < p->n_blocks ? b + 1 : NONE));
    }
    CHECK(unreferenced == listed); // every free block is in a list, no taken one is
}
