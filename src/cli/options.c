#define _GNU_SOURCE // environ
#include "cli/options.h"

#include "base/buf.h"
#include "base/nearest.h"
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/option_spec.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *field_of(const Options *o, const OptionSpec *spec) {
    return (char *)o + spec->offset;
}

static OptionMore *more_of(const Options *o, const OptionSpec *spec) {
    return (OptionMore *)(void *)((char *)o + spec->more_offset);
}

static void drop_more(OptionMore *more) {
    for (int32_t i = 0; i < more->n; i++) free(more->at[i]);
    free(more->at);
    *more = (OptionMore){0};
}

bool options_init(Options *o, Err *err) {
    memset(o, 0, sizeof *o);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        if (s->kind == KIND_INT) *(int64_t *)field_of(o, s) = s->integer;
        if (s->kind == KIND_REAL) *(double *)field_of(o, s) = s->number;
        if (!option_is_text(s)) continue;
        char *copy = strdup(s->text);
        if (!copy) return err_set(err, ERR_NOMEM, "out of memory");
        *(char **)field_of(o, s) = copy;
    }
    return true;
}

void options_free(Options *o) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        if (option_is_text(s)) free(*(char **)field_of(o, s));
        if (s->kind == KIND_LIST) drop_more(more_of(o, s));
    }
    memset(o, 0, sizeof *o);
}

void options_quieten(Options *o) {
    if (o->source[OPTION_log_level] == SOURCE_DEFAULT) memcpy(o->log_level, "warn", sizeof "warn");
}

// ---- nearest known name ----

const char *options_nearest_section(const char *section) {
    const char *best = NULL;
    Nearest near = nearest_to(section);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        if (s->section && nearest_take(&near, s->section, 0)) best = s->section;
    return best;
}

static const OptionSpec *nearest_flag(OptionCommand command, const char *name) {
    const OptionSpec *best = NULL;
    Nearest near = nearest_to(name);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        char flag[OPTION_NAME_MAX];
        option_flag(s, flag);
        if ((s->commands & command) && nearest_take(&near, flag, 0)) best = s;
    }
    return best;
}

// The nearest key of the section, or of any section when that is clearly nearer.
static const OptionSpec *nearest_key(OptionCommand command, const char *section, const char *key) {
    const OptionSpec *best = NULL;
    Nearest near = nearest_to(key);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        if (!s->section || !(s->commands & command)) continue;
        if (nearest_take(&near, s->key, strcmp(section, s->section) == 0 ? 0 : 2)) best = s;
    }
    return best;
}

bool options_has_section(const char *section) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        if (s->section && strcmp(s->section, section) == 0) return true;
    return false;
}

// ---- values ----

static bool set_int(const OptionSpec *s, int64_t *field, const char *value, Err *err) {
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    bool whole = end != value && *end == 0 && !isspace((unsigned char)value[0]);
    if (!whole)
        return err_set(err, ERR_INVALID, "'%s' is not a whole number (%lld to %lld)", value,
                       (long long)s->int_min, (long long)s->int_max);
    if (errno == ERANGE || n < s->int_min || n > s->int_max)
        return err_set(err, ERR_INVALID, "%s is out of range (%lld to %lld)", value, (long long)s->int_min,
                       (long long)s->int_max);
    *field = n;
    return true;
}

static bool set_real(const OptionSpec *s, double *field, const char *value, Err *err) {
    char *end;
    double x = strtod(value, &end);
    bool whole = end != value && *end == 0 && !isspace((unsigned char)value[0]) && isfinite(x);
    if (!whole) return err_set(err, ERR_INVALID, "'%s' is not a number (%g to %g)", value, s->min, s->max);
    if (x < s->min || x > s->max)
        return err_set(err, ERR_INVALID, "%s is out of range (%g to %g)", value, s->min, s->max);
    *field = x;
    return true;
}

