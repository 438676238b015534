#include "engine/kv_prefix.h"

#include "base/num.h"
#include "engine/engine.h"

#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

enum { NONE = -1 };

// What a block holds. `in_key` is hashed and compared as it lies in memory.
typedef struct Entry {
    struct {
        int32_t parent;
        int32_t tokens[KV_BLOCK_TOKENS];
    } in_key;
    int32_t next;       // in the bucket
    int32_t n_children; // entries whose parent this is
    uint32_t hash;
    uint8_t salt_len;
    bool used;
} Entry;

// Apart from the entries, since only first blocks of salted sequences ever touch it.
typedef struct Salt {
    char bytes[ENGINE_MAX_SALT];
} Salt;

struct KvPrefix {
    int32_t n_blocks;
    uint32_t mask;    // buckets - 1
    uint64_t secret;  // so that nobody can choose tokens that all meet in one bucket
    Entry *entries;   // [n_blocks]
    Salt *salts;      // [n_blocks]
    int32_t *buckets; // [mask + 1] the first block, or NONE
};

KvPrefix *kv_prefix_new(int32_t n_blocks, Err *err) {
    KvPrefix *x = calloc(1, sizeof *x);
    uint32_t n_buckets = 1;
    if (!x) goto no_memory;
    while (n_buckets < (uint32_t)n_blocks) n_buckets *= 2;
    x->n_blocks = n_blocks;
    x->mask = n_buckets - 1;
    CHECK(getrandom(&x->secret, sizeof x->secret, 0) == sizeof x->secret);
    x->entries = calloc((size_t)n_blocks, sizeof x->entries[0]);
    x->salts = calloc((size_t)n_blocks, sizeof x->salts[0]);
    x->buckets = calloc(n_buckets, sizeof x->buckets[0]);
    if (!x->entries || !x->salts || !x->buckets) goto no_memory;
    for (uint32_t i = 0; i < n_buckets; i++) x->buckets[i] = NONE;
    return x;
no_memory:
    err_set(err, ERR_NOMEM, "no memory for the index of %d KV blocks; without a prefix cache none is needed",
            n_blocks);
    kv_prefix_free(x);
    return NULL;
}

void kv_prefix_free(KvPrefix *x) {
    if (!x) return;
    free(x->entries);
    free(x->salts);
    free(x->buckets);
    free(x);
}

static Entry entry_of(const KvPrefix *x, KvKey key) {
    Entry e = {.used = true, .in_key.parent = key.parent};
    uint64_t seed = x->secret;
    memcpy(e.in_key.tokens, key.tokens, sizeof e.in_key.tokens);
    if (key.parent == NONE && key.salt.len > 0) {
        CHECK(key.salt.len <= ENGINE_MAX_SALT);
        e.salt_len = (uint8_t)key.salt.len;
        seed = XXH3_64bits_withSeed(key.salt.ptr, key.salt.len, seed);
    }
    e.hash = (uint32_t)XXH3_64bits_withSeed(&e.in_key, sizeof e.in_key, seed);
    return e;
}

static bool has_key(const KvPrefix *x, int32_t block, const Entry *e, Str salt) {
    const Entry *o = &x->entries[block];
    return o->hash == e->hash && memcmp(&o->in_key, &e->in_key, sizeof o->in_key) == 0 &&
           o->salt_len == e->salt_len &&
           (e->salt_len == 0 || memcmp(x->salts[block].bytes, salt.ptr, e->salt_len) == 0);
}

static int32_t find(const KvPrefix *x, const Entry *e, Str salt) {
    int32_t b = x->buckets[e->hash & x->mask];
    while (b != NONE && !has_key(x, b, e, salt)) b = x->entries[b].next;
    return b;
}

int32_t kv_prefix_find(const KvPrefix *x, KvKey key) {
    Entry e = entry_of(x, key);
    return find(x, &e, key.salt);
}

int32_t kv_prefix_add(KvPrefix *x, int32_t block, KvKey key) {
    CHECK(block >= 0 && block < x->n_blocks && !x->entries[block].used);
    Entry e = entry_of(x, key);
    int32_t there = find(x, &e, key.salt), *bucket = &x->buckets[e.hash & x->mask];
    if (there != NONE) return there;
    e.next = *bucket;
    *bucket = block;
    x->entries[block] = e;
    if (e.salt_len > 0) memcpy(x->salts[block].bytes, key.salt.ptr, e.salt_len);
    if (key.parent != NONE) {
        CHECK(x->entries[key.parent].used);
        x->entries[key.parent].n_children++;
    }
    return block;
}

bool kv_prefix_forget(KvPrefix *x, int32_t block) {
    CHECK(block >= 0 && block < x->n_blocks);
    Entry *e = &x->entries[block];
    if (!e->used) return false;
    CHECK(e->n_children == 0);
    int32_t *link = &x->buckets[e->hash & x->mask];
    while (*link != block) link = &x->entries[*link].next;
    *link = e->next;
    if (e->in_key.parent != NONE) x->entries[e->in_key.parent].n_children--;
    *e = (Entry){0};
    return true;
}

// Returns how many blocks stand in the bucket.
static int32_t check_bucket(const KvPrefix *x, uint32_t bucket) {
    int32_t n = 0;
    for (int32_t b = x->buckets[bucket]; b != NONE; b = x->entries[b].next) {
        CHECK(b >= 0 && b < x->n_blocks && ++n <= x->n_blocks);
        const Entry *e = &x->entries[b];
        KvKey key = {e->in_key.parent, {x->salts[b].bytes, e->salt_len}, e->in_key.tokens};
        CHECK(e->used && (e->hash & x->mask) == bucket);
        CHECK(kv_prefix_find(x, key) == b);
    }
    return n;
}

void kv_prefix_check(const KvPrefix *x, const KvPool *pool) {
    int32_t listed = 0, used = 0, children = 0, with_parent = 0;
    for (uint32_t i = 0; i <= x->mask; i++) listed += check_bucket(x, i);
    for (int32_t b = 0; b < x->n_blocks; b++) {
        const Entry *e = &x->entries[b];
        CHECK(e->used == kv_pool_is_kept(pool, b));
        CHECK(e->used || e->n_children == 0);
        used += e->used;
        children += e->n_children;
        if (!e->used || e->in_key.parent == NONE) continue;
        const Entry *parent = &x->entries[e->in_key.parent];
        with_parent++;
        CHECK(parent->used && parent->n_children > 0);
        CHECK(kv_pool_refs(pool, e->in_key.parent) >= 1 || kv_pool_refs(pool, b) == 0);
    }
    CHECK(listed == used && children == with_parent);
}
