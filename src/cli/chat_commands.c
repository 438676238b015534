#include "cli/chat_commands.h"

#include "base/file.h"
#include "cli/json_file.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What /set changes: all of it is read anew for each answer.
static const int settings[] = {OPTION_temperature,        OPTION_top_p,  OPTION_min_p,      OPTION_top_k,
                               OPTION_repetition_penalty, OPTION_seed,   OPTION_max_tokens, OPTION_think,
                               OPTION_show_thinking,      OPTION_verbose};
enum { N_SETTINGS = sizeof settings / sizeof settings[0] };

typedef struct ChatCommand {
    const char *word, *takes, *help;
    bool (*run)(Session *s, const char *rest, Err *err); // NULL: leave
} ChatCommand;

// ---- settings ----

static int setting_named(Str name) {
    for (int i = 0; i < N_SETTINGS; i++)
        if (str_eq(str_from(options_name(settings[i])), name)) return settings[i];
    return -1;
}

static void put_settings(const Options *o, Buf *out) {
    for (int i = 0; i < N_SETTINGS; i++) {
        buf_printf(out, "  %-20s", options_name(settings[i]));
        options_put_value(o, settings[i], out);
        buf_putc(out, '\n');
    }
}

static bool print(Buf *out, Err *err) {
    bool ok = !out->failed;
    if (ok && out->len) fwrite(out->ptr, 1, out->len, stdout);
    fflush(stdout);
    buf_free(out);
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

static bool set(Session *s, const char *rest, Err *err) {
    Buf out = {0};
    if (!rest[0]) {
        put_settings(s->o, &out);
        return print(&out, err);
    }
    size_t n = strcspn(rest, " =");
    int setting = setting_named((Str){rest, n});
    if (setting < 0)
        return err_set(err, ERR_INVALID, "there is no setting '%.*s'; /set alone lists them", (int)n, rest);
    const char *value = rest + n + strspn(rest + n, " =");
    if (!value[0]) return err_set(err, ERR_INVALID, "/set %.*s wants a value", (int)n, rest);
    return options_set(s->o, setting, value, err);
}

// ---- the conversation ----

static bool change_system(Session *s, const char *rest, Err *err) {
    if (strcmp(rest, "\"\"") == 0) return conversation_set_system(&s->chat, "", err);
    if (rest[0]) return conversation_set_system(&s->chat, rest, err);
    const char *system = conversation_system(&s->chat);
    session_show(s, str_from(system[0] ? system : "(there is no system message)"));
    putchar('\n');
    return true;
}

// The system message stays.
static bool clear(Session *s, const char *rest, Err *err) {
    (void)rest;
    Conversation fresh;
    bool ok = conversation_start(&fresh, conversation_system(&s->chat), err);
    if (!ok) return false;
    conversation_end(&s->chat);
    s->chat = fresh;
    return true;
}

static bool show(Session *s, const char *rest, Err *err) {
    (void)rest;
    const ModelInfo *info = model_info(s->runtime.model);
    Buf out = {0};
    buf_printf(&out, "model     %s (%s, %s)\ncontext   %d tokens\nmessages  %zu\nsettings\n", info->name,
               info->arch, info->quantization, engine_max_sequence(s->runtime.engine),
               json_array_size(s->chat.messages));
    put_settings(s->o, &out);
    return print(&out, err);
}

// ---- files ----

static json_t *json_settings(const Options *o) {
    json_t *all = json_object();
    for (int i = 0; all && i < N_SETTINGS; i++) {
        Buf value = {0};
        options_put_value(o, settings[i], &value);
        json_object_set_new(all, options_name(settings[i]), value.failed ? NULL : json_string(value.ptr));
        buf_free(&value);
    }
    return all;
}

// A file that is something else is never overwritten.
static bool may_write(const char *path, Err *err) {
    if (access(path, F_OK) != 0) return true;
    json_t *old = json_load_file(path, 0, NULL);
    bool ok = json_is_array(json_object_get(old, "messages"));
    json_decref(old);
    return ok || err_set(err, ERR_INVALID, "%s exists and is no saved chat; it stays as it is", path);
}

static bool save(Session *s, const char *rest, Err *err) {
    if (!rest[0]) return err_set(err, ERR_INVALID, "/save wants the name of a file");
    if (!may_write(rest, err)) return false;
    json_t *all = json_pack("{s:s, s:o, s:O}", "model", model_info(s->runtime.model)->name, "settings",
                            json_settings(s->o), "messages", s->chat.messages);
    char *text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;
    json_decref(all);
    bool ok = text ? file_write(rest, str_from(text), 0666, err) : err_set(err, ERR_NOMEM, "out of memory");
    free(text);
    if (ok) printf("saved in %s\n", rest);
    return ok;
}

// What a file names and this program does not know is passed over.
static bool load_settings(Options *o, json_t *from, Err *err) {
    const char *name;
    json_t *value;
    json_object_foreach(from, name, value) {
        int setting = setting_named(str_from(name));
        if (setting < 0 || !json_is_string(value)) continue;
        if (!options_set(o, setting, json_string_value(value), err)) return false;
    }
    return true;
}

static bool load(Session *s, const char *rest, Err *err) {
    if (!rest[0]) return err_set(err, ERR_INVALID, "/load wants the name of a file");
    json_t *all = json_file_read(rest, 0, err);
    if (!all) return false;
    bool ok = conversation_replace(&s->chat, json_incref(json_object_get(all, "messages")), err) &&
              load_settings(s->o, json_object_get(all, "settings"), err);
    json_decref(all);
    if (ok) printf("loaded %zu messages\n", json_array_size(s->chat.messages));
    return ok || err_prefix(err, "%s", rest);
}

// ---- dispatch ----

static bool help(Session *s, const char *rest, Err *err);

static const ChatCommand chat_commands[] = {
    {"/help", "", "this list", help},
    {"/clear", "", "begin a new conversation; the system message stays", clear},
    {"/system", "[TEXT]", "the system message from now on; \"\" for none; alone: show it", change_system},
    {"/set", "[NAME VALUE]", "change a setting, such as /set temperature 0; alone: show all", set},
    {"/show", "", "the model, the conversation and the settings", show},
    {"/save", "FILE", "write the conversation and the settings to a file", save},
    {"/load", "FILE", "go on with a saved conversation", load},
    {"/exit", "", "leave (so does Ctrl-D)", NULL},
};
enum { N_CHAT_COMMANDS = sizeof chat_commands / sizeof chat_commands[0] };

const char *const chat_command_words[] = {"/help", "/clear", "/system", "/set", "/show",
                                          "/save", "/load",  "/exit",   NULL};

static bool help(Session *s, const char *rest, Err *err) {
    (void)s, (void)rest, (void)err;
    for (const ChatCommand *c = chat_commands; c < chat_commands + N_CHAT_COMMANDS; c++)
        printf("  %-7s %-13s %s\n", c->word, c->takes, c->help);
    puts("  \"\"\"     …        a text of several lines begins and ends with three quotes\n"
         "  …\\              a backslash at its end continues a line\n"
         "Ctrl-C stops an answer, the arrow keys bring earlier input back, Tab completes commands.");
    return true;
}

static bool is_command(const char *text) {
    size_t n = 1;
    while (text[0] == '/' && isalpha((unsigned char)text[n])) n++;
    return n > 1 && (!text[n] || text[n] == ' ');
}

ChatCommandResult chat_command(Session *s, const char *text) {
    Err err;
    if (!is_command(text)) return CHAT_NO_COMMAND;
    Str word = {text, strcspn(text, " ")};
    const char *rest = text + word.len;
    rest += strspn(rest, " ");
    for (const ChatCommand *c = chat_commands; c < chat_commands + N_CHAT_COMMANDS; c++) {
        if (!str_eq(word, str_from(c->word))) continue;
        if (!c->run) return CHAT_LEAVE;
        if (!c->run(s, rest, &err)) fprintf(stderr, "cllm run: %s\n", err.msg);
        return CHAT_DONE;
    }
    fprintf(stderr, "cllm run: there is no command %.*s; /help lists them\n", (int)word.len, word.ptr);
    return CHAT_DONE;
}
