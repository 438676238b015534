#include "cli/commands.h"

#include "base/nearest.h"
#include "cli/help_text.h"

#include <string.h>

const Command commands[N_COMMANDS] = {
#define COMMAND(id_, name_, takes_, max_, usage_, summary_, text_, examples_)                                \
    {.id = COMMAND_##id_,                                                                                    \
     .name = #name_,                                                                                         \
     .takes = takes_,                                                                                        \
     .max_words = max_,                                                                                      \
     .usage = usage_,                                                                                        \
     .summary = summary_,                                                                                    \
     .text = text_,                                                                                          \
     .examples = examples_,                                                                                  \
     .run = cmd_##name_},
#include "cli/commands.def"
};

const Command *command_find(const char *name) {
    for (const Command *c = commands; c < commands + N_COMMANDS; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

bool command_unknown(const char *name, Err *err) {
    const Command *best = NULL;
    Nearest near = nearest_to(name);
    for (const Command *c = commands; c < commands + N_COMMANDS; c++)
        if (nearest_take(&near, c->name, 0)) best = c;
    if (!best) return err_set(err, ERR_NOT_FOUND, "there is no command '%s'; `cllm --help` lists all", name);
    return err_set(err, ERR_NOT_FOUND, "there is no command '%s'; did you mean %s? `cllm --help` lists all",
                   name, best->name);
}

const Command *command_of(OptionCommand id) {
    for (const Command *c = commands; c < commands + N_COMMANDS; c++)
        if (c->id == id) return c;
    return NULL;
}

void command_print_help(const Command *c, FILE *out) {
    Buf text = {0};
    help_put_words(&text, c->text, 0, 0);
    fprintf(out, "usage: cllm %s %s\n\n%s", c->name, c->usage, text.failed ? "" : text.ptr);
    buf_free(&text);
    if (c->examples[0]) fputs("\nexamples:\n", out);
    for (const char *line = c->examples; *line; line += strcspn(line, "\n") + 1)
        fprintf(out, "  %.*s\n", (int)strcspn(line, "\n"), line);
    options_print_help(c->id, out);
}

static void warn_of_variables(const char *command) {
    Err err;
    for (size_t at = 0; options_find_misspelt(&at, &err);)
        fprintf(stderr, "cllm %s: warning: %s\n", command, err.msg);
}

bool output_is_written(Err *err) {
    return (fflush(stdout) == 0 && !ferror(stdout)) || err_set(err, ERR_IO, "cannot write the output");
}

static int exit_code(const Command *c, bool ok, int code, Err *err) {
    if (ok && output_is_written(err)) return code;
    fprintf(stderr, "cllm %s: %s\n", c->name, err->msg);
    return code ? code : 1;
}

int command_main(OptionCommand id, int argc, char **argv, CommandBody *body) {
    const Command *c = command_of(id);
    Options o;
    Err err;
    int code = 0;
    if (!options_load(&o, id, argc, argv, &err)) {
        fprintf(stderr, "cllm %s: %s\n", c->name, err.msg);
        code = EXIT_USAGE;
    } else if (o.help) {
        command_print_help(c, stdout);
        code = exit_code(c, true, 0, &err);
    } else {
        warn_of_variables(c->name);
        bool ok = body(&o, &code, &err);
        code = exit_code(c, ok, code, &err);
    }
    options_free(&o);
    return code;
}
