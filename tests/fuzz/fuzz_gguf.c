// Fuzz target: opens the bytes as a GGUF file and, if they open, touches everything that the
// reader hands out. The unit tests replay the corpus through the same function.
#include "gguf/gguf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static volatile uint64_t sink; // keeps the reads

static void touch(Str s) {
    if (s.len) sink += (uint8_t)s.ptr[0] + (uint8_t)s.ptr[s.len - 1];
}

static void walk_array(const GgufArray *a) {
    GgufStrIter it;
    Str s;
    if (gguf_array_strings(a, &it)) {
        uint64_t n = 0;
        for (; gguf_next_str(&it, &s); n++) touch(s);
        CHECK(n == a->n);
        return;
    }
    for (uint64_t i = 0; i < a->n; i++) {
        uint64_t u = 0;
        int64_t v = 0;
        double f = 0;
        sink += gguf_array_u64(a, i, &u) + gguf_array_i64(a, i, &v) + gguf_array_f64(a, i, &f);
    }
}

static void walk_value(const Gguf *g, const char *key, GgufKind kind) {
    uint64_t u;
    int64_t v;
    uint32_t w;
    double f;
    bool flag;
    Str s;
    GgufArray a;
    CHECK(gguf_has(g, key));
    sink += gguf_get_u64(g, key, &u) + gguf_get_i64(g, key, &v) + gguf_get_u32(g, key, &w) +
            gguf_get_f64(g, key, &f);
    CHECK(gguf_get_bool(g, key, &flag) == (kind == GGUF_BOOL));
    CHECK(gguf_get_str(g, key, &s) == (kind == GGUF_STRING));
    CHECK(gguf_get_array(g, key, &a) == (kind == GGUF_ARRAY));
    if (kind == GGUF_STRING) touch(s);
    if (kind == GGUF_ARRAY) walk_array(&a);
}

static char *copy_name(Str name) {
    char *copy = malloc(name.len + 1);
    CHECK(copy);
    memcpy(copy, name.ptr, name.len);
    copy[name.len] = 0;
    return copy;
}

static void walk_keys(const Gguf *g) {
    for (uint64_t i = 0; i < gguf_n_keys(g); i++) {
        GgufKind kind;
        char *key = copy_name(gguf_key(g, i, &kind));
        walk_value(g, key, kind);
        free(key);
    }
}

static void walk_tensors(const Gguf *g) {
    for (uint64_t i = 0; i < gguf_n_tensors(g); i++) {
        const GgufTensor *t = gguf_tensor(g, i);
        char *name = copy_name(t->name);
        CHECK(gguf_find_tensor(g, name) == t);
        free(name);
        CHECK(t->n_bytes == t->row_bytes * (size_t)(t->dims[1] * t->dims[2] * t->dims[3]));
        CHECK(t->row_bytes > 0 && gguf_type_info(t->type));
        sink += t->data[0] + t->data[t->n_bytes - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    Err err = {0};
    Gguf *g = gguf_open_memory(bytes, n, &err);
    CHECK((g != NULL) == (err.code == ERR_NONE));
    if (g) {
        walk_keys(g);
        walk_tensors(g);
    }
    gguf_close(g);
    return 0;
}
