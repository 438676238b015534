// Memory for libraries that do not survive its lack.
//
// libevent and jansson report most failed allocations and fall over a few: a null pointer in a connection
// whose address could not be copied, a string that is read beyond its end since its last byte found no room.
// So their small allocations (the ones of their structures) come from a reserve of fixed slots when malloc
// has nothing. It is there to get out of what has been begun: the callers notice and refuse, and the slots
// come back. Allocations beyond a slot's size fail as ever, and so do all once the reserve is used up.
//
// Thread: any.
#ifndef CLLM_BASE_RESERVE_H
#define CLLM_BASE_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

// As malloc, realloc and free; memory of one kind must not be given to the other. *short_of (NULL is allowed)
// becomes true when malloc had nothing.
void *reserve_malloc(size_t n, bool *short_of);
void *reserve_realloc(void *old, size_t n);
void reserve_free(void *p);

#endif
