#define _GNU_SOURCE // siginfo_t, strnlen
#include "cli/lost_file.h"

#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = PATH_MAX + 128 };

// "7f00-7f10 r--p 00000000 08:01 123    /path"
static bool is_mapping_of(char *line, uintptr_t address, char path[PATH_MAX]) {
    char *end;
    uintptr_t from = (uintptr_t)strtoull(line, &end, 16);
    uintptr_t to = *end == '-' ? (uintptr_t)strtoull(end + 1, &end, 16) : 0;
    const char *file = strchr(end, '/');
    if (address < from || address >= to || !file) return false;
    memcpy(path, file, strnlen(file, PATH_MAX - 1) + 1);
    return true;
}

// Without stdio, which would want memory.
static bool find_file(uintptr_t address, char path[PATH_MAX]) {
    char text[LINE_MAX_BYTES + 1];
    size_t have = 0;
    bool found = false;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    for (ssize_t n; fd >= 0 && !found && (n = read(fd, text + have, LINE_MAX_BYTES - have)) > 0;) {
        have += (size_t)n;
        text[have] = 0;
        char *line = text, *end;
        for (; !found && (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            found = is_mapping_of(line, address, path);
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
    }
    if (fd >= 0) close(fd);
    return found;
}

// Who reads a mapped file holds no lock of the C library, so that the log can be used here.
static void on_lost_page(int number, siginfo_t *info, void *context) {
    static atomic_flag told = ATOMIC_FLAG_INIT;
    char path[PATH_MAX];
    (void)context;
    while (atomic_flag_test_and_set(&told)) pause(); // another thread is telling it
    if (info->si_code > 0 && find_file((uintptr_t)info->si_addr, path)) {
        log_event(LOG_ERROR, "file_lost", "file", path, "why",
                  "it was cut off or written into while it was in use, or its disk fails", NULL);
        _exit(1);
    }
    signal(number, SIG_DFL);
    raise(number); // at the end of this
}

void lost_file_watch(void) {
    struct sigaction action = {.sa_sigaction = on_lost_page, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
}
