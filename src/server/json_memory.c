#include "server/json_memory.h"

#include "base/reserve.h"

static _Thread_local bool failed;

static void *take(size_t n) {
    return reserve_malloc(n, &failed);
}

void json_memory_watch(void) {
    json_set_alloc_funcs(take, reserve_free);
}

void json_memory_begin(void) {
    failed = false;
}

bool json_memory_failed(void) {
    return failed;
}

static int put(const char *bytes, size_t n, void *out) {
    buf_put(out, (Str){bytes, n});
    return 0;
}

bool json_memory_dump(const json_t *value, Buf *out) {
    size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
    return value && !failed && json_dump_callback(value, put, out, flags) == 0 && !failed && !out->failed;
}
