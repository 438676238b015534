// The servers of this user that run on this machine: each keeps a small file in cllm/ of the user's runtime
// folder, PID.json, locked for as long as it lives. So a file that can be locked is left over from a server
// that was killed, whatever process has that number now, and is removed.
#ifndef CLLM_CLI_SERVER_LIST_H
#define CLLM_CLI_SERVER_LIST_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct RunningServer {
    int64_t pid;
    int port;
    char url[320]; // where it can be reached from this machine
    char model[256];
    int64_t started; // seconds since 1970
} RunningServer;

typedef struct ServerEntry {
    int fd; // -1: there is none
    char path[1200];
} ServerEntry;

// Announces this process. On failure *e is an entry that is none.
bool server_entry_write(ServerEntry *e, const RunningServer *s, Err *err);
void server_entry_remove(ServerEntry *e); // an entry that is none is allowed

// Oldest first. The caller frees *out.
bool server_list(RunningServer **out, size_t *n, Err *err);
bool server_is_running(int64_t pid);

#endif
