// `cllm stop`: end servers in good order, and wait until they have ended.
#include "cli/commands.h"

#include "base/clock.h"
#include "cli/server_list.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool is_number(const char *word, int64_t number) {
    char *end;
    return isdigit((unsigned char)word[0]) && strtoll(word, &end, 10) == number && !*end;
}

// By process, by port (8080 or :8080), or by the model's name.
static bool is_meant(const RunningServer *s, const char *word) {
    return is_number(word, s->pid) || is_number(word + (word[0] == ':'), s->port) ||
           strcmp(word, s->model) == 0;
}

static void pause_ms(int ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

// The second signal tells a server not to wait for the requests it has accepted. One that has ended meanwhile
// gets none: its number may be another's by now.
static bool ask(const RunningServer *s, bool now, Err *err) {
    for (int i = 0; i < 1 + now; i++) {
        if (i > 0) pause_ms(100);
        if (!server_is_running(s->pid)) return true;
        if (kill((pid_t)s->pid, SIGTERM) != 0 && errno != ESRCH)
            return err_set(err, ERR_IO, "cannot end process %lld: %s", (long long)s->pid, strerror(errno));
    }
    return true;
}

static bool wait_for(const RunningServer *s, int64_t timeout_s, Err *err) {
    int64_t start = clock_now_ns();
    while (server_is_running(s->pid)) {
        if (clock_seconds(clock_now_ns() - start) > (double)timeout_s)
            return err_set(err, ERR_IO,
                           "%s (process %lld) still finishes requests after %lld s; --now ends them too",
                           s->url, (long long)s->pid, (long long)timeout_s);
        pause_ms(20);
    }
    printf("stopped %s (%s)\n", s->url, s->model);
    return true;
}

// Moves those that are meant to the front; *n becomes their number. Each word must mean one.
static bool choose(const Options *o, RunningServer *servers, size_t *n, Err *err) {
    size_t chosen = 0;
    for (int w = 0; w < o->n_words; w++) {
        bool found = false;
        for (size_t i = 0; i < *n; i++) {
            if (!is_meant(&servers[i], o->words[w])) continue;
            found = true;
            if (i < chosen) continue;
            RunningServer swap = servers[chosen];
            servers[chosen++] = servers[i];
            servers[i] = swap;
        }
        if (!found)
            return err_set(err, ERR_NOT_FOUND,
                           "no server is called, listens on or has the number '%s' (`cllm ps`)", o->words[w]);
    }
    *n = chosen;
    return true;
}

static bool stop_all(const Options *o, const RunningServer *servers, size_t n, Err *err) {
    for (size_t i = 0; i < n; i++)
        if (!ask(&servers[i], o->now, err)) return false;
    for (size_t i = 0; i < n; i++)
        if (!wait_for(&servers[i], o->timeout_s, err)) return false;
    return true;
}

static bool stop(Options *o, int *code, Err *err) {
    RunningServer *servers;
    size_t n;
    if (!server_list(&servers, &n, err)) return false;
    bool ok = true;
    if (o->all && o->n_words) {
        *code = EXIT_USAGE;
        ok = err_set(err, ERR_INVALID, "--all means every server: name none");
    } else if (!o->all && !o->n_words && n > 1) {
        *code = EXIT_USAGE;
        ok = err_set(err, ERR_INVALID, "%zu servers are running: name one (`cllm ps`) or give --all", n);
    } else if (!o->n_words && n == 0) {
        fputs("No server of this user is running.\n", stderr);
    } else if (o->n_words) {
        ok = choose(o, servers, &n, err);
    }
    ok = ok && stop_all(o, servers, n, err);
    free(servers);
    return ok;
}

int cmd_stop(int argc, char **argv) {
    return command_main(COMMAND_STOP, argc, argv, stop);
}
