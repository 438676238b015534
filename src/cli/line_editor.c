#include "cli/line_editor.h"

#include "base/utf8.h"
#include "cli/interrupts.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAX_PROMPT = 32, MAX_PASTE = 16 << 20, ESCAPE_MARK = 1 };

struct LineEditor {
    EditLine *edit;
    HistoryW *history;
    FILE *out;
    const char *const *words;
    wchar_t prompt[MAX_PROMPT];
    bool colour, smart; // smart: the terminal understands escape sequences
    Buf pending;        // bytes read and not yet handed over
    bool interrupted;
};

// ---- bytes in ----

static volatile sig_atomic_t resized;

static void on_resize(int signal_number) {
    (void)signal_number;
    resized = 1;
}

// More bytes into `pending`; false: the end, or Ctrl-C.
static bool read_more(LineEditor *e) {
    for (;;) {
        char bytes[4096];
        bool woken;
        if (!interrupts_wait(STDIN_FILENO, &woken)) {
            e->interrupted = true;
            return false;
        }
        if (resized) {
            resized = 0;
            el_resize(e->edit);
        }
        if (woken) continue;
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        buf_put(&e->pending, (Str){bytes, (size_t)n});
        return !e->pending.failed;
    }
}

// The next code point; what is no UTF-8 becomes U+FFFD.
static bool next_char(LineEditor *e, uint32_t *cp) {
    while (!e->pending.len && !e->pending.failed)
        if (!read_more(e)) return false;
    Utf8Step step = utf8_step(buf_str(&e->pending));
    while (step.kind == UTF8_INCOMPLETE) {
        if (!read_more(e)) return false;
        step = utf8_step(buf_str(&e->pending));
    }
    *cp = step.kind == UTF8_OK ? step.cp : 0xFFFD;
    buf_drop_front(&e->pending, step.n);
    return true;
}

static int get_char(EditLine *edit, wchar_t *out) {
    LineEditor *e;
    uint32_t cp;
    el_get(edit, EL_CLIENTDATA, &e);
    if (!next_char(e, &cp)) return e->interrupted ? -1 : 0;
    *out = (wchar_t)cp;
    return 1;
}

// ---- keys ----

static bool ends_paste(const Buf *text) {
    return text->len >= 6 && memcmp(text->ptr + text->len - 6, "\x1b[201~", 6) == 0;
}

// Control characters other than newlines and tabs go.
static void put_plain(Buf *out, Str pasted) {
    for (; pasted.len; pasted = str_skip(pasted, 1)) {
        char c = pasted.ptr[0] == '\r' ? '\n' : pasted.ptr[0];
        if ((unsigned char)c >= ' ' || c == '\n' || c == '\t') buf_putc(out, c);
    }
}

// NULL: out of memory. The caller frees it.
static wchar_t *widen(Str s) {
    wchar_t *wide = calloc(s.len + 1, sizeof *wide);
    for (size_t n = 0; wide && s.len; n++) {
        Utf8Step step = utf8_step(s);
        wide[n] = step.kind == UTF8_OK ? (wchar_t)step.cp : 0xFFFD;
        s = str_skip(s, step.n);
    }
    return wide;
}

static void insert(LineEditor *e, Str s) {
    wchar_t *wide = widen(s);
    if (wide && wide[0]) el_winsertstr(e->edit, wide);
    free(wide);
}

// What a terminal sends between its marks is text, not keys.
static unsigned char on_paste(EditLine *edit, int key) {
    LineEditor *e;
    Buf pasted = {0}, text = {0};
    uint32_t cp;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &e);
    while (!ends_paste(&pasted) && pasted.len < MAX_PASTE && next_char(e, &cp)) buf_put_utf8(&pasted, cp);
    if (ends_paste(&pasted)) pasted.len -= 6;
    put_plain(&text, buf_str(&pasted));
    insert(e, buf_str(&text));
    buf_free(&pasted);
    buf_free(&text);
    return CC_REFRESH;
}

static bool starts_with(const char *word, const LineInfoW *line) {
    for (const wchar_t *at = line->buffer; at < line->cursor; at++, word++)
        if (!*word || (wchar_t)*word != *at) return false;
    return true;
}

// Completes the first word as far as all that could be meant agree.
static unsigned char on_tab(EditLine *edit, int key) {
    LineEditor *e;
    const char *common = NULL;
    size_t agreed = 0;
    (void)key;
    el_get(edit, EL_CLIENTDATA, &e);
    const LineInfoW *line = el_wline(edit);
    size_t typed = (size_t)(line->cursor - line->buffer);
    for (const char *const *w = e->words; typed && *w; w++) {
        if (!starts_with(*w, line)) continue;
        if (!common) agreed = strlen(*w);
        for (size_t i = 0; common && i < agreed; i++)
            if ((*w)[i] != common[i]) agreed = i;
        common = common ? common : *w;
    }
    if (!common || agreed <= typed) return CC_ERROR;
    insert(e, str_sub(str_from(common), typed, agreed - typed));
    return CC_REFRESH;
}

// ---- the prompt ----

static wchar_t *prompt_of(EditLine *edit) {
    LineEditor *e;
    el_get(edit, EL_CLIENTDATA, &e);
    return e->prompt;
}