static bool set_flag(bool *field, const char *value, Err *err) {
    bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
    if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
        return err_set(err, ERR_INVALID, "'%s' is neither true nor false", value);
    *field = yes;
    return true;
}

static bool is_choice(const char *choices, const char *value) {
    size_t n = strlen(value);
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (n > 0 && strncmp(at, value, n) == 0 && (at[n] == '|' || at[n] == 0)) return true;
    return false;
}

static bool set_text(const OptionSpec *s, char **field, const char *value, Err *err) {
    if (s->kind == KIND_CHOICE && !is_choice(s->choices, value))
        return err_set(err, ERR_INVALID, "'%s' is none of %s", value, s->choices);
    char *copy = strdup(value);
    if (!copy) return err_set(err, ERR_NOMEM, "out of memory");
    free(*field);
    *field = copy;
    return true;
}

static bool add_value(OptionMore *more, const char *value, Err *err) {
    char **longer = realloc(more->at, ((size_t)more->n + 1) * sizeof *longer);
    if (longer) more->at = longer;
    char *copy = longer ? strdup(value) : NULL;
    if (!copy) return err_set(err, ERR_NOMEM, "out of memory");
    more->at[more->n++] = copy;
    return true;
}

static bool set_list(Options *target, const OptionSpec *s, const char *value, Err *err) {
    drop_more(more_of(target, s));
    return set_text(s, field_of(target, s), value, err);
}

static bool set_field(Options *target, const OptionSpec *s, const char *value, Err *err) {
    switch (s->kind) {
    case KIND_INT: return set_int(s, field_of(target, s), value, err);
    case KIND_REAL: return set_real(s, field_of(target, s), value, err);
    case KIND_FLAG: return set_flag(field_of(target, s), value, err);
    case KIND_LIST: return set_list(target, s, value, err);
    default: return set_text(s, field_of(target, s), value, err);
    }
}

// A value from a weaker source is checked all the same, and then dropped.
static bool set_value(Options *o, const OptionSpec *s, const char *value, OptionSource source, Err *err) {
    OptionSource *held = &o->source[s - option_specs];
    if (s->kind == KIND_LIST && source == *held && source != SOURCE_DEFAULT)
        return add_value(more_of(o, s), value, err);
    Options scratch = {0};
    bool wins = source >= *held;
    bool ok = set_field(wins ? o : &scratch, s, value, err);
    if (!wins) options_free(&scratch);
    if (ok && wins) *held = source;
    return ok;
}

const char *options_name(int index) {
    return option_specs[index].name;
}

void options_put_value(const Options *o, int index, Buf *out) {
    const OptionSpec *s = &option_specs[index];
    const void *field = field_of(o, s);
    switch (s->kind) {
    case KIND_INT: buf_printf(out, "%lld", (long long)*(const int64_t *)field); break;
    case KIND_REAL: buf_printf(out, "%.10g", *(const double *)field); break;
    case KIND_FLAG: buf_puts(out, *(const bool *)field ? "true" : "false"); break;
    default: buf_puts(out, *(char *const *)field); break;
    }
}

bool options_set(Options *o, int index, const char *value, Err *err) {
    return set_value(o, &option_specs[index], value, SOURCE_FLAG, err) ||
           err_prefix(err, "%s", option_specs[index].name);
}

bool options_set_key(Options *o, OptionCommand command, const char *section, const char *key,
                     const char *value, bool plain, int *index, Err *err) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        if (!s->section || strcmp(s->section, section) != 0 || strcmp(s->key, key) != 0) continue;
        *index = (int)(s - option_specs);
        if (!(s->commands & command))
            return err_set(err, ERR_INVALID, "%s.%s: this command does not read it; take it out", section,
                           key);
        if (!plain && !option_is_text(s))
            return err_set(err, ERR_INVALID, "%s.%s: '%s' is text; write it without quotes", section, key,
                           value);
        if (set_value(o, s, value, SOURCE_FILE, err)) return true;
        return err_prefix(err, "%s.%s", section, key);
    }
    const OptionSpec *near = nearest_key(command, section, key);
    if (near)
        return err_set(err, ERR_INVALID, "unknown key %s.%s; did you mean %s.%s?", section, key,
                       near->section, near->key);
    return err_set(err, ERR_INVALID, "unknown key %s.%s; --help of the command lists the keys", section, key);
}

