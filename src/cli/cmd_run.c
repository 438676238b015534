// `cllm run`: one answer, or a chat, in the terminal; straight on the engine, without a server.
#include "cli/commands.h"

#include "base/clock.h"
#include "base/rng.h"
#include "cli/conversation.h"
#include "cli/fetch.h"
#include "cli/runtime.h"
#include "text/detok.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_INPUT_BYTES = 16 << 20 };

typedef struct Session {
    const Options *o;
    Runtime runtime;
    PromptEncoder *prompts;
    Conversation chat;
    Buf input;        // bytes read from the terminal, not yet taken as a line
    bool to_terminal; // the answer goes to a terminal
    bool interrupted; // Ctrl-C ended the last answer
} Session;

// ---- Ctrl-C ----
//
// The handler only writes a byte into a pipe; whoever waits, waits for the pipe too. So there is no
// moment at which a Ctrl-C could be lost between looking and sleeping.

static int interrupt_pipe[2];

static void on_interrupt(int signal_number) {
    (void)signal_number;
    int saved = errno;
    ssize_t n = write(interrupt_pipe[1], "", 1);
    (void)n; // full: a Ctrl-C is pending already
    errno = saved;
}

static bool open_interrupts(Err *err) {
    if (pipe(interrupt_pipe) != 0) return err_set(err, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    for (int i = 0; i < 2; i++) {
        fcntl(interrupt_pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(interrupt_pipe[i], F_SETFD, FD_CLOEXEC);
    }
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    return true;
}

static void close_interrupts(void) {
    signal(SIGINT, SIG_DFL);
    close(interrupt_pipe[0]);
    close(interrupt_pipe[1]);
}

static void forget_interrupts(void) {
    char bytes[64];
    while (read(interrupt_pipe[0], bytes, sizeof bytes) > 0) {
    }
}

// Waits until fd can be read (true) or Ctrl-C was pressed (false).
static bool wait_readable(int fd) {
    struct pollfd fds[] = {{.fd = interrupt_pipe[0], .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR) {
    }
    if (!fds[0].revents) return true;
    forget_interrupts();
    return false;
}

// ---- one answer ----

// What a model writes must not steer the terminal: control bytes other than newline and tab go.
static size_t control_bytes(Str s) {
    unsigned char c = (unsigned char)s.ptr[0], next = s.len > 1 ? (unsigned char)s.ptr[1] : 0;
    if (c == 0xC2 && next >= 0x80 && next <= 0x9F) return 2; // U+0080 … U+009F, which some terminals obey
    return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
}

static void show(const Session *s, Str text) {
    while (text.len) {
        size_t control = s->to_terminal ? control_bytes(text) : 0;
        if (!control) putchar(text.ptr[0]);
        text = str_skip(text, control ? control : 1);
    }
    fflush(stdout);
}

static SamplingParams sampling(const Options *o) {
    Rng rng = {(uint64_t)clock_now_ns() ^ (uint64_t)getpid()};
    return (SamplingParams){.temperature = (float)o->temperature,
                            .top_p = (float)o->top_p,
                            .min_p = (float)o->min_p,
                            .top_k = (int32_t)o->top_k,
                            .repetition_penalty = (float)o->repetition_penalty,
                            .seed = o->seed >= 0 ? (uint64_t)o->seed : rng_next(&rng)};
}

static bool submit(const Session *s, const TokenList *prompt, uint64_t *id, Err *err) {
    int32_t limit = engine_max_sequence(s->runtime.engine);
    int64_t room = (int64_t)limit - (int64_t)prompt->n;
    int64_t wanted = s->o->max_tokens ? s->o->max_tokens : room;
    if (prompt->n < 1) return err_set(err, ERR_INVALID, "the prompt is empty");
    if (room < 1 || wanted > room)
        return err_set(err, ERR_LIMIT,
                       "a prompt of %zu tokens and an answer of %lld do not fit into the context of %d",
                       prompt->n, (long long)(wanted < 1 ? 1 : wanted), limit);
    size_t n_end = 0;
    const int32_t *end = tokenizer_end_tokens(s->runtime.tokenizer, &n_end);
    EngineRequest request = {.prompt = prompt->ids,
                             .n_prompt = (int32_t)prompt->n,
                             .max_tokens = (int32_t)wanted,
                             .sampling = sampling(s->o),
                             .end_tokens = end,
                             .n_end_tokens = (int32_t)n_end};
    return engine_submit(s->runtime.engine, &request, id, err) == SUBMIT_OK;
}

// Shows and collects what has come; true when the END has been seen.
static bool collect(const Session *s, Detok *detok, Buf *answer, EngineEvent *end) {
    while (engine_poll(s->runtime.engine, end)) {
        size_t shown = answer->len;
        if (end->kind == ENGINE_TOKEN)
            detok_push(detok, end->token, answer);
        else
            detok_finish(detok, answer);
        show(s, str_skip(buf_str(answer), shown));
        if (end->kind == ENGINE_END) return true;
    }
    return false;
}

static void print_stats(const EngineEvent *end) {
    double prefill = clock_seconds(end->prefill_ns), decode = clock_seconds(end->decode_ns);
    fprintf(stderr,
            "prompt: %d tokens, %.1f tokens/s; answer: %d tokens, %.1f tokens/s; first token after %.0f ms\n",
            end->n_prompt, prefill > 0 ? end->n_prompt / prefill : 0, end->n_generated,
            decode > 0 ? (end->n_generated - 1) / decode : 0,
            (clock_seconds(end->queued_ns) + prefill) * 1e3);
}

// Streams the answer to `prompt` to stdout and appends it to *answer. Ctrl-C ends it early.
static bool generate(Session *s, const TokenList *prompt, Buf *answer, Err *err) {
    uint64_t id = 0;
    EngineEvent end;
    Detok *detok = detok_new(s->runtime.tokenizer, NULL, 0, err);
    if (!detok) return false;
    s->interrupted = false;
    bool ok = submit(s, prompt, &id, err);
    while (ok && !collect(s, detok, answer, &end)) {
        if (wait_readable(engine_event_fd(s->runtime.engine))) continue;
        s->interrupted = true;
        engine_cancel(s->runtime.engine, id);
    }
    detok_free(detok);
    if (!ok) return false;
    putchar('\n');
    fflush(stdout);
    if (s->o->verbose) print_stats(&end);
    return true;
}

// ---- one turn ----

static bool answer_raw(Session *s, Str text, Err *err) {
    TokenList tokens = {0};
    Buf answer = {0};
    bool ok =
        prompt_encode_text(s->prompts, text, true, true, &tokens, err) && generate(s, &tokens, &answer, err);
    buf_free(&answer);
    token_list_free(&tokens);
    return ok;
}

// A turn that fails leaves the conversation as it was.
static bool answer_chat(Session *s, Str text, Err *err) {
    TokenList tokens = {0};
    Buf answer = {0};
    if (!conversation_add(&s->chat, "user", text, err)) return false;
    bool ok = conversation_encode(&s->chat, s->runtime.chat_template, s->prompts, &tokens, err) &&
              generate(s, &tokens, &answer, err);
    if (!ok)
        conversation_drop_last(&s->chat);
    else
        ok = conversation_add(&s->chat, "assistant", buf_str(&answer), err);
    buf_free(&answer);
    token_list_free(&tokens);
    return ok;
}

static bool answer(Session *s, Str text, Err *err) {
    return s->o->raw ? answer_raw(s, text, err) : answer_chat(s, text, err);
}

// ---- the chat ----

typedef enum Input { INPUT_LINE, INPUT_INTERRUPT, INPUT_END } Input;

// A line without its newline, in s->input up to *n. At the end of input the last line may lack one.
static Input read_line(Session *s, size_t *n) {
    char bytes[4096];
    for (;;) {
        char *newline = s->input.len ? memchr(s->input.ptr, '\n', s->input.len) : NULL;
        if (newline || s->input.len > MAX_INPUT_BYTES) {
            *n = newline ? (size_t)(newline - s->input.ptr) : s->input.len;
            return INPUT_LINE;
        }
        if (!wait_readable(STDIN_FILENO)) return INPUT_INTERRUPT;
        ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return INPUT_END;
        buf_put(&s->input, (Str){bytes, (size_t)got});
    }
}

static bool take_turn(Session *s, Str line, Err *err) {
    if (line.len == 0) return true;
    if (!str_eq(line, STR("/clear"))) {
        if (!answer(s, line, err)) fprintf(stderr, "cllm run: %s (/clear starts anew)\n", err->msg);
        return true;
    }
    conversation_end(&s->chat);
    return conversation_start(&s->chat, s->o->system, err);
}

static bool chat_loop(Session *s, Err *err) {
    fputs("Ctrl-C stops an answer, Ctrl-D leaves, /clear starts anew.\n", stderr);
    for (bool ok = true; ok;) {
        size_t n = 0;
        fputs("> ", stdout);
        fflush(stdout);
        Input input = read_line(s, &n);
        if (input == INPUT_END) break;
        if (input == INPUT_INTERRUPT) {
            buf_clear(&s->input);
            putchar('\n');
            continue;
        }
        ok = take_turn(s, str_sub(buf_str(&s->input), 0, n), err);
        buf_drop_front(&s->input, n < s->input.len ? n + 1 : n);
        if (!ok) return false;
    }
    putchar('\n');
    s->interrupted = false; // it ended an answer, not the program
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
    if (s->o->source[OPTION_prompt] == SOURCE_FLAG) return answer(s, str_from(s->o->prompt), err);
    if (isatty(STDIN_FILENO)) return chat_loop(s, err);
    Buf text = {0};
    bool ok = read_all(&text, err) && answer(s, buf_str(&text), err);
    buf_free(&text);
    return ok;
}

static bool run(Session *s, Err *err) {
    if (!runtime_open_log(s->o, err) || !runtime_open(&s->runtime, s->o, err)) return false;
    if (!s->o->raw && !s->runtime.chat_template)
        return err_set(err, ERR_UNSUPPORTED,
                       "the model has no chat template that can be used; --raw continues plain text");
    s->prompts = prompt_encoder_new(s->runtime.tokenizer, err);
    if (!s->prompts || !open_interrupts(err)) return false;
    bool ok = conversation_start(&s->chat, s->o->system, err) && converse(s, err);
    close_interrupts();
    return ok;
}

// A lone user wants answers, not a log, and one sequence.
static void adjust(Options *o) {
    o->max_running = 1;
    options_quieten(o);
}

static bool run_command(Options *o, int *code, Err *err) {
    Session s = {.o = o, .to_terminal = isatty(STDOUT_FILENO)};
    adjust(o);
    bool ok = model_name_resolve(o, code, err) && run(&s, err);
    if (s.interrupted) *code = EXIT_INTERRUPTED;
    conversation_end(&s.chat);
    prompt_encoder_free(s.prompts);
    buf_free(&s.input);
    runtime_close(&s.runtime);
    return ok;
}

int cmd_run(int argc, char **argv) {
    return command_main(COMMAND_RUN, argc, argv, run_command);
}
