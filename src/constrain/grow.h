// A growing array: room for one more element.
#ifndef CLLM_CONSTRAIN_GROW_H
#define CLLM_CONSTRAIN_GROW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

// *at has room for *cap elements of `size` bytes and gets room for more than n of them. false: no memory,
// or n has reached `most`; the array stays as it is.
static inline bool grow(void *at, int32_t *cap, int32_t n, size_t size, int32_t most) {
    void **array = at;
    if (n < *cap) return true;
    if (n >= most) return false;
    int32_t wanted = n < 32 ? 64 : n > most / 2 ? most : 2 * n;
    void *grown = realloc(*array, (size_t)wanted * size);
    if (!grown) return false;
    *array = grown;
    *cap = wanted;
    return true;
}

#endif
