#include "cli/completion.h"

#include "cli/commands.h"
#include "cli/option_spec.h"

#include <string.h>

// What can be proposed for the value of an option, or for an argument.
typedef enum Proposal {
    PROPOSE_NOTHING,
    PROPOSE_CHOICES,
    PROPOSE_FILES,
    PROPOSE_FOLDERS,
    PROPOSE_MODELS
} Proposal;

static Proposal proposal_for(const OptionSpec *s) {
    if (s->kind == KIND_CHOICE) return PROPOSE_CHOICES;
    if (!s->placeholder) return PROPOSE_NOTHING;
    if (strcmp(s->placeholder, "FILE") == 0) return PROPOSE_FILES;
    if (strcmp(s->placeholder, "DIR") == 0) return PROPOSE_FOLDERS;
    return strcmp(s->placeholder, "MODEL") == 0 ? PROPOSE_MODELS : PROPOSE_NOTHING;
}

static bool has_option(const Command *c, const OptionSpec *s) {
    return (s->commands & c->id) != 0;
}

// "a|b" as "a b".
static void put_choices(Buf *out, const char *choices) {
    for (const char *p = choices; *p; p++) buf_putc(out, *p == '|' ? ' ' : *p);
}

static void put_command_names(Buf *out) {
    for (const Command *c = commands; c < commands + N_COMMANDS; c++)
        buf_printf(out, "%s%s", c > commands ? " " : "", c->name);
}

// ---- bash ----

static const char bash_functions[] =
    "# bash completion for cllm; made by `cllm completion bash`.\n"
    "\n"
    "_cllm_files() { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- \"$1\")); }\n"
    "_cllm_folders() { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- \"$1\")); }\n"
    "_cllm_words() { COMPREPLY+=($(compgen -W \"$2\" -- \"$1\")); }\n"
    "_cllm_names() { _cllm_words \"$1\" \"$(cllm list --quiet 2>/dev/null)\"; }\n"
    "_cllm_sources() { _cllm_words \"$1\" \"$(cllm list --catalogue --quiet 2>/dev/null)\"; _cllm_files \"$1\"; }\n"
    "_cllm_servers() { _cllm_words \"$1\" \"$(cllm ps --quiet 2>/dev/null)\"; }\n"
    "_cllm_models() { _cllm_names \"$1\"; _cllm_files \"$1\"; }\n"
    "_cllm_shells() { _cllm_words \"$1\" \"bash zsh fish\"; }\n";

static const char bash_head[] =
    "_cllm() {\n"
    "    local IFS=$' \\t\\n' cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    COMPREPLY=()\n";

static void put_bash_value(Buf *out, const OptionSpec *s) {
    static const char *const calls[] = {"", "", "_cllm_files", "_cllm_folders", "_cllm_models"};
    char flag[OPTION_NAME_MAX];
    Proposal p = proposal_for(s);
    option_flag(s, flag);
    buf_printf(out, "        --%s", flag);
    if (s->short_flag) buf_printf(out, "|-%c", s->short_flag);
    buf_puts(out, ") ");
    if (p == PROPOSE_CHOICES) {
        buf_puts(out, "_cllm_words \"$cur\" \"");
        put_choices(out, s->choices);
        buf_puts(out, "\"; ");
    } else if (p != PROPOSE_NOTHING) {
        buf_printf(out, "%s \"$cur\"; ", calls[p]);
    }
    buf_puts(out, "return ;;\n");
}

static void put_bash_flags(Buf *out, const Command *c) {
    buf_puts(out, "        if [[ $cur == -* ]]; then _cllm_words \"$cur\" \"");
    const char *space = "";
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        char flag[OPTION_NAME_MAX];
        if (!has_option(c, s)) continue;
        option_flag(s, flag);
        buf_printf(out, "%s--%s", space, flag);
        space = " ";
    }
    buf_puts(out, "\"; return; fi\n");
}

