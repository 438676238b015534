// SIGINT and SIGTERM as a wish that something long, a fetch or the loading of a model, ends in order.
//
// Between take and give_back the first of them only sets a flag, at which the work looks; a second one ends the process.
// Thread: the main one; the flag is for all.
#ifndef CLLM_CLI_STOP_SIGNALS_H
#define CLLM_CLI_STOP_SIGNALS_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct StopSignals {
    struct sigaction interrupt, terminate; // what was there before
} StopSignals;

void stop_signals_take(StopSignals *old);
void stop_signals_give_back(const StopSignals *old);
const atomic_bool *stop_signals_flag(void); // whether one has come since the last take

#endif
