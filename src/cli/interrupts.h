// Ctrl-C as something to wait for.
//
// The handler only writes a byte into a pipe; whoever waits, waits for the pipe too. So there is no moment at
// which a Ctrl-C could be lost between looking and sleeping. Thread: one.
#ifndef CLLM_CLI_INTERRUPTS_H
#define CLLM_CLI_INTERRUPTS_H

#include "base/err.h"

bool interrupts_open(Err *err); // from here on Ctrl-C does not end the process
void interrupts_close(void);

// Waits until fd can be read (true) or Ctrl-C was pressed (false), which is then forgotten. A signal that the
// caller handles itself wakes it too: *woken (may be NULL) tells.
bool interrupts_wait(int fd, bool *woken);

#endif
