// The subcommands: the table of all (commands.def), and the frame that most of them run in.
//
// A command's function gets its own argv (argv[0] is the command's name) and returns the exit code:
// 0 success, 1 failure (message on stderr), 2 wrong usage, 130 ended by Ctrl-C.
#ifndef CLLM_CLI_COMMANDS_H
#define CLLM_CLI_COMMANDS_H

#include "cli/options.h"

typedef struct Command {
    OptionCommand id;
    const char *name;
    Takes takes;
    int max_words; // arguments without a dash
    const char *usage, *summary, *text, *examples;
    int (*run)(int argc, char **argv);
} Command;

enum { N_COMMANDS = COMMAND_END };
extern const Command commands[N_COMMANDS];

const Command *command_find(const char *name); // NULL: there is none
const Command *command_of(OptionCommand id);

// Sets *err: there is no such command, and which may be meant. Returns false.
bool command_unknown(const char *name, Err *err);

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

// Whether all that was printed has reached stdout. What a command prints is looked at behind it.
bool output_is_written(Err *err);

// Loads the options of a command and calls body, which returns false for a failure that *err
// describes and otherwise sets *code, if it is not to be 0. --help and wrong usage are dealt with here, and variables that may be misspelt warned of.
typedef bool CommandBody(Options *o, int *code, Err *err);
int command_main(OptionCommand id, int argc, char **argv, CommandBody *body);

void command_print_help(const Command *c, FILE *out);

#define COMMAND(id, name, ...) int cmd_##name(int argc, char **argv);
#include "cli/commands.def"

#endif
