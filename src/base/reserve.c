#include "base/reserve.h"

#include "base/num.h"

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// libevent takes about a dozen a connection with a request.
enum { SLOT_BYTES = 1024, N_SLOTS = 1024 };

static _Alignas(16) char reserve[N_SLOTS][SLOT_BYTES]; // not resident until it is used
static int32_t free_slots[N_SLOTS];                    // a stack
static int32_t n_free, n_touched;                      // slots from n_touched on were never used
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_slot(const void *p) {
    return (uintptr_t)p - (uintptr_t)reserve < sizeof reserve;
}

static void *take_slot(size_t n) {
    int32_t slot = -1;
    if (n > SLOT_BYTES) return NULL;
    pthread_mutex_lock(&lock);
    if (n_free > 0)
        slot = free_slots[--n_free];
    else if (n_touched < N_SLOTS)
        slot = n_touched++;
    pthread_mutex_unlock(&lock);
    return slot >= 0 ? reserve[slot] : NULL;
}

void *reserve_malloc(size_t n, bool *short_of) {
    void *p = malloc(n);
    if (p) return p;
    if (short_of) *short_of = true;
    return take_slot(n);
}

void reserve_free(void *p) {
    if (!is_slot(p)) {
        free(p);
        return;
    }
    pthread_mutex_lock(&lock);
    free_slots[n_free++] = (int32_t)(((char *)p - reserve[0]) / SLOT_BYTES);
    pthread_mutex_unlock(&lock);
}

static void *moved(void *old, size_t n_old, size_t n) {
    void *p = reserve_malloc(n, NULL);
    if (!p) return NULL;
    memcpy(p, old, num_min(n_old, n));
    reserve_free(old);
    return p;
}

void *reserve_realloc(void *old, size_t n) {
    if (!old) return reserve_malloc(n, NULL);
    if (is_slot(old)) return n <= SLOT_BYTES ? old : moved(old, SLOT_BYTES, n);
    void *p = realloc(old, n);
    return p ? p : moved(old, malloc_usable_size(old), n);
}
