// `cllm man`: manual pages, made from the tables of commands and options (macros of man(7)).
#include "cli/commands.h"

#include "base/utf8.h"
#include "base/version.h"
#include "cli/option_spec.h"

#include <ctype.h>
#include <string.h>

// ---- text ----

// A backslash, a dash and what is not ASCII are spelled out; a line never begins with a request.
static void put_text(Buf *out, Str s) {
    while (s.len) {
        Utf8Step step = utf8_step(s);
        bool line_start = out->len == 0 || out->ptr[out->len - 1] == '\n';
        if (step.cp == '\\')
            buf_puts(out, "\\e");
        else if (step.cp == '-')
            buf_puts(out, "\\-");
        else if (line_start && (step.cp == '.' || step.cp == '\''))
            buf_printf(out, "\\&%c", (char)step.cp);
        else if (step.cp < 0x80)
            buf_putc(out, (char)step.cp);
        else
            buf_printf(out, "\\[u%04X]", (unsigned)step.cp);
        s = str_skip(s, step.n);
    }
}

static void put_string(Buf *out, const char *text) {
    put_text(out, str_from(text));
}

static void put_title(Buf *out, const Command *c) {
    buf_puts(out, ".TH \"CLLM");
    if (c) buf_putc(out, '-');
    for (const char *p = c ? c->name : ""; *p; p++) buf_putc(out, (char)toupper((unsigned char)*p));
    buf_printf(out, "\" \"1\" \"%s\" \"cLLM %s\" \"User Commands\"\n.ad l\n.nh\n", CLLM_DATE, CLLM_VERSION);
}

// ---- options ----

static void put_option(Buf *out, const OptionSpec *s) {
    char flag[OPTION_NAME_MAX];
    Buf choices = {0}, value = {0};
    option_flag(s, flag);
    buf_puts(out, ".TP\n");
    if (s->short_flag) buf_printf(out, "\\fB\\-%c\\fR, ", s->short_flag);
    buf_puts(out, "\\fB\\-\\-");
    put_string(out, flag);
    buf_puts(out, "\\fR");
    if (s->placeholder) buf_printf(out, " \\fI%s\\fR", s->placeholder);
    buf_putc(out, '\n');
    put_string(out, s->help);
    buf_putc(out, '.');
    option_put_default(s, &value);
    if (s->choices) {
        buf_puts(out, " One of ");
        option_put_choices(s, &choices);
        put_text(out, buf_str(&choices));
        buf_putc(out, '.');
    }
    if (value.len) {
        buf_puts(out, " Default: ");
        put_text(out, buf_str(&value));
        buf_putc(out, '.');
    }
    buf_putc(out, '\n');
    buf_free(&choices);
    buf_free(&value);
}

static void put_keys(Buf *out, const Command *c, const OptionSpec *s) {
    char variable[OPTION_NAME_MAX];
    option_variable(s, variable);
    if (c->id & COMMAND_ANY) // the others read no configuration file
        buf_printf(out, "In a configuration file \\fB%s.%s\\fR, in the environment \\fB%s\\fR.\n", s->section,
                   s->key, variable);
    else
        buf_printf(out, "In the environment \\fB%s\\fR.\n", variable);
}

static void put_options(Buf *out, const Command *c) {
    buf_puts(out, ".SH OPTIONS\n");
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        if (!(s->commands & c->id)) continue;
        put_option(out, s);
        if (s->section) put_keys(out, c, s);
    }
}

// ---- pages ----

static void put_see_also(Buf *out, const Command *but) {
    buf_puts(out, ".SH SEE ALSO\n");
    if (but) buf_puts(out, "\\fBcllm\\fR(1)");
    const char *comma = but ? ",\n" : "";
    for (const Command *c = commands; c < commands + N_COMMANDS; c++) {
        if (c == but) continue;
        buf_printf(out, "%s\\fBcllm\\-%s\\fR(1)", comma, c->name);
        comma = ",\n";
    }
    buf_putc(out, '\n');
}

static void put_exit_status(Buf *out) {
    buf_puts(out,
             ".SH EXIT STATUS\n0 success, 1 failure (with a message on standard error), 2 wrong usage, 130 "
             "ended by Ctrl\\-C.\n");
}

// Each command line, and below it what stands behind its "#".
static void put_examples(Buf *out, const Command *c) {
    const char *paragraph = ".SH EXAMPLES\n";
    for (Str rest = str_from(c->examples); rest.len;) {
        Str line = str_sub(rest, 0, str_index_of(rest, STR("\n")));
        size_t end = str_index_of(line, STR(" #"));
        Str note = str_skip(line, end + strlen(" # "));
        rest = str_skip(rest, line.len + 1);
        while (end && line.ptr[end - 1] == ' ') end--;
        buf_puts(out, paragraph);
        buf_puts(out, "\\fB");
        paragraph = ".PP\n";
        put_text(out, str_sub(line, 0, end));
        buf_puts(out, "\\fR\n");
        if (!note.len) continue;
        buf_puts(out, ".RS\n");
        put_text(out, note);
        buf_puts(out, ".\n.RE\n");
    }
}