static void put_bash_words(Buf *out, const Command *c) {
    static const char *const calls[] = {[TAKES_MODEL] = "_cllm_models",
                                        [TAKES_SOURCE] = "_cllm_sources",
                                        [TAKES_NAMES] = "_cllm_names",
                                        [TAKES_SERVERS] = "_cllm_servers",
                                        [TAKES_TEXT] = NULL,
                                        [TAKES_NOTHING] = NULL,
                                        [TAKES_SHELL] = "_cllm_shells",
                                        [TAKES_COMMAND] = "_cllm_commands"};
    if (calls[c->takes]) buf_printf(out, "        %s \"$cur\"\n", calls[c->takes]);
}

static void put_bash_command(Buf *out, const Command *c) {
    buf_printf(out, "    %s)\n        case $prev in\n", c->name);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        if (has_option(c, s) && s->kind != KIND_FLAG) put_bash_value(out, s);
    buf_puts(out, "        esac\n");
    put_bash_flags(out, c);
    put_bash_words(out, c);
    buf_puts(out, "        ;;\n");
}

void completion_put_bash(Buf *out) {
    buf_puts(out, bash_functions);
    buf_puts(out, "_cllm_commands() { _cllm_words \"$1\" \"");
    put_command_names(out);
    buf_puts(out, "\"; }\n\n");
    buf_puts(out, bash_head);
    buf_puts(out, "    if ((COMP_CWORD == 1)); then _cllm_commands \"$cur\"; return; fi\n"
                  "    case ${COMP_WORDS[1]} in\n");
    for (const Command *c = commands; c < commands + N_COMMANDS; c++) put_bash_command(out, c);
    buf_puts(out, "    esac\n}\n\ncomplete -F _cllm cllm\n");
}

// ---- zsh ----

// Inside '…' of an _arguments specification, where brackets and colons mean something.
static void put_zsh_text(Buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\'')
            buf_puts(out, "'\\''");
        else if (strchr("[]:\\", *text))
            buf_printf(out, "\\%c", *text);
        else
            buf_putc(out, *text);
    }
}

static void put_zsh_value(Buf *out, const OptionSpec *s) {
    static const char *const actions[] = {"", "", "_files", "_files -/", "_cllm_models"};
    Proposal p = proposal_for(s);
    if (s->kind == KIND_FLAG) return;
    buf_printf(out, ":%s:", s->placeholder);
    if (p == PROPOSE_CHOICES) {
        buf_putc(out, '(');
        put_choices(out, s->choices);
        buf_putc(out, ')');
    } else {
        buf_puts(out, actions[p]);
    }
}

static void put_zsh_option(Buf *out, const OptionSpec *s) {
    char flag[OPTION_NAME_MAX];
    option_flag(s, flag);
    const char *equals = s->kind == KIND_FLAG ? "" : "=";
    for (int form = 0; form < 1 + (s->short_flag != 0); form++) {
        buf_puts(out, " \\\n            '");
        if (s->short_flag) buf_printf(out, "(-%c --%s)", s->short_flag, flag);
        if (form == 0)
            buf_printf(out, "--%s%s[", flag, equals);
        else
            buf_printf(out, "-%c%s[", s->short_flag, s->kind == KIND_FLAG ? "" : "+");
        put_zsh_text(out, s->help);
        buf_putc(out, ']');
        put_zsh_value(out, s);
        buf_putc(out, '\'');
    }
}

static void put_zsh_command(Buf *out, const Command *c) {
    static const char *const words[] = {
        [TAKES_NOTHING] = "",
        [TAKES_MODEL] = "1:model:_cllm_models",
        [TAKES_SOURCE] = "1:source:_cllm_sources",
        [TAKES_NAMES] = "*:name:_cllm_names",
        [TAKES_SERVERS] = "*:server:_cllm_servers",
        [TAKES_TEXT] = "1:text:",
        [TAKES_SHELL] = "1:shell:(bash zsh fish)",
        [TAKES_COMMAND] = "1:command:_cllm_commands",
    };
    buf_printf(out, "    %s)\n        _arguments -s", c->name);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        if (has_option(c, s)) put_zsh_option(out, s);
    if (words[c->takes][0]) buf_printf(out, " \\\n            '%s'", words[c->takes]);
    buf_puts(out, "\n        ;;\n");
}

