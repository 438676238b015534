#include "server/json_memory.h"

#include "base/reserve.h"
#include "base/shortage.h"

static void *take(size_t n) {
    bool short_of = false;
    void *p = reserve_malloc(n, &short_of);
    if (short_of) shortage_note();
    return p;
}

void json_memory_watch(void) {
    json_set_alloc_funcs(take, reserve_free);
}

static int put(const char *bytes, size_t n, void *out) {
    buf_put(out, (Str){bytes, n});
    return 0;
}

bool json_memory_dump(const json_t *value, Buf *out) {
    if (!value) return false;
    json_dump_callback(value, put, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    return !shortage_noted();
}