bool options_key_is_list(const char *section, const char *key) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        if (s->section && strcmp(s->section, section) == 0 && strcmp(s->key, key) == 0)
            return s->kind == KIND_LIST;
    return false;
}

// ---- environment ----

bool options_read_env(Options *o, OptionCommand command, Err *err) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        char name[OPTION_NAME_MAX];
        option_variable(s, name);
        const char *value = s->section && (s->commands & command) ? getenv(name) : NULL;
        if (!value || !value[0]) continue;
        if (!set_value(o, s, value, SOURCE_ENV, err)) return err_prefix(err, "%s", name);
    }
    return true;
}

// Not an option, since it is looked at before there are any (base/cpu.h).
static const char *const other_variable = "CLLM_CPU";

// Those without a section have no variable, and are found all the same: *flag is theirs then.
static bool nearest_variable(const char *name, char best[OPTION_NAME_MAX], bool *flag) {
    static const size_t n_prefix = sizeof "CLLM_" - 1;
    size_t length = strlen(name + n_prefix);
    Nearest near = nearest_to(name + n_prefix);
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        char variable[OPTION_NAME_MAX];
        option_variable(s, variable);
        if (!s->section && strcmp(variable, name) != 0) continue;
        if (!nearest_take(&near, variable + n_prefix, 0)) continue;
        *flag = !s->section;
        (*flag ? option_flag : option_variable)(s, best);
    }
    if (nearest_take(&near, other_variable + n_prefix, 0))
        snprintf(best, OPTION_NAME_MAX, "%s", other_variable);
    return near.distance <= length / 3 + 1; // what is further away means something else
}

bool options_find_misspelt(size_t *at, Err *err) {
    for (; environ[*at]; ++*at) {
        char name[OPTION_NAME_MAX], best[OPTION_NAME_MAX];
        bool flag = false;
        size_t n = strcspn(environ[*at], "=");
        snprintf(name, sizeof name, "%.*s", (int)n, environ[*at]);
        if (strncmp(name, "CLLM_", 5) != 0 || !nearest_variable(name, best, &flag)) continue;
        if (strcmp(name, best) == 0) continue;
        ++*at;
        err_set(err, ERR_INVALID,
                flag ? "%s means nothing: --%s is for the command line only"
                     : "%s means nothing; did you mean %s?",
                name, best);
        return true;
    }
    return false;
}

// ---- command line ----

typedef struct Args {
    Options *o;
    OptionCommand command;
    int argc, at; // at: the argument being read
    char **argv;
} Args;

static const OptionSpec *find_long(OptionCommand command, Str name) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++) {
        char flag[OPTION_NAME_MAX];
        option_flag(s, flag);
        if ((s->commands & command) && str_eq(name, str_from(flag))) return s;
    }
    return NULL;
}

static const OptionSpec *find_short(OptionCommand command, char c) {
    for (const OptionSpec *s = option_specs; s < option_specs + N_OPTIONS; s++)
        if ((s->commands & command) && s->short_flag && s->short_flag == c) return s;
    return NULL;
}

// value: what followed '=' or the letter, or NULL: then the next argument, except for a flag.
static bool take_value(Args *a, const OptionSpec *s, const char *value, Err *err) {
    char name[OPTION_NAME_MAX];
    option_flag(s, name);
    if (!value && s->kind == KIND_FLAG) value = "true";
    if (!value && a->at + 1 >= a->argc)
        return err_set(err, ERR_INVALID, "--%s wants a value: --%s %s", name, name, s->placeholder);
    if (!value) value = a->argv[++a->at];
    return set_value(a->o, s, value, SOURCE_FLAG, err) || err_prefix(err, "--%s", name);
}

