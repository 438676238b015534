#include "model/content_hash.h"

#include "base/num.h"

#include <xxhash.h>

enum { PIECE_BYTES = 256 << 10, BATCH_PIECES = 256 };

typedef struct HashBatch {
    const char *bytes;
    size_t n;
    ContentHash folded[1 + BATCH_PIECES]; // what came before, then the pieces
} HashBatch;

static ContentHash hash_of(const void *bytes, size_t n) {
    XXH128_hash_t h = XXH3_128bits(bytes, n);
    return (ContentHash){h.low64, h.high64};
}

static void hash_piece(void *ctx, int task, int worker) {
    (void)worker;
    HashBatch *batch = ctx;
    size_t from = (size_t)task * PIECE_BYTES;
    batch->folded[1 + task] = hash_of(batch->bytes + from, num_min(batch->n - from, PIECE_BYTES));
}

ContentHash content_hash(const void *bytes, size_t n, Workers *workers, HashedBytes hashed, void *user) {
    HashBatch batch = {.folded[0] = {n, 0}};
    for (size_t at = 0; at < n && !workers_cancelled(workers); at += batch.n) {
        batch.bytes = (const char *)bytes + at;
        batch.n = num_min(n - at, (size_t)PIECE_BYTES * BATCH_PIECES);
        size_t n_pieces = num_div_up(batch.n, PIECE_BYTES);
        workers_run(workers, hash_piece, &batch, (int)n_pieces);
        batch.folded[0] = hash_of(batch.folded, (1 + n_pieces) * sizeof batch.folded[0]);
        if (hashed) hashed(user, batch.bytes, batch.n);
    }
    return batch.folded[0];
}
