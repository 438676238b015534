#include "base/turns.h"

void turns_take(Turns *t) {
    pthread_mutex_lock(&t->lock);
    uint64_t ticket = t->next++;
    while (t->serving != ticket) pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

void turns_give(Turns *t) {
    pthread_mutex_lock(&t->lock);
    t->serving++;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}
