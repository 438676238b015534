#include "base/quiet_thread.h"

#include <signal.h>

// A fault that is blocked ends the process before its handler can say why.
int quiet_thread_start(pthread_t *thread, void *(*body)(void *arg), void *arg) {
    static const int faults[] = {SIGBUS, SIGFPE, SIGILL, SIGSEGV};
    sigset_t blocked, old;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &old);
    int failed = pthread_create(thread, NULL, body, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}
