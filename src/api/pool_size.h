// How large the KV pool is: from the options, the model and the machine's memory.
//
// The pool is an address range whose pages become resident only as blocks are first written, so a
// generous pool costs nothing until it is used; what bounds it is what may become resident.
#ifndef CLLM_API_POOL_SIZE_H
#define CLLM_API_POOL_SIZE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct Memory {
    uint64_t total, available; // bytes; a container's limit counts as the machine
} Memory;

// False when the system does not tell.
bool memory_read(Memory *out);

typedef struct PoolQuery {
    int64_t kv_tokens;      // asked for; 0: not
    int64_t kv_memory_mb;   // asked for; 0: not
    size_t bytes_per_token; // > 0
    int64_t max_context;    // tokens of one full context, >= 1
    Memory memory;
} PoolQuery;

typedef struct PoolSize {
    int32_t n_blocks;      // >= 1, of KV_BLOCK_TOKENS tokens
    bool short_of_context; // fewer tokens than one full context, for want of memory: worth a warning
} PoolSize;

// What was asked for, else what fits into the lesser of a quarter of the memory and eight full
// contexts; if that is less than one full context: one full context where it fits into half of the
// available memory, else as many tokens as fit there. Fails if that is not even one block.
bool pool_size(const PoolQuery *q, PoolSize *out, Err *err);

#endif
