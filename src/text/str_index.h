// A hash index from strings to small numbers, built once and then read-only.
//
// Open addressing with linear probing over 64-bit slots: half of a slot is a tag (hash bits), so a
// probe touches a string only when it is nearly sure to be the right one. The strings themselves
// stay with the caller, who hands the same array to every call; entry i is strings[i].
#ifndef CLLM_TEXT_STR_INDEX_H
#define CLLM_TEXT_STR_INDEX_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

typedef struct StrIndex {
    uint64_t *slots; // tag << 32 | (i + 1); 0 is free
    size_t mask;
} StrIndex;

// Room for up to `n` entries (n < 2^31).
bool str_index_init(StrIndex *ix, size_t n, Err *err);
void str_index_free(StrIndex *ix);

// Adds entry `i`. Returns -1, or the entry with equal content that is already there (which stays).
int32_t str_index_add(StrIndex *ix, const Str *strings, int32_t i);
int32_t str_index_find(const StrIndex *ix, const Str *strings, Str key); // -1: not there

#endif
