// `cllm COMMAND …`: dispatch and nothing else.
#include "cli/commands.h"

#include "base/cpu.h"
#include "base/version.h"
#include "cli/lost_file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_usage(FILE *out) {
    fputs("usage: cllm COMMAND [options]\n\n", out);
    for (const Command *c = commands; c < commands + N_COMMANDS; c++)
        fprintf(out, "  %-10s %s\n", c->name, c->summary);
    fputs("\nto begin with:\n"
          "  cllm run qwen3-0.6b      a chat here; the model is fetched, once\n"
          "  cllm serve qwen3-0.6b    the same model on http://127.0.0.1:8080\n"
          "\n`cllm COMMAND --help` lists the options of a command, with examples;\n"
          "`cllm --version` tells the version.\n",
          out);
}

static int unknown(const char *name) {
    Err err;
    command_unknown(name, &err);
    fprintf(stderr, "cllm: %s\n", err.msg);
    return EXIT_USAGE;
}

static int print_version(void) {
    CpuRung rung;
    Err err;
    if (!cpu_rung(&rung, &err)) {
        fprintf(stderr, "cllm: %s\n", err.msg);
        return 1;
    }
    char rungs[128];
    cpu_list_rungs(rungs, sizeof rungs);
    printf("cllm %s, commit %s, CPU %s (this machine has: %s)\n", CLLM_VERSION, CLLM_COMMIT,
           cpu_rung_name(rung), rungs);
    return 0;
}

static int print_help(const char *name) {
    const Command *c = command_find(name);
    if (name[0] && !c) return unknown(name);
    if (c)
        command_print_help(c, stdout);
    else
        print_usage(stdout);
    return 0;
}

// A closed one would be the number of the next file or socket, and what is printed would go there.
static void open_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) _exit(1);
}

static int judged(int code) {
    Err err;
    if (code || output_is_written(&err)) return code;
    fprintf(stderr, "cllm: %s\n", err.msg);
    return 1;
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error of write(), not the end
    open_standard_streams();
    lost_file_watch();
    const char *name = argc > 1 ? argv[1] : "";
    const Command *c = command_find(name);
    if (c) return c->run(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) return judged(print_version());
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return judged(print_help(argc > 2 ? argv[2] : ""));
    if (name[0]) return unknown(name);
    print_usage(stderr);
    return EXIT_USAGE;
}
