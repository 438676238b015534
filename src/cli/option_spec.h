// The table of options as data (options.def): what reading, help, completions and manual pages are made of.
#ifndef CLLM_CLI_OPTION_SPEC_H
#define CLLM_CLI_OPTION_SPEC_H

#include "base/nearest.h"
#include "cli/options.h"

typedef enum OptionKind { KIND_STR, KIND_LIST, KIND_CHOICE, KIND_INT, KIND_REAL, KIND_FLAG } OptionKind;

typedef struct OptionSpec {
    const char *name; // the field; flag and variable are derived from it
    OptionKind kind;
    unsigned commands;
    const char *section, *key; // NULL: command line only
    char short_flag;           // 0: none
    const char *placeholder;
    const char *text;                  // default of STR, LIST and CHOICE
    const char *choices;               // "a|b|c"
    double number, min, max;           // REAL
    int64_t integer, int_min, int_max; // INT
    const char *help;
    size_t offset;
    size_t more_offset; // LIST: of the OptionMore
} OptionSpec;

extern const OptionSpec option_specs[N_OPTIONS]; // by OPTION_field

enum { OPTION_NAME_MAX = NEAREST_MAX_NAME };

bool option_is_text(const OptionSpec *s);
void option_flag(const OptionSpec *s, char out[OPTION_NAME_MAX]);     // "max_body_bytes" -> "max-body-bytes"
void option_variable(const OptionSpec *s, char out[OPTION_NAME_MAX]); // … -> "CLLM_MAX_BODY_BYTES"
void option_put_choices(const OptionSpec *s, Buf *out);               // "a|b|c" -> "a, b, c"
void option_put_default(const OptionSpec *s, Buf *out);               // nothing where it says nothing

#endif
