// Memory for libraries that do not survive its lack.
//
// libevent and jansson report most failed allocations and fall over a few: a null pointer in a connection
// whose address could not be copied, a string that is read beyond its end since its last byte found no room.
// So their small allocations (the ones of their structures) come from a stock when malloc has nothing. It is
// there to get out of what has been begun: the callers notice and refuse. The stock is made of blocks that
// malloc gave in better times, so what is handed out may also go to free; it is filled up by what comes back
// and as soon as malloc has some. Allocations larger than a block fail as ever, and so do all once the stock
// is used up.
//
// Thread: any.
#ifndef CLLM_BASE_RESERVE_H
#define CLLM_BASE_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

// As malloc, realloc and free. *short_of (NULL is allowed) becomes true when malloc had nothing.
void *reserve_malloc(size_t n, bool *short_of);
void *reserve_realloc(void *old, size_t n);
void reserve_free(void *p);

#endif
