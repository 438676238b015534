#include "base/reserve.h"

#include "base/num.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

// libevent takes about a dozen a connection with a request.
enum { BLOCK_BYTES = 1024, N_BLOCKS = 512 };

static void *stock[N_BLOCKS];
static _Atomic int n_stock;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fill_up(void) {
    pthread_mutex_lock(&lock);
    while (n_stock < N_BLOCKS && (stock[n_stock] = malloc(BLOCK_BYTES))) n_stock++;
    pthread_mutex_unlock(&lock);
}

static void *take_block(size_t n) {
    void *block = NULL;
    if (n > BLOCK_BYTES) return NULL;
    pthread_mutex_lock(&lock);
    if (n_stock > 0) block = stock[--n_stock];
    pthread_mutex_unlock(&lock);
    return block;
}

void *reserve_malloc(size_t n, bool *short_of) {
    void *p = malloc(n);
    if (p) {
        if (n_stock < N_BLOCKS) fill_up();
        return p;
    }
    if (short_of) *short_of = true;
    return take_block(n);
}

static bool put_back(void *block) {
    pthread_mutex_lock(&lock);
    bool room = n_stock < N_BLOCKS;
    if (room) stock[n_stock++] = block;
    pthread_mutex_unlock(&lock);
    return room;
}

void reserve_free(void *p) {
    size_t n = p ? malloc_usable_size(p) : 0;
    bool is_block = n >= BLOCK_BYTES && n < 2 * BLOCK_BYTES;
    if (n_stock == N_BLOCKS || !is_block || !put_back(p)) free(p);
}

void *reserve_realloc(void *old, size_t n) {
    if (!old) return reserve_malloc(n, NULL);
    void *p = realloc(old, n);
    if (p || n == 0 || !(p = take_block(n))) return p;
    memcpy(p, old, num_min(malloc_usable_size(old), n));
    reserve_free(old);
    return p;
}
