// The options of cllm: one struct, filled from four places by one table.
//
// options.def has an entry for each option; the struct, the flags, the environment names, the keys
// of the configuration file, the bounds and the help text are all generated from it. A flag beats
// the environment, which beats the file, which beats the default, whatever order they are read in.
//
// Thread: one; filled before any other thread starts, read-only afterwards.
#ifndef CLLM_CLI_OPTIONS_H
#define CLLM_CLI_OPTIONS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>

enum {
#define COMMAND(id, ...) COMMAND_INDEX_##id,
#include "cli/commands.def"
    COMMAND_END
};

// Bits, so that an option can name several.
typedef enum OptionCommand {
#define COMMAND(id, ...) COMMAND_##id = 1 << COMMAND_INDEX_##id,
#include "cli/commands.def"
    COMMAND_ANY = COMMAND_SERVE | COMMAND_RUN | COMMAND_EVAL | COMMAND_BENCH, // those that run a model
    COMMAND_LIBRARY = COMMAND_PULL | COMMAND_LIST | COMMAND_RM | COMMAND_SHOW,
    COMMAND_FILES = COMMAND_INSPECT | COMMAND_TOKENIZE | COMMAND_TEMPLATE, // those that read a model's file
    COMMAND_EVERY = (1 << COMMAND_END) - 1,
} OptionCommand;

// What a command's arguments without a dash are.
typedef enum Takes {
    TAKES_NOTHING,
    TAKES_MODEL,   // a file or a name; it is Options.model
    TAKES_SOURCE,  // what can be fetched
    TAKES_NAMES,   // of models in the library
    TAKES_SERVERS, // that run: PID, port or model
    TAKES_TEXT,
    TAKES_SHELL,
    TAKES_COMMAND,
} Takes;

enum { MAX_WORDS = 64 };

// Where a value came from, weakest first.
typedef enum OptionSource { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENV, SOURCE_FLAG } OptionSource;

enum {
#define OPT_STR(field, ...) OPTION_##field,
#define OPT_LIST OPT_STR
#define OPT_CHOICE OPT_STR
#define OPT_INT OPT_STR
#define OPT_REAL OPT_STR
#define OPT_FLAG OPT_STR
#include "cli/options.def"
    N_OPTIONS
};

// A LIST, which may be given several times: its field is the first value, and behind it stand …
typedef struct OptionMore {
    char **at; // … these, [n]
    int32_t n;
} OptionMore;

typedef struct Options {
#define OPT_STR(field, ...) char *field;
#define OPT_LIST(field, ...)                                                                                 \
    char *field;                                                                                             \
    OptionMore more_##field;
#define OPT_CHOICE OPT_STR
#define OPT_INT(field, ...) int64_t field;
#define OPT_REAL(field, ...) double field;
#define OPT_FLAG(field, ...) bool field;
#include "cli/options.def"
    OptionSource source[N_OPTIONS]; // by OPTION_field
    const char *words[MAX_WORDS];   // the arguments without a dash, as argv has them
    int n_words;
} Options;

bool options_init(Options *o, Err *err); // the defaults; false: out of memory
void options_free(Options *o);           // a zeroed or half-filled struct is allowed

// Fills *o for one command: flags, then the file that --config names, then the environment, then
// checks what options demand of each other. argv[0] is skipped; of the commands that run or show a
// model, the argument without a dash is the model. Errors name the place (flag, variable, or file:line), the
// bounds and the nearest known name. With --help the rest is not looked at. The caller frees *o in every
// case.
bool options_load(Options *o, OptionCommand command, int argc, char **argv, Err *err);

// Without a level of the user's choice, logs warnings and errors only.
void options_quieten(Options *o);

// The parts of options_load.
bool options_read_args(Options *o, OptionCommand command, int argc, char **argv, Err *err);
bool options_read_env(Options *o, OptionCommand command, Err *err);
bool options_check(const Options *o, Err *err);

// What is wrong with the first variable in the environment that is none of cllm's but looks as if it were meant to be
// one; *at (0 at first) is where to look on. false: there is no further one. Other CLLM_… are somebody else's.
bool options_find_misspelt(size_t *at, Err *err);

// Sets SECTION.KEY from the configuration file. plain: written without quotes, so that it may be a
// number or a truth value. Errors name the key; the caller adds the place. *index: which option.
bool options_set_key(Options *o, OptionCommand command, const char *section, const char *key,
                     const char *value, bool plain, int *index, Err *err);
bool options_key_is_list(const char *section, const char *key);
bool options_has_section(const char *section);
const char *options_nearest_section(const char *section); // the one that may be meant; NULL: none

// One option by its index (OPTION_field): its name with underscores, its value as text, and setting it as its
// flag would.
const char *options_name(int index);
void options_put_value(const Options *o, int index, Buf *out);
bool options_set(Options *o, int index, const char *value, Err *err);

void options_print_help(OptionCommand command, FILE *out); // the list of flags

#endif