void completion_put_zsh(Buf *out) {
    buf_puts(out,
             "#compdef cllm\n# zsh completion for cllm; made by `cllm completion zsh`.\n\n"
             "_cllm_names() { compadd -- ${(f)\"$(cllm list --quiet 2>/dev/null)\"} }\n"
             "_cllm_sources() { compadd -- ${(f)\"$(cllm list --catalogue --quiet 2>/dev/null)\"}; _files }\n"
             "_cllm_servers() { compadd -- ${(f)\"$(cllm ps --quiet 2>/dev/null)\"} }\n"
             "_cllm_models() { _cllm_names; _files }\n"
             "_cllm_commands() {\n    local -a all\n    all=(\n");
    for (const Command *c = commands; c < commands + N_COMMANDS; c++) {
        buf_printf(out, "        '%s:", c->name);
        put_zsh_text(out, c->summary);
        buf_puts(out, "'\n");
    }
    buf_puts(out, "    )\n    _describe command all\n}\n\n_cllm() {\n"
                  "    if (( CURRENT == 2 )); then _cllm_commands; return; fi\n"
                  "    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n");
    for (const Command *c = commands; c < commands + N_COMMANDS; c++) put_zsh_command(out, c);
    buf_puts(out, "    esac\n}\n\n"
                  "if [ \"$funcstack[1]\" = _cllm ]; then _cllm \"$@\"; else compdef _cllm cllm; fi\n");
}

// ---- fish ----

static void put_fish_text(Buf *out, const char *text) {
    buf_putc(out, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') buf_putc(out, '\\');
        buf_putc(out, *text);
    }
    buf_putc(out, '\'');
}

static void put_fish_option(Buf *out, const Command *c, const OptionSpec *s) {
    static const char *const values[] = {" -x", "", " -rF", " -xa '(__fish_complete_directories)'",
                                         " -rFa '(cllm list --quiet 2>/dev/null)'"};
    char flag[OPTION_NAME_MAX];
    Proposal p = proposal_for(s);
    option_flag(s, flag);
    buf_printf(out, "complete -c cllm -n '__fish_seen_subcommand_from %s' -l %s", c->name, flag);
    if (s->short_flag) buf_printf(out, " -s %c", s->short_flag);
    if (p == PROPOSE_CHOICES) {
        buf_puts(out, " -xa '");
        put_choices(out, s->choices);
        buf_putc(out, '\'');
    } else if (s->kind != KIND_FLAG) {
        buf_puts(out, values[p]);
    }
    buf_puts(out, " -d ");
    put_fish_text(out, s->help);
    buf_putc(out, '\n');
}

static void put_fish_command(Buf *out, const Command *c) {
    static const char *const words[] = {
        [TAKES_NOTHING] = "",
        [TAKES_MODEL] = " -Fa '(cllm list --quiet 2>/dev/null)'",
        [TAKES_SOURCE] = " -Fa '(cllm list --catalogue --quiet 2>/dev/null)'",
        [TAKES_NAMES] = " -a '(cllm list --quiet 2>/dev/null)'",
        [TAKES_SERVERS] = " -a '(cllm ps --quiet 2>/dev/null)'",
        [TAKES_TEXT] = "",
        [TAKES_SHELL] = " -a 'bash zsh fish'",
        [TAKES_COMMAND] = " -a \"$__cllm_commands\"",
    };
    buf_printf(out, "complete -c cllm -n __fish_use_subcommand -a %s -d ", c->name);
    put_fish_text(out, c->summary);
    buf_putc(out, '\n');
    if (words[c->takes][0])
        buf_printf(out, "complete -c cllm -n '__fish_seen_subcommand_from %s'%s\n", c->name, words[c->takes]);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        if (has_option(c, s)) put_fish_option(out, c, s);
}

void completion_put_fish(Buf *out) {
    buf_puts(out, "# fish completion for cllm; made by `cllm completion fish`.\n\nset -g __cllm_commands '");
    put_command_names(out);
    buf_puts(out, "'\ncomplete -c cllm -f\n");
    for (const Command *c = commands; c < commands + N_COMMANDS; c++) put_fish_command(out, c);
}
