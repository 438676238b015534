#include "cli/stop_signals.h"

#include <stddef.h>

static atomic_bool came;

static void on_stop(int number) {
    (void)number;
    atomic_store(&came, true);
}

void stop_signals_take(StopSignals *old) {
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND};
    atomic_store(&came, false);
    sigaction(SIGINT, &action, &old->interrupt);
    sigaction(SIGTERM, &action, &old->terminate);
}

void stop_signals_give_back(const StopSignals *old) {
    sigaction(SIGINT, &old->interrupt, NULL);
    sigaction(SIGTERM, &old->terminate, NULL);
}

const atomic_bool *stop_signals_flag(void) {
    return &came;
}
