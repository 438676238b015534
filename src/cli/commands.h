// The subcommands. Each gets its own argv (argv[0] is the command's name) and returns the exit
// code: 0 success, 1 failure (message on stderr), 2 wrong usage.
#ifndef CLLM_CLI_COMMANDS_H
#define CLLM_CLI_COMMANDS_H

int cmd_serve(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_template(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
