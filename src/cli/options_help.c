#include "cli/option_spec.h"

#include <stdio.h>
#include <string.h>

static void print_option(const OptionSpec *s, FILE *out) {
    char name[OPTION_NAME_MAX], left[2 * OPTION_NAME_MAX];
    Buf line = {0}, value = {0};
    option_flag(s, name);
    const char letter[] = {'-', s->short_flag, ',', 0};
    snprintf(left, sizeof left, "%s --%s %s", s->short_flag ? letter : "   ", name,
             s->placeholder ? s->placeholder : "");
    buf_printf(&line, "  %-32s %s", left, s->help);
    if (s->choices) buf_printf(&line, " (%s)", s->choices);
    option_put_default(s, &value);
    if (value.len) buf_printf(&line, " [%s]", value.ptr);
    buf_free(&value);
    fprintf(out, "%s\n", line.failed ? "" : line.ptr);
    buf_free(&line);
}

void options_print_help(OptionCommand command, FILE *out) {
    const char *section = "";
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        if (!(s->commands & command)) continue;
        const char *own = s->section ? s->section : "command line only";
        if (strcmp(own, section) != 0) fprintf(out, "\n%s:\n", own);
        section = own;
        print_option(s, out);
    }
    if (command & COMMAND_LIBRARY)
        fputs(
            "\nAn option under `library` is also an environment variable: CLLM_ and its name in capitals.\n",
            out);
    if (!(command & COMMAND_ANY)) return;
    fputs("\nAn option under a section NAME is also `NAME: key: value` in the file that --config names, and\n"
          "an environment variable: CLLM_ and its name in capitals (--kv-tokens is CLLM_KV_TOKENS). A flag\n"
          "beats the environment, which beats the file, which beats the default in [brackets].\n",
          out);
}
