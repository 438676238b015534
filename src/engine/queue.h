// A bounded queue between exactly two threads: one puts, the other takes. No locks.
//
// head and tail count elements since the start and never wrap in practice (64 bits); the slot is
// the count modulo the capacity, a power of two. The producer stages elements with queue_put and
// shows all of them at once with queue_commit, so that the consumer sees a step's events together
// with everything that was written before the commit.
//
// queue_take stores `head` and queue_room loads it sequentially consistent: the engine's protocol
// for sleeping on a full queue needs a total order of these with its flag (see engine.c).
#ifndef CLLM_ENGINE_QUEUE_H
#define CLLM_ENGINE_QUEUE_H

#include "base/err.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Queue {
    unsigned char *slots; // [capacity][size]
    size_t size;          // bytes of an element
    uint64_t capacity;
    _Alignas(64) _Atomic uint64_t head; // elements taken; the consumer writes it
    _Alignas(64) _Atomic uint64_t tail; // elements shown; the producer writes it
    uint64_t staged;                    // elements put; the producer's own
} Queue;

// Room for at least `n` elements of `size` bytes.
bool queue_init(Queue *q, size_t size, size_t n, Err *err);
void queue_destroy(Queue *q); // also of a zeroed Queue

// Producer.
uint64_t queue_room(const Queue *q);           // elements that can be put now
bool queue_put(Queue *q, const void *element); // false: full
bool queue_commit(Queue *q);                   // false: nothing was staged

// Consumer.
bool queue_take(Queue *q, void *element); // false: nothing is shown
uint64_t queue_n(const Queue *q);         // elements shown and not yet taken

#endif
