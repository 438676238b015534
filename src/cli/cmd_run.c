// `cllm run`: one answer, or a chat, in the terminal; straight on the engine, without a server.
#include "cli/commands.h"

#include "cli/chat_commands.h"
#include "cli/chat_session.h"
#include "cli/fetch.h"
#include "cli/history_file.h"
#include "cli/interrupts.h"
#include "cli/line_editor.h"

#include <stdio.h>
#include <unistd.h>

enum { MAX_INPUT_BYTES = 16 << 20 };

// ---- what is typed ----

typedef struct Terminal {
    LineEditor *editor;
    char history_path[HISTORY_PATH_MAX]; // "": none is kept
} Terminal;

static void recall(const char *text, void *user) {
    line_editor_remember(user, text);
}

// A chat without a memory is better than none.
static void open_history(Terminal *t, const Options *o) {
    Err err;
    if (!o->history) return;
    if (history_file_path(t->history_path, &err) &&
        history_file_read(t->history_path, (size_t)o->history, recall, t->editor, &err))
        return;
    fprintf(stderr, "cllm run: no history: %s\n", err.msg);
    t->history_path[0] = 0;
}

static void remember(Terminal *t, const char *text) {
    Err err;
    line_editor_remember(t->editor, text);
    if (!t->history_path[0] || history_file_append(t->history_path, text, &err)) return;
    fprintf(stderr, "cllm run: no history: %s\n", err.msg);
    t->history_path[0] = 0;
}

// Whether the text so far asks for another line; when not, *text is what the model gets. A block is open from
// three quotes to three quotes; outside of one a backslash at the end continues.
static bool wants_more(Buf *text) {
    static const char quotes[] = "\"\"\"";
    if (text->len >= 3 && memcmp(text->ptr, quotes, 3) == 0) {
        if (text->len < 6 || memcmp(text->ptr + text->len - 3, quotes, 3) != 0) return true;
        text->len -= 3;
        buf_drop_front(text, 3);
        if (text->len && text->ptr[0] == '\n') buf_drop_front(text, 1);
        if (text->len && text->ptr[text->len - 1] == '\n') text->len--;
        return false;
    }
    if (!text->len || text->ptr[text->len - 1] != '\\') return false;
    text->len--;
    return true;
}

// A text of one or several lines, NUL-terminated.
static LineInput read_text(Terminal *t, Buf *text) {
    Buf line = {0};
    LineInput input;
    const char *prompt = "> ";
    buf_clear(text);
    do {
        if (text->len) buf_putc(text, '\n');
        input = line_editor_read(t->editor, prompt, &line);
        buf_put(text, buf_str(&line));
        prompt = ". ";
    } while (input == LINE_READ && text->len < MAX_INPUT_BYTES && wants_more(text));
    buf_putc(text, 0);
    text->len--;
    buf_free(&line);
    return input;
}

// ---- the chat ----

static void take_turn(Session *s, Terminal *t, const Buf *text) {
    Err err;
    remember(t, text->ptr);
    bool escaped = str_starts_with(buf_str(text), STR("//"));
    if (!session_answer(s, str_skip(buf_str(text), escaped), &err))
        fprintf(stderr, "cllm run: %s (/clear starts anew)\n", err.msg);
}

static void chat_loop(Session *s, Terminal *t) {
    Buf text = {0};
    const ModelInfo *info = model_info(s->runtime.model);
    fprintf(stderr, "%s (%s)\nCtrl-C stops an answer, Ctrl-D leaves, /help lists commands.\n", info->name,
            info->quantization);
    for (bool leave = false; !leave;) {
        LineInput input = read_text(t, &text);
        if (input == LINE_END || text.failed) break;
        if (input == LINE_INTERRUPT) fputc('\n', stderr);
        if (input == LINE_INTERRUPT || !text.len) continue;
        ChatCommandResult result = chat_command(s, text.ptr);
        leave = result == CHAT_LEAVE;
        if (result == CHAT_NO_COMMAND)
            take_turn(s, t, &text);
        else
            remember(t, text.ptr);
    }
    buf_free(&text);
    s->interrupted = false; // it ended an answer, not the program
}

static bool chat(Session *s, Err *err) {
    FILE *out = s->to_terminal ? stdout : stderr;
    Terminal t = {.editor =
                      line_editor_new(out, chat_command_words, (size_t)s->o->history + 1, s->colour, err)};
    if (!t.editor) return false;
    open_history(&t, s->o);
    chat_loop(s, &t);
    line_editor_free(t.editor);
    return true;
}

// ---- the command ----

static bool read_all(Buf *out, Err *err) {
    char bytes[65536];
    size_t n;
    while ((n = fread(bytes, 1, sizeof bytes, stdin)) > 0 && out->len <= MAX_INPUT_BYTES)
        buf_put(out, (Str){bytes, n});
    if (out->len > MAX_INPUT_BYTES)
        return err_set(err, ERR_LIMIT, "the input is longer than %d bytes", MAX_INPUT_BYTES);
    if (out->failed) return err_set(err, ERR_NOMEM, "out of memory");
    while (out->len > 0 && out->ptr[out->len - 1] == '\n') out->len--;
    return true;
}

static bool converse(Session *s, Err *err) {
    if (s->o->source[OPTION_prompt] == SOURCE_FLAG) return session_answer(s, str_from(s->o->prompt), err);
    if (isatty(STDIN_FILENO)) return chat(s, err);
    Buf text = {0};
    bool ok = read_all(&text, err) && session_answer(s, buf_str(&text), err);
    buf_free(&text);
    return ok;
}

// A lone user wants answers, not a log, and one sequence.
static void adjust(Options *o) {
    o->max_running = 1;
    options_quieten(o);
}

static bool run(Options *o, int *code, Err *err) {
    Session s;
    if (!model_name_resolve(o, code, err)) return false;
    adjust(o);
    bool ok = session_open(&s, o, code, err) && interrupts_open(err);
    if (ok) {
        ok = converse(&s, err);
        interrupts_close();
    }
    if (ok && s.interrupted) *code = EXIT_INTERRUPTED;
    session_close(&s);
    return ok;
}

int cmd_run(int argc, char **argv) {
    return command_main(COMMAND_RUN, argc, argv, run);
}