static void put_command_page(Buf *out, const Command *c) {
    put_title(out, c);
    buf_printf(out, ".SH NAME\ncllm\\-%s \\- ", c->name);
    put_string(out, c->summary);
    buf_printf(out, "\n.SH SYNOPSIS\n\\fBcllm %s\\fR ", c->name);
    put_string(out, c->usage);
    buf_puts(out, "\n.SH DESCRIPTION\n");
    put_string(out, c->text);
    buf_putc(out, '\n');
    put_options(out, c);
    put_exit_status(out);
    put_examples(out, c);
    put_see_also(out, c);
}

static const char description[] =
    "cLLM serves large language models (GGUF files) on ordinary CPUs over HTTP, and answers in the terminal.\n";
static const char configuration[] =
    ".SH CONFIGURATION\n"
    "Options that have a key are also read from a YAML file (\\fB\\-\\-config\\fR) and from the environment. A flag "
    "beats\nthe environment, which beats the file, which beats the default.\n";
static const char files[] =
    ".SH FILES\n"
    ".TP\n\\fI$XDG_CACHE_HOME/cllm/models\\fR, \\fI~/.cache/cllm/models\\fR\nThe library of models.\n"
    ".TP\n\\fI$XDG_STATE_HOME/cllm/run_history\\fR, \\fI~/.local/state/cllm/run_history\\fR\n"
    "What was typed in chats.\n"
    ".TP\n\\fI$XDG_RUNTIME_DIR/cllm\\fR, \\fI/tmp/cllm\\-UID\\fR\nA file for each running server.\n";
static const char environment[] =
    ".SH ENVIRONMENT\n"
    ".TP\n\\fBHF_TOKEN\\fR, \\fBHF_ENDPOINT\\fR\nAccess token and address of the Hugging Face hub.\n"
    ".TP\n\\fBhttps_proxy\\fR, \\fBhttp_proxy\\fR, \\fBno_proxy\\fR\nProxies for fetching models.\n"
    ".TP\n\\fBCLLM_CPU\\fR\nLimits the instruction sets used.\n"
    ".TP\n\\fBNO_COLOR\\fR\nWhen set, chats have no colours.\n";

static void put_main_page(Buf *out) {
    put_title(out, NULL);
    buf_puts(out, ".SH NAME\ncllm \\- serve large language models on CPUs\n"
                  ".SH SYNOPSIS\n\\fBcllm\\fR \\fICOMMAND\\fR [options]\n.SH DESCRIPTION\n");
    buf_puts(out, description);
    buf_puts(out, ".SH COMMANDS\n");
    for (const Command *c = commands; c < commands + N_COMMANDS; c++) {
        buf_printf(out, ".TP\n\\fBcllm\\-%s\\fR(1)\n", c->name);
        put_string(out, c->summary);
        buf_puts(out, ".\n");
    }
    buf_puts(out, configuration);
    buf_puts(out, environment);
    buf_puts(out, files);
    put_exit_status(out);
    put_see_also(out, NULL);
}

// ---- lines ----

enum { LINE_MAX_BYTES = 78 };

// Breaks a line of text at spaces, which changes nothing of how it is shown. Its source stays readable.
static void put_broken(Buf *out, Str line) {
    while (line.len > LINE_MAX_BYTES) {
        size_t at = LINE_MAX_BYTES;
        while (at > 0 && line.ptr[at] != ' ') at--;
        if (!at) break;
        buf_put(out, str_sub(line, 0, at));
        line = str_skip(line, at + 1);
        bool request = line.len && (line.ptr[0] == '.' || line.ptr[0] == '\'');
        buf_puts(out, request ? "\n\\&" : "\n");
    }
    buf_put(out, line);
    buf_putc(out, '\n');
}

static void put_lines(Buf *out, Str page) {
    while (page.len) {
        const char *end = memchr(page.ptr, '\n', page.len);
        Str line = {page.ptr, end ? (size_t)(end - page.ptr) : page.len};
        page = str_skip(page, line.len + 1);
        if (line.len && line.ptr[0] != '.') {
            put_broken(out, line);
        } else {
            buf_put(out, line);
            buf_putc(out, '\n');
        }
    }
}

// ---- the command ----

static bool man(Options *o, int *code, Err *err) {
    const Command *c = o->n_words ? command_find(o->words[0]) : NULL;
    if (o->n_words && !c) {
        *code = EXIT_USAGE;
        return command_unknown(o->words[0], err);
    }
    Buf page = {0}, out = {0};
    if (c)
        put_command_page(&page, c);
    else
        put_main_page(&page);
    put_lines(&out, buf_str(&page));
    bool ok = (!page.failed && !out.failed) || err_set(err, ERR_NOMEM, "out of memory");
    if (ok) fwrite(out.ptr, 1, out.len, stdout);
    buf_free(&page);
    buf_free(&out);
    return ok;
}

int cmd_man(int argc, char **argv) {
    return command_main(COMMAND_MAN, argc, argv, man);
}
