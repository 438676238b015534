#include "cli/chat_session.h"

#include "base/clock.h"
#include "base/rng.h"
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

static void print_stats(const Session *s, const EngineEvent *end) {
    double prefill = clock_seconds(end->prefill_ns), decode = clock_seconds(end->decode_ns);
    fprintf(
        stderr,
        "%sprompt: %d tokens, %.1f tokens/s; answer: %d tokens, %.1f tokens/s; first token after %.0f ms%s\n",
        s->colour ? "\x1b[2m" : "", end->n_prompt, prefill > 0 ? end->n_prompt / prefill : 0,
        end->n_generated, decode > 0 ? (end->n_generated - 1) / decode : 0,
        (clock_seconds(end->queued_ns) + prefill) * 1e3, s->colour ? "\x1b[0m" : "");
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
        if (interrupts_wait(engine_event_fd(s->runtime.engine), NULL)) continue;
        s->interrupted = true;
        engine_cancel(s->runtime.engine, id);
    }
    detok_free(detok);
    if (!ok) return false;
    putchar('\n');
    fflush(stdout);
    if (s->o->verbose) print_stats(s, &end);
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

bool session_answer(Session *s, Str text, Err *err) {
    return s->o->raw ? answer_raw(s, text, err) : answer_chat(s, text, err);
}

// ---- opening ----

bool session_open(Session *s, Options *o, Err *err) {
    *s = (Session){.o = o, .to_terminal = isatty(STDOUT_FILENO)};
    const char *plain = getenv("NO_COLOR"), *terminal = getenv("TERM");
    s->colour = s->to_terminal && !(plain && plain[0]) && terminal && strcmp(terminal, "dumb") != 0;
    if (!runtime_open_log(o, err) || !runtime_open(&s->runtime, o, err)) return false;
    if (!o->raw && !s->runtime.chat_template)
        return err_set(err, ERR_UNSUPPORTED,
                       "the model has no chat template that can be used; --raw continues plain text");
    s->prompts = prompt_encoder_new(s->runtime.tokenizer, err);
    return s->prompts && conversation_start(&s->chat, o->system, err);
}

void session_close(Session *s) {
    conversation_end(&s->chat);
    prompt_encoder_free(s->prompts);
    runtime_close(&s->runtime);
}
