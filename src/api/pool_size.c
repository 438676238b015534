#include "api/pool_size.h"

#include "model/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

// A file that holds one number; "max" and anything else: UINT64_MAX.
static uint64_t read_number(const char *path) {
    uint64_t n = UINT64_MAX;
    FILE *f = fopen(path, "r");
    if (!f) return n;
    if (fscanf(f, "%" SCNu64, &n) != 1) n = UINT64_MAX;
    fclose(f);
    return n;
}

// The container's limit (cgroup v2, then v1) and what it has left.
static void apply_cgroup(Memory *m) {
    uint64_t limit = read_number("/sys/fs/cgroup/memory.max");
    uint64_t used = read_number("/sys/fs/cgroup/memory.current");
    if (limit == UINT64_MAX) {
        limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes");
        used = read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes");
    }
    if (limit >= m->total) return;
    m->total = limit;
    m->available = least(m->available, used < limit ? limit - used : 0);
}

bool memory_read(Memory *out) {
    char line[128];
    uint64_t kib;
    *out = (Memory){0};
    FILE *f = fopen("/proc/meminfo", "r");
    if (!f) return false;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemTotal: %" SCNu64, &kib) == 1) out->total = kib * 1024;
        if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1) out->available = kib * 1024;
    }
    fclose(f);
    if (!out->total || !out->available) return false;
    apply_cgroup(out);
    return true;
}

static uint64_t automatic_tokens(const PoolQuery *q, bool *short_of_context) {
    uint64_t context = (uint64_t)q->max_context;
    uint64_t quarter = q->memory.total / 4 / q->bytes_per_token;
    uint64_t tokens = least(quarter, 8 * context);
    if (tokens >= context) return tokens;
    uint64_t half = q->memory.available / 2 / q->bytes_per_token;
    *short_of_context = half < context;
    return least(context, half);
}

bool pool_size(const PoolQuery *q, PoolSize *out, Err *err) {
    bool short_of_context = false;
    uint64_t tokens;
    if (q->kv_tokens)
        tokens = (uint64_t)q->kv_tokens;
    else if (q->kv_memory_mb)
        tokens = ((uint64_t)q->kv_memory_mb << 20) / q->bytes_per_token;
    else
        tokens = automatic_tokens(q, &short_of_context);
    uint64_t blocks = tokens / KV_BLOCK_TOKENS;
    if (q->kv_tokens) blocks = (tokens + KV_BLOCK_TOKENS - 1) / KV_BLOCK_TOKENS;
    if (blocks < 1)
        return err_set(
            err, ERR_LIMIT,
            "the KV pool would have no block: %zu bytes are needed for %d tokens; raise kv_memory_mb or "
            "set kv_tokens",
            q->bytes_per_token * KV_BLOCK_TOKENS, KV_BLOCK_TOKENS);
    *out = (PoolSize){(int32_t)least(blocks, INT32_MAX / KV_BLOCK_TOKENS), short_of_context};
    return true;
}
