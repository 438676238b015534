#include "text/str_index.h"

#include "base/num.h"

#include <stdlib.h>

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
}

static uint64_t hash_of(Str s) {
    uint64_t h = mix(0x243F6A8885A308D3u, s.len), word = 0;
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        memcpy(&word, s.ptr + i, 8);
        h = mix(h, word);
    }
    word = 0;
    if (i < s.len) memcpy(&word, s.ptr + i, s.len - i);
    h = mix(h, word);
    return mix(h, h >> 32);
}

bool str_index_init(StrIndex *ix, size_t n, Err *err) {
    CHECK(n < (size_t)INT32_MAX);
    size_t n_slots = 16;
    while (n_slots < n * 2) n_slots *= 2;
    ix->slots = calloc(n_slots, sizeof *ix->slots);
    if (!ix->slots) return err_set(err, ERR_NOMEM, "out of memory for an index of %zu strings", n);
    ix->mask = n_slots - 1;
    return true;
}

void str_index_free(StrIndex *ix) {
    free(ix->slots);
    *ix = (StrIndex){0};
}

// The slot that holds `key`, or the free slot where it belongs.
static size_t probe(const StrIndex *ix, const Str *strings, Str key, uint64_t h) {
    size_t at = (size_t)h & ix->mask;
    for (;; at = (at + 1) & ix->mask) {
        uint64_t slot = ix->slots[at];
        if (slot == 0) return at;
        if (slot >> 32 == h >> 32 && str_eq(strings[(uint32_t)slot - 1], key)) return at;
    }
}

int32_t str_index_add(StrIndex *ix, const Str *strings, int32_t i) {
    uint64_t h = hash_of(strings[i]);
    size_t at = probe(ix, strings, strings[i], h);
    if (ix->slots[at] != 0) return (int32_t)((uint32_t)ix->slots[at] - 1);
    ix->slots[at] = h >> 32 << 32 | (uint32_t)(i + 1);
    return -1;
}

int32_t str_index_find(const StrIndex *ix, const Str *strings, Str key) {
    if (!ix->slots) return -1;
    uint64_t slot = ix->slots[probe(ix, strings, key, hash_of(key))];
    return slot == 0 ? -1 : (int32_t)((uint32_t)slot - 1);
}
