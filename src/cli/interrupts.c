#include "cli/interrupts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static int interrupt_pipe[2];

static void on_interrupt(int signal_number) {
    (void)signal_number;
    int saved = errno;
    ssize_t n = write(interrupt_pipe[1], "", 1);
    (void)n; // full: a Ctrl-C is pending already
    errno = saved;
}

bool interrupts_open(Err *err) {
    if (pipe(interrupt_pipe) != 0) return err_set(err, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(interrupt_pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(interrupt_pipe[i], F_SETFD, FD_CLOEXEC);
    }
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    return true;
}

void interrupts_close(void) {
    signal(SIGINT, SIG_DFL);
    close(interrupt_pipe[0]);
    close(interrupt_pipe[1]);
}

static void forget_interrupts(void) {
    char bytes[64];
    while (read(interrupt_pipe[0], bytes, sizeof bytes) > 0) {
    }
}

bool interrupts_wait(int fd, bool *woken) {
    struct pollfd fds[] = {{.fd = interrupt_pipe[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    if (woken) *woken = false;
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
        if (!woken) continue;
        *woken = true;
        return true;
    }
    if (!fds[0].revents) return true;
    forget_interrupts();
    return false;
}
