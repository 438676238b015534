#include "gguf/gguf_parse.h"

#include <stddef.h>
#include <stdlib.h>

_Static_assert(offsetof(GgufKey, name) == 0 && offsetof(GgufTensor, name) == 0,
               "records begin with their name");

// FNV-1a, 64 bits (Fowler, Noll, Vo), folded. A file may be built so that all names collide; the
// limit on entries keeps even that well under a second.
static uint32_t hash(Str s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++) h = (h ^ (uint8_t)s.ptr[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ (h >> 32));
}

static Str name_at(const void *names, size_t stride, uint32_t i) {
    return *(const Str *)((const char *)names + stride * i);
}

bool gguf_index_init(GgufIndex *x, uint32_t n_entries, Err *err) {
    CHECK(n_entries <= GGUF_MAX_ENTRIES);
    uint32_t n = 8;
    while (n < 2 * n_entries) n *= 2;
    x->slots = calloc(n, sizeof *x->slots);
    if (!x->slots) return err_set(err, ERR_NOMEM, "out of memory for an index of %u names", n_entries);
    x->n_slots = n;
    return true;
}

void gguf_index_free(GgufIndex *x) {
    free(x->slots);
    *x = (GgufIndex){0};
}

// The slot that holds `name`, or the free one where it would go.
static uint32_t *find_slot(const GgufIndex *x, const void *names, size_t stride, Str name) {
    uint32_t mask = x->n_slots - 1;
    uint32_t at = hash(name) & mask;
    while (x->slots[at] && !str_eq(name_at(names, stride, x->slots[at] - 1), name)) at = (at + 1) & mask;
    return &x->slots[at];
}

bool gguf_index_find(const GgufIndex *x, const void *names, size_t stride, Str name, uint32_t *out) {
    uint32_t slot = *find_slot(x, names, stride, name);
    if (slot) *out = slot - 1;
    return slot != 0;
}

bool gguf_index_add(GgufIndex *x, const void *names, size_t stride, uint32_t i) {
    uint32_t *slot = find_slot(x, names, stride, name_at(names, stride, i));
    if (*slot) return false;
    *slot = i + 1;
    return true;
}
