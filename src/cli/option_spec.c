#include "cli/option_spec.h"

#include <ctype.h>
#include <stdio.h>

#define SPEC(field_, kind_, commands_, section_, key_, short_, ...)                                          \
    {.name = #field_,                                                                                        \
     .kind = kind_,                                                                                          \
     .commands = commands_,                                                                                  \
     .section = section_,                                                                                    \
     .key = key_,                                                                                            \
     .short_flag = short_,                                                                                   \
     .offset = offsetof(Options, field_),                                                                    \
     __VA_ARGS__},

const OptionSpec option_specs[N_OPTIONS] = {
#define OPT_STR(f, c, s, k, sh, ph, def, h)                                                                  \
    SPEC(f, KIND_STR, c, s, k, sh, .placeholder = ph, .text = def, .help = h)
#define OPT_LIST(f, c, s, k, sh, ph, def, h)                                                                 \
    SPEC(f, KIND_LIST, c, s, k, sh, .placeholder = ph, .text = def, .help = h,                               \
         .more_offset = offsetof(Options, more_##f))
#define OPT_CHOICE(f, c, s, k, sh, ph, def, list, h)                                                         \
    SPEC(f, KIND_CHOICE, c, s, k, sh, .placeholder = ph, .text = def, .choices = list, .help = h)
#define OPT_INT(f, c, s, k, sh, ph, def, lo, hi, h)                                                          \
    SPEC(f, KIND_INT, c, s, k, sh, .placeholder = ph, .integer = def, .int_min = lo, .int_max = hi, .help = h)
#define OPT_REAL(f, c, s, k, sh, ph, def, lo, hi, h)                                                         \
    SPEC(f, KIND_REAL, c, s, k, sh, .placeholder = ph, .number = def, .min = lo, .max = hi, .help = h)
#define OPT_FLAG(f, c, s, k, sh, h) SPEC(f, KIND_FLAG, c, s, k, sh, .help = h)
#include "cli/options.def"
};

bool option_is_text(const OptionSpec *spec) {
    return spec->kind == KIND_STR || spec->kind == KIND_LIST || spec->kind == KIND_CHOICE;
}

void option_flag(const OptionSpec *spec, char out[OPTION_NAME_MAX]) {
    snprintf(out, OPTION_NAME_MAX, "%s", spec->name);
    for (char *p = out; *p; p++)
        if (*p == '_') *p = '-';
}

void option_variable(const OptionSpec *spec, char out[OPTION_NAME_MAX]) {
    snprintf(out, OPTION_NAME_MAX, "CLLM_%s", spec->name);
    for (char *p = out; *p; p++) *p = (char)toupper((unsigned char)*p);
}

void option_put_choices(const OptionSpec *s, Buf *out) {
    for (const char *p = s->choices; *p; p++) {
        if (*p == '|')
            buf_puts(out, ", ");
        else
            buf_putc(out, *p);
    }
}

void option_put_default(const OptionSpec *s, Buf *out) {
    if (s->kind == KIND_INT && s->integer >= 0) buf_printf(out, "%lld", (long long)s->integer);
    if (s->kind == KIND_REAL && s->number >= 0) buf_printf(out, "%g", s->number);
    if (option_is_text(s)) buf_puts(out, s->text);
}