// Between marks that keep it out of the line's width.
static void set_prompt(LineEditor *e, const char *text) {
    static const char on[] = {ESCAPE_MARK, '\x1b', '[', '1', ';', '3', '2', 'm', ESCAPE_MARK, 0};
    static const char off[] = {ESCAPE_MARK, '\x1b', '[', '0', 'm', ESCAPE_MARK, 0};
    const char *parts[] = {e->colour ? on : "", text, e->colour ? off : ""};
    size_t n = 0;
    for (int i = 0; i < 3; i++)
        for (const char *c = parts[i]; *c && n + 1 < MAX_PROMPT; c++) e->prompt[n++] = (wchar_t)*c;
    e->prompt[n] = 0;
}

// ---- the editor ----

// libedit shows characters by the locale; one without UTF-8 would show question marks.
static void use_utf8(void) {
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

// What terminals send for keys that libedit leaves alone.
static const struct {
    const wchar_t *keys, *function;
} bindings[] = {
    {L"\x1b[200~", L"cllm-paste"},        {L"\t", L"cllm-complete"},
    {L"^R", L"em-inc-search-prev"},       {L"^W", L"ed-delete-prev-word"},
    {L"\x1b[3~", L"ed-delete-next-char"}, {L"\x1b[1~", L"ed-move-to-beg"},
    {L"\x1b[4~", L"ed-move-to-end"},      {L"\x1b[H", L"ed-move-to-beg"},
    {L"\x1b[F", L"ed-move-to-end"},       {L"\x1bOH", L"ed-move-to-beg"},
    {L"\x1bOF", L"ed-move-to-end"},       {L"\x1b[1;5C", L"em-next-word"},
    {L"\x1b[1;5D", L"ed-prev-word"},
    {L"^@", L"em-delete-or-list"}, // Ctrl-D typed ahead: what the kernel kept of an end of file
};

static bool set_up(LineEditor *e, size_t history_size) {
    HistEventW event;
    const char *terminal = getenv("TERM");
    e->smart = terminal && terminal[0] && strcmp(terminal, "dumb") != 0;
    e->edit = el_init("cllm", stdin, e->out, stderr);
    e->history = history_winit();
    if (!e->edit || !e->history) return false;
    history_w(e->history, &event, H_SETSIZE, (int)history_size);
    history_w(e->history, &event, H_SETUNIQUE, 1);
    el_set(e->edit, EL_CLIENTDATA, e);
    el_wset(e->edit, EL_HIST, history_w, e->history);
    el_wset(e->edit, EL_PROMPT_ESC, prompt_of, (wchar_t)ESCAPE_MARK);
    el_wset(e->edit, EL_EDITOR, L"emacs");
    el_wset(e->edit, EL_GETCFN, get_char);
    el_wset(e->edit, EL_ADDFN, L"cllm-paste", L"insert what is pasted", on_paste);
    el_wset(e->edit, EL_ADDFN, L"cllm-complete", L"complete a command", on_tab);
    for (size_t i = 0; i < sizeof bindings / sizeof bindings[0]; i++)
        el_wset(e->edit, EL_BIND, bindings[i].keys, bindings[i].function, NULL);
    el_source(e->edit, NULL); // the user's own bindings, ~/.editrc
    return true;
}

LineEditor *line_editor_new(FILE *out, const char *const *words, size_t history_size, bool colour, Err *err) {
    LineEditor *e = calloc(1, sizeof *e);
    struct sigaction action = {.sa_handler = on_resize};
    use_utf8();
    if (e) *e = (LineEditor){.out = out, .words = words, .colour = colour};
    if (!e || !set_up(e, history_size)) {
        line_editor_free(e);
        err_set(err, ERR_NOMEM, "the line editor cannot be started");
        return NULL;
    }
    sigaction(SIGWINCH, &action, NULL);
    return e;
}

void line_editor_free(LineEditor *e) {
    if (!e) return;
    signal(SIGWINCH, SIG_DFL);
    if (e->edit) el_end(e->edit);
    if (e->history) history_wend(e->history);
    buf_free(&e->pending);
    free(e);
}

static void ask_for_paste_marks(const LineEditor *e, bool on) {
    if (!e->smart) return;
    fputs(on ? "\x1b[?2004h" : "\x1b[?2004l", e->out);
    fflush(e->out);
}

LineInput line_editor_read(LineEditor *e, const char *prompt, Buf *line) {
    int n = 0;
    set_prompt(e, prompt);
    e->interrupted = false;
    buf_clear(line);
    el_set(e->edit, EL_PREP_TERM, 1); // before the prompt shows, so that no key meets the kernel's line editing
    ask_for_paste_marks(e, true);
    const wchar_t *text = el_wgets(e->edit, &n);
    ask_for_paste_marks(e, false);
    if (e->interrupted) {
        buf_clear(&e->pending);
        return LINE_INTERRUPT;
    }
    if (!text || n <= 0) return LINE_END;
    for (int i = 0; i < n; i++) buf_put_utf8(line, (uint32_t)text[i]);
    if (line->len && line->ptr[line->len - 1] == '\n') line->ptr[--line->len] = 0;
    return LINE_READ;
}

void line_editor_remember(LineEditor *e, const char *text) {
    HistEventW event;
    wchar_t *wide = widen(str_from(text));
    if (wide) history_w(e->history, &event, H_ENTER, wide);
    free(wide);
}
