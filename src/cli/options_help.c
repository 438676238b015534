#include "cli/help_text.h"
#include "cli/option_spec.h"

#include <stdio.h>
#include <string.h>

enum { LEFT_COLUMNS = 34 };

static void print_option(const OptionSpec *s, FILE *out) {
    char name[OPTION_NAME_MAX], left[2 * OPTION_NAME_MAX];
    Buf line = {0}, text = {0};
    option_flag(s, name);
    const char letter[] = {'-', s->short_flag, ',', 0};
    snprintf(left, sizeof left, "  %s --%s %s", s->short_flag ? letter : "   ", name,
             s->placeholder ? s->placeholder : "");
    buf_printf(&line, "%-*s ", LEFT_COLUMNS, left);
    buf_puts(&text, s->help);
    if (s->choices) {
        buf_puts(&text, " (");
        option_put_choices(s, &text);
        buf_putc(&text, ')');
    }
    Buf value = {0};
    option_put_default(s, &value);
    if (value.len) buf_printf(&text, " [%s]", value.ptr);
    help_put_words(&line, text.failed ? "" : text.ptr, line.len, LEFT_COLUMNS + 1);
    fputs(line.failed ? "\n" : line.ptr, out);
    buf_free(&value);
    buf_free(&text);
    buf_free(&line);
}

static bool is_in(const OptionSpec *s, OptionCommand command, const char *section) {
    const char *own = s->section ? s->section : "";
    return (s->commands & command) && strcmp(own, section) == 0;
}

// The command's options of the section that *first is the first of; nothing where it is not the first.
static void print_section(const OptionSpec *first, OptionCommand command, FILE *out) {
    const char *section = first->section ? first->section : "";
    if (!(first->commands & command)) return;
    for (const OptionSpec *s = option_specs; s < first; s++)
        if (is_in(s, command, section)) return;
    fprintf(out, "\n%s:\n", section[0] ? section : "command line only");
    for (const OptionSpec *s = first; s < option_specs + N_OPTIONS; s++)
        if (is_in(s, command, section)) print_option(s, out);
}

void options_print_help(OptionCommand command, FILE *out) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        print_section(s, command, out);
    if (command & COMMAND_LIBRARY)
        fputs("\nAn option under `library` is also an environment variable: CLLM_ and its name in\n"
              "capitals.\n",
              out);
    if (!(command & COMMAND_ANY)) return;
    fputs("\nAn option under a section NAME is also `NAME: key: value` in the file that\n"
          "--config names, and an environment variable: CLLM_ and its name in capitals\n"
          "(--kv-tokens is CLLM_KV_TOKENS). A flag beats the environment, which beats the\n"
          "file, which beats the default in [brackets].\n",
          out);
}
