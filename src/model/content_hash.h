// A hash of large memory at the speed of memory: XXH3 (128 bits) over pieces, on all workers.
//
// The hash of n bytes is that of (n, 0), folded batch by batch with the hashes of the batch's pieces:
//
//     h = XXH3(h, XXH3(piece 0), XXH3(piece 1) …)     256 pieces of 256 KiB a batch, the last ones shorter
//
// so it depends on the bytes alone, never on the number of workers, and needs no memory that grows
// with n. It finds corruption; it is no defence against somebody who chooses the bytes.
#ifndef CLLM_MODEL_CONTENT_HASH_H
#define CLLM_MODEL_CONTENT_HASH_H

#include "base/workers.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ContentHash {
    uint64_t low, high;
} ContentHash;

// Called on the caller's thread behind each batch, with the bytes that will not be read again.
typedef void (*HashedBytes)(void *user, const void *from, size_t n);

// hashed may be NULL. When the workers are cancelled it is of some of the bytes only. Thread: where workers_run may be called.
ContentHash content_hash(const void *bytes, size_t n, Workers *workers, HashedBytes hashed, void *user);

#endif
