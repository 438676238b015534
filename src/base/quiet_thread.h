// A thread that leaves signals to the others: only what its own arithmetic raises reaches it.
#ifndef CLLM_BASE_QUIET_THREAD_H
#define CLLM_BASE_QUIET_THREAD_H

#include <pthread.h>

int quiet_thread_start(pthread_t *thread, void *(*body)(void *arg), void *arg); // as pthread_create: 0, or why not

#endif
