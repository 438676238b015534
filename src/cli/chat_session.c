#include "cli/chat_session.h"

#include "base/clock.h"
#include "base/rng.h"
#include "chat/chat_style.h"
#include "cli/interrupts.h"
#include "text/detok.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// What a model writes must not steer the terminal: control bytes other than newline and tab go.
static size_t control_bytes(Str s) {
    unsigned char c = (unsigned char)s.ptr[0], next = s.len > 1 ? (unsigned char)s.ptr[1] : 0;
    if (c == 0xC2 && next >= 0x80 && next <= 0x9F) return 2; // U+0080 … U+009F, which some terminals obey
    return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
}

void session_show(const Session *s, Str text) {
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

// ---- thinking and answer ----

// An answer on its way: to the terminal, and into `text` what of it is no thinking.
typedef struct Answer {
    Session *session;
    Detok *detok;
    ReasoningSplitter splitter; // .marks NULL: everything is text
    Buf piece, text;
    bool in_thinking; // the last that was shown
} Answer;

static bool shows_thinking(const Session *s) {
    const char *when = s->o->show_thinking;
    return strcmp(when, "on") == 0 || (strcmp(when, "auto") == 0 && s->to_terminal);
}

// Thinking is dim where there are colours, and apart from the answer.
static void turn_to(Answer *a, bool thinking) {
    if (thinking == a->in_thinking) return;
    a->in_thinking = thinking;
    if (a->session->colour) fputs(thinking ? "\x1b[2m" : "\x1b[0m", stdout);
    if (!thinking) fputs("\n\n", stdout);
}

static void on_part(void *user, bool is_reasoning, Str text) {
    Answer *a = user;
    if (!is_reasoning) buf_put(&a->text, text);
    if (is_reasoning && !shows_thinking(a->session)) return;
    turn_to(a, is_reasoning);
    session_show(a->session, text);
}

// The marks that open a model's thinking may be the end of its prompt.
static bool prompt_opens_thinking(const Session *s, const TokenList *prompt) {
    enum { LOOK_BACK = 16 };
    size_t n = prompt->n < LOOK_BACK ? prompt->n : LOOK_BACK;
    Buf end = {0};
    tokenizer_decode(s->runtime.tokenizer, prompt->ids + prompt->n - n, n, true, &end);
    bool open = reasoning_is_open(s->reasoning, buf_str(&end));
    buf_free(&end);
    return open;
}

static bool answer_begin(Answer *a, Session *s, const TokenList *prompt, Err *err) {
    *a = (Answer){.session = s, .detok = detok_new(s->runtime.tokenizer, NULL, 0, err)};
    if (!a->detok) return false;
    if (s->reasoning && !s->o->raw)
        reasoning_init(&a->splitter, s->reasoning, prompt_opens_thinking(s, prompt), on_part, a);
    return true;
}

static void answer_push(Answer *a, bool last) {
    bool split = a->splitter.marks != NULL;
    if (split)
        reasoning_push(&a->splitter, buf_str(&a->piece));
    else
        on_part(a, false, buf_str(&a->piece));
    if (split && last) reasoning_finish(&a->splitter);
    if (last && a->in_thinking && a->session->colour) fputs("\x1b[0m", stdout);
    buf_clear(&a->piece);
}

static void answer_end(Answer *a) {
    if (a->splitter.marks) reasoning_free(&a->splitter);
    detok_free(a->detok);
    buf_free(&a->piece);
    buf_free(&a->text);
}

// Shows and collects what has come; true when the END has been seen.
static bool collect(Answer *a, EngineEvent *end) {
    while (engine_poll(a->session->runtime.engine, end)) {
        bool last = end->kind == ENGINE_END;
        if (end->kind == ENGINE_TOKEN)
            detok_push(a->detok, end->token, &a->piece);
        else
            detok_finish(a->detok, &a->piece);
        answer_push(a, last);
        if (last) return true;
    }
    return false;
}

static void print_stats(const Session *s, const EngineEvent *end) {
    double prefill = clock_seconds(end->prefill_ns), decode = clock_seconds(end->decode_ns);
    fprintf(
        stderr,
        "%sprompt: %d tokens, %.1f tokens/s; answer: %d tokens, %.1f tokens/s; first token after %.0f ms%s\n",
        s->colour ? "\x1b[2m" : "", end->n_prompt, prefill > 0 ? end->n_prompt / prefill : 0,
        end->n_generated, decode > 0 ? (end->n_generated - 1) / decode : 0,
        (clock_seconds(end->queued_ns) + prefill) * 1e3, s->colour ? "\x1b[0m" : "");
}

// Streams the answer to `prompt` to stdout. Ctrl-C ends it early.
static bool generate(Answer *a, const TokenList *prompt, Err *err) {
    Session *s = a->session;
    uint64_t id = 0;
    EngineEvent end;
    s->interrupted = false;
    if (!submit(s, prompt, &id, err)) return false;
    while (!collect(a, &end)) {
        if (interrupts_wait(engine_event_fd(s->runtime.engine), NULL)) continue;
        s->interrupted = true;
        engine_cancel(s->runtime.engine, id);
    }
    putchar('\n');
    fflush(stdout);
    if (s->o->verbose) print_stats(s, &end);
    return true;
}

// ---- one turn ----

// remember: as the assistant's turn.
static bool answer_prompt(Session *s, const TokenList *prompt, bool remember, Err *err) {
    Answer a;
    bool ok = answer_begin(&a, s, prompt, err) && generate(&a, prompt, err) &&
              (!remember || conversation_add(&s->chat, "assistant", buf_str(&a.text), err));
    answer_end(&a);
    return ok;
}

static bool answer_raw(Session *s, Str text, Err *err) {
    TokenList tokens = {0};
    bool ok = prompt_encode_text(s->prompts, text, true, true, &tokens, err) &&
              answer_prompt(s, &tokens, false, err);
    token_list_free(&tokens);
    return ok;
}

// A turn that fails leaves the conversation as it was.
static bool answer_chat(Session *s, Str text, Err *err) {
    TokenList tokens = {0};
    if (!conversation_add(&s->chat, "user", text, err)) return false;
    bool ok =
        conversation_encode(&s->chat, s->runtime.chat_template, s->prompts, s->o->think, &tokens, err) &&
        answer_prompt(s, &tokens, true, err);
    if (!ok) conversation_drop_last(&s->chat);
    token_list_free(&tokens);
    return ok;
}

bool session_answer(Session *s, Str text, Err *err) {
    return s->o->raw ? answer_raw(s, text, err) : answer_chat(s, text, err);
}

// ---- opening ----

bool session_open(Session *s, Options *o, int *code, Err *err) {
    *s = (Session){.o = o, .to_terminal = isatty(STDOUT_FILENO)};
    const char *plain = getenv("NO_COLOR"), *terminal = getenv("TERM");
    s->colour = s->to_terminal && !(plain && plain[0]) && terminal && strcmp(terminal, "dumb") != 0;
    if (!runtime_open_log(o, err) ||
        !runtime_open_foreground(&s->runtime, o, runtime_open, code, err))
        return false;
    if (!o->raw && !s->runtime.chat_template)
        return err_set(err, ERR_UNSUPPORTED,
                       "the model has no chat template that can be used; --raw continues plain text");
    if (s->runtime.chat_template) s->reasoning = chat_style_of(s->runtime.chat_template).reasoning;
    s->prompts = prompt_encoder_new(s->runtime.tokenizer, err);
    return s->prompts && conversation_start(&s->chat, o->system, err);
}

void session_close(Session *s) {
    conversation_end(&s->chat);
    prompt_encoder_free(s->prompts);
    runtime_close(&s->runtime);
}
