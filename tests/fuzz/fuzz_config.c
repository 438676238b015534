// Fuzz target: the first byte chooses the command, the rest is its configuration file. It is read whole, or
// the error names the file.
#define _GNU_SOURCE // memfd_create
#include "base/err.h"
#include "cli/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_file(OptionCommand command, const char *path) {
    Options o = {0};
    Err err = {0};
    CHECK(options_init(&o, &err));
    if (config_read(&o, command, path, &err))
        CHECK(err.code == ERR_NONE && (options_check(&o, &err) || err.msg[0]));
    else
        CHECK(err.code != ERR_NONE && strncmp(err.msg, path, strlen(path)) == 0);
    options_free(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    static const OptionCommand commands[] = {COMMAND_SERVE, COMMAND_RUN, COMMAND_EVAL, COMMAND_BENCH};
    char path[32];
    if (n == 0) return 0;
    int fd = memfd_create("config", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, bytes + 1, n - 1) == (ssize_t)(n - 1));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    read_file(commands[bytes[0] & 3], path);
    close(fd);
    return 0;
}
