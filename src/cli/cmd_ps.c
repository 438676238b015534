// `cllm ps`: this user's running servers.
#include "cli/commands.h"

#include "cli/server_list.h"

#include <jansson.h>
#include <stdlib.h>
#include <time.h>

static void format_age(int64_t seconds, char out[24]) {
    if (seconds < 120)
        snprintf(out, 24, "%lld s", (long long)seconds);
    else if (seconds < 7200)
        snprintf(out, 24, "%lld min", (long long)seconds / 60);
    else if (seconds < 2 * 86400)
        snprintf(out, 24, "%lld h", (long long)seconds / 3600);
    else
        snprintf(out, 24, "%lld days", (long long)seconds / 86400);
}

static void print_text(const RunningServer *servers, size_t n) {
    int64_t now = (int64_t)time(NULL);
    printf("%-8s  %-30s  %-8s  %s\n", "PID", "ADDRESS", "UP", "MODEL");
    for (size_t i = 0; i < n; i++) {
        char age[24];
        format_age(now > servers[i].started ? now - servers[i].started : 0, age);
        printf("%-8lld  %-30s  %-8s  %s\n", (long long)servers[i].pid, servers[i].url, age, servers[i].model);
    }
}

static bool print_json(const RunningServer *servers, size_t n, Err *err) {
    json_t *list = json_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        const RunningServer *s = &servers[i];
        ok = json_array_append_new(list, json_pack("{s:I, s:s, s:i, s:s, s:I}", "pid", (json_int_t)s->pid,
                                                   "url", s->url, "port", s->port, "model", s->model,
                                                   "started", (json_int_t)s->started)) == 0;
    }
    if (ok) ok = json_dumpf(list, stdout, JSON_INDENT(2)) == 0;
    if (ok) putchar('\n');
    json_decref(list);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

static bool ps(Options *o, int *code, Err *err) {
    RunningServer *servers;
    size_t n;
    (void)code;
    bool ok = server_list(&servers, &n, err);
    if (ok && o->json)
        ok = print_json(servers, n, err);
    else if (ok && o->quiet)
        for (size_t i = 0; i < n; i++) printf("%lld\n", (long long)servers[i].pid);
    else if (ok && n)
        print_text(servers, n);
    else if (ok)
        fputs("No server of this user is running.\n", stderr);
    free(servers);
    return ok;
}

int cmd_ps(int argc, char **argv) {
    return command_main(COMMAND_PS, argc, argv, ps);
}
