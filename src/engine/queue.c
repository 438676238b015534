#include "engine/queue.h"

#include "base/num.h"

#include <stdlib.h>
#include <string.h>

bool queue_init(Queue *q, size_t size, size_t n, Err *err) {
    size_t capacity = 1, bytes;
    while (capacity < n && capacity <= SIZE_MAX / 4) capacity *= 2;
    *q = (Queue){.size = size, .capacity = capacity};
    if (capacity >= n && num_mul(capacity, size, &bytes)) q->slots = malloc(bytes);
    if (!q->slots) return err_set(err, ERR_NOMEM, "engine queue: no memory for %zu entries", n);
    return true;
}

void queue_destroy(Queue *q) {
    free(q->slots);
    q->slots = NULL;
}

static unsigned char *slot(const Queue *q, uint64_t count) {
    return q->slots + (count & (q->capacity - 1)) * q->size;
}

uint64_t queue_room(const Queue *q) {
    return q->capacity - (q->staged - atomic_load(&q->head));
}

bool queue_put(Queue *q, const void *element) {
    if (queue_room(q) == 0) return false;
    memcpy(slot(q, q->staged), element, q->size);
    q->staged++;
    return true;
}

bool queue_commit(Queue *q) {
    if (q->staged == atomic_load_explicit(&q->tail, memory_order_relaxed)) return false;
    atomic_store_explicit(&q->tail, q->staged, memory_order_release);
    return true;
}

uint64_t queue_n(const Queue *q) {
    return atomic_load_explicit(&q->tail, memory_order_acquire) -
           atomic_load_explicit(&q->head, memory_order_relaxed);
}

bool queue_take(Queue *q, void *element) {
    if (queue_n(q) == 0) return false;
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    memcpy(element, slot(q, head), q->size);
    atomic_store(&q->head, head + 1);
    return true;
}
