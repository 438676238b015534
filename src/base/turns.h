// Taking turns: one at a time, in the order of asking.
//
// For those that would only get into each other's way, such as engines that compute with all CPUs. A mutex alone
// does not do it: who gives it up and wants it again at once gets it, and the others starve.
//
// Thread: any.
#ifndef CLLM_BASE_TURNS_H
#define CLLM_BASE_TURNS_H

#include <pthread.h>
#include <stdint.h>

typedef struct Turns {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next, serving; // tickets
} Turns;

#define TURNS_INIT {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0}

void turns_take(Turns *t); // waits
void turns_give(Turns *t);

#endif