static bool read_long(Args *a, const char *arg, Err *err) {
    const char *equals = strchr(arg, '=');
    Str name = {arg, equals ? (size_t)(equals - arg) : strlen(arg)};
    const OptionSpec *s = find_long(a->command, name);
    if (s) return take_value(a, s, equals ? equals + 1 : NULL, err);
    char text[OPTION_NAME_MAX], flag[OPTION_NAME_MAX];
    snprintf(text, sizeof text, "%.*s", (int)name.len, name.ptr);
    const OptionSpec *near = nearest_flag(a->command, text);
    if (!near) return err_set(err, ERR_INVALID, "unknown option --%s; --help lists all", text);
    option_flag(near, flag);
    return err_set(err, ERR_INVALID, "unknown option --%s; did you mean --%s? --help lists all", text, flag);
}

static bool read_short(Args *a, const char *arg, Err *err) {
    const OptionSpec *s = find_short(a->command, arg[0]);
    if (!s) return err_set(err, ERR_INVALID, "unknown option -%c; --help lists all", arg[0]);
    if (s->kind == KIND_FLAG && arg[1])
        return err_set(err, ERR_INVALID, "-%s: give each short option by itself", arg);
    return take_value(a, s, arg[1] ? arg + 1 : NULL, err);
}

static bool read_word(Args *a, const char *arg, Err *err) {
    const Command *c = command_of(a->command);
    if (a->o->n_words >= c->max_words)
        return err_set(err, ERR_INVALID, "unexpected argument '%s'; --help tells the usage", arg);
    a->o->words[a->o->n_words++] = arg;
    return c->takes != TAKES_MODEL || set_value(a->o, &option_specs[OPTION_model], arg, SOURCE_FLAG, err);
}

bool options_read_args(Options *o, OptionCommand command, int argc, char **argv, Err *err) {
    Args a = {.o = o, .command = command, .argc = argc, .argv = argv};
    bool only_words = false; // after "--"
    for (a.at = 1; a.at < argc; a.at++) {
        const char *arg = argv[a.at];
        bool ok = true;
        if (only_words || arg[0] != '-' || !arg[1])
            ok = read_word(&a, arg, err);
        else if (strcmp(arg, "--") == 0)
            only_words = true;
        else if (arg[1] == '-')
            ok = read_long(&a, arg + 2, err);
        else
            ok = read_short(&a, arg + 1, err);
        if (!ok) return false;
        if (o->help) return true;
    }
    return true;
}

bool options_check(const Options *o, Err *err) {
    if (o->row_budget < o->max_running)
        return err_set(
            err, ERR_INVALID,
            "row_budget (%lld) must be at least max_running (%lld): every running request needs a row in a step",
            (long long)o->row_budget, (long long)o->max_running);
    if (o->default_top_p == 0 || o->default_repetition_penalty == 0)
        return err_set(err, ERR_INVALID,
                       "default_top_p and default_repetition_penalty must be above 0, or below");
    if (o->kv_tokens && o->kv_memory_mb)
        return err_set(err, ERR_INVALID,
                       "kv_tokens and kv_memory_mb both size the KV pool: give one of them");
    return true;
}

static bool check_single_model(const Options *o, OptionCommand command, Err *err) {
    if (command == COMMAND_SERVE || o->more_model.n == 0) return true;
    return err_set(err, ERR_INVALID, "several models are named, but only `cllm serve` takes more than one");
}

bool options_load(Options *o, OptionCommand command, int argc, char **argv, Err *err) {
    bool runs_models = (command & COMMAND_ANY) != 0;
    if (!options_init(o, err)) return false;
    if (!options_read_args(o, command, argc, argv, err)) return false;
    if (o->help) return true;
    if (runs_models && o->config[0] && !config_read(o, command, o->config, err)) return false;
    return options_read_env(o, command, err) && check_single_model(o, command, err) &&
           (!runs_models || options_check(o, err));
}
