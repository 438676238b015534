// /v1/completions: prompts as they are. The answers are api_openai.c's, apart from what echo adds.
#include "server/api_openai.h"

#include "base/utf8.h"
#include "server/api_stream.h"
#include "server/api_texts.h"
#include "server/openai_logprobs.h"

#include <stdlib.h>

// ---- echo
//
// The text of a choice begins with its prompt: as the client gave it, or the text of the tokens that it gave.
// A plan without echo has no state.
typedef struct Echo {
    size_t n;
    Buf texts[]; // [n] one for each prompt
} Echo;

static void echo_free(void *state) {
    Echo *echo = state;
    for (size_t i = 0; i < echo->n; i++) buf_free(&echo->texts[i]);
    free(echo);
}

static void echo_prompt(const Served *served, const json_t *prompt, const TokenList *tokens, Buf *out) {
    if (json_is_string(prompt))
        buf_put(out, json_str(prompt));
    else
        tokenizer_decode(served->service.tokenizer, tokens->ids, tokens->n, true, out);
}

static const Buf *echo_of(const Generation *g, const Request *choice) {
    const Echo *echo = g->state;
    return echo ? &echo->texts[choice->index / g->params.n] : NULL;
}

// The bytes that a token takes of a text: its own, all but a leading space that the tokenizer added, or
// none (BOS is not in the text).
static size_t bytes_taken(Str text, Str token) {
    if (str_starts_with(text, token)) return token.len;
    if (token.len && token.ptr[0] == ' ' && str_starts_with(text, str_skip(token, 1))) return token.len - 1;
    return 0;
}

static bool is_inside_char(Str text, size_t at) {
    return at < text.len && ((unsigned char)text.ptr[at] & 0xC0) == 0x80;
}

// A code point that a token begins inside of does not stand before it.
static void place_prompt_tokens(const Tokenizer *t, TokenLog *log, Str text) {
    Buf token = {0};
    size_t at = 0, chars = 0;
    for (int32_t i = 0; i < log->n; i++) {
        log->starts[i] = chars - is_inside_char(text, at);
        buf_clear(&token);
        tokenizer_decode_token(t, token_log_row(log, i)->token, true, &token);
        size_t n = bytes_taken(str_skip(text, at), buf_str(&token));
        chars += utf8_n_chars(str_sub(text, at, n));
        at += n;
    }
    buf_free(&token);
}

// ---- answers

static json_t *text_choice(Str text) {
    return json_pack("{s:s%}", "text", text.ptr, text.len);
}

// The prompt, if it is echoed, and the text behind it.
static json_t *echoed_choice(const Generation *g, const Request *choice, Str rest) {
    const Buf *echo = echo_of(g, choice);
    Buf text = {0};
    if (!echo) return text_choice(rest);
    utf8_sanitize(buf_str(echo), &text);
    buf_put(&text, rest);
    json_t *own = text_choice(buf_str(&text));
    buf_free(&text);
    return own;
}

static json_t *whole_choice(const Generation *g, const Request *choice, const char **finish) {
    (void)finish;
    return echoed_choice(g, choice, buf_str(&choice->text));
}

static json_t *text_logprobs(const Generation *g, Request *choice, OpenAiPart part) {
    const Tokenizer *t = g->model->served.service.tokenizer;
    const Buf *echo = echo_of(g, choice);
    json_t *object = openai_text_logprobs_new();
    size_t base = echo ? utf8_n_chars(buf_str(echo)) : 0;
    if (part.opening && echo) {
        place_prompt_tokens(t, &choice->prompt_log, buf_str(echo));
        openai_text_logprobs_add(object, t, &choice->prompt_log, 0, choice->prompt_log.n, 0, true);
    }
    openai_text_logprobs_add(object, t, &choice->log, part.first, part.end, base, false);
    return object;
}

static const OpenAiKind completion_kind = {"text_completion", "text_completion", whole_choice, text_logprobs,
                                           NULL};

static json_t *whole(const Generation *g) {
    return openai_whole(g, &completion_kind);
}

// An echoed prompt is a chunk of its own.
static bool open_choice(Generation *g, Request *choice) {
    if (choice->opened) return true;
    bool ok = !g->state || openai_send(g, &completion_kind, choice, echoed_choice(g, choice, STR("")), NULL);
    choice->opened = true;
    return ok;
}

static void delta(Generation *g, Request *choice, Str text) {
    if (!open_choice(g, choice)) return;
    if (text.len && !openai_send(g, &completion_kind, choice, text_choice(text), NULL)) return;
    if (choice->outcome == OUTCOME_NONE) return;
    openai_send(g, &completion_kind, choice, text_choice((Str){"", 0}),
                metrics_outcome_word(choice->outcome));
}

static void end(Generation *g) {
    openai_end(g, &completion_kind);
}

// ---- the request

static const Unsupported completion_unsupported[] = {
    {"prompt_logprobs", NULL},
};

// As OpenAI has it, a number: of the likeliest tokens beside each. false is what some clients send for none.
static void read_logprobs(Fields *f, GenParams *p) {
    int64_t n_top = -1;
    if (!json_is_false(fields_get(f, "logprobs"))) fields_int(f, "logprobs", 0, LOGPROBS_MAX_TOP, &n_top);
    p->logprobs = n_top >= 0;
    p->n_top = p->logprobs ? (int32_t)n_top : 0;
}

// All choices that are generated are returned, so there is nothing to choose the best from.
static void read_best_of(Fields *f, const GenParams *p) {
    int64_t best_of = p->n;
    fields_int(f, "best_of", 1, OPENAI_MAX_N, &best_of);
    if (best_of != p->n)
        fields_fail(f, "best_of", "is %lld, but only the value of n (%d) is supported", (long long)best_of,
                    (int)p->n);
}

static bool read_echo(const Served *served, Fields *f, GenPlan *plan) {
    const json_t *prompt = fields_get(f, "prompt");
    Echo *echo = calloc(1, sizeof *echo + plan->n_prompts * sizeof echo->texts[0]);
    if (!echo) return fields_fail(f, "echo", "does not fit into memory");
    plan->state = echo;
    plan->params.prompt_logprobs = plan->params.logprobs;
    echo->n = plan->n_prompts;
    bool several = json_is_string(json_array_get(prompt, 0)) || json_is_array(json_array_get(prompt, 0));
    for (size_t i = 0; i < echo->n; i++) {
        echo_prompt(served, several ? json_array_get(prompt, i) : prompt, &plan->prompts[i], &echo->texts[i]);
        if (echo->texts[i].failed) return fields_fail(f, "echo", "does not fit into memory");
    }
    return true;
}

// ---- suffix: what is between the prompt and it is wanted

// [BOS] prefix-token prompt suffix-token suffix middle-token: see text/fim_tokens.h.
static bool surround(const Served *served, const TokenList *suffix, TokenList *prompt) {
    const FimTokens *fim = tokenizer_fim(served->service.tokenizer);
    TokenList all = {0};
    bool ok = api_encode_prompt(served, STR(""), &all, NULL) && token_list_push(&all, fim->prefix);
    for (size_t i = 0; ok && i < prompt->n; i++) ok = token_list_push(&all, prompt->ids[i]);
    ok = ok && token_list_push(&all, fim->suffix);
    for (size_t i = 0; ok && i < suffix->n; i++) ok = token_list_push(&all, suffix->ids[i]);
    ok = ok && token_list_push(&all, fim->middle);
    token_list_free(prompt);
    *prompt = all;
    return ok;
}

static bool read_fill_in(const Served *served, Fields *f, Str suffix, GenPlan *plan) {
    Err err = {0};
    TokenList tokens = {0};
    if (!tokenizer_fim(served->service.tokenizer))
        return fields_fail(f, "suffix",
                           "needs a model that fills in the middle, and this one has no tokens for it");
    bool ok = served_admits_text(served, "suffix", suffix.len, f->error) &&
              api_read_texts(served, f, "prompt", api_encode_part, (size_t)served->max_live, plan);
    if (ok && !api_encode_part(served, suffix, &tokens, &err)) ok = api_error_from(f->error, &err, "suffix");
    for (size_t i = 0; ok && i < plan->n_prompts; i++)
        ok = surround(served, &tokens, &plan->prompts[i]) ||
             fields_fail(f, "suffix", "does not fit into memory");
    token_list_free(&tokens);
    return ok;
}

// ---- the whole body

static bool read_prompts(const Served *served, Fields *f, GenPlan *plan) {
    Str suffix = {0};
    bool echo = false;
    fields_bool(f, "echo", &echo);
    fields_str(f, "suffix", &suffix);
    if (echo && suffix.len) fields_fail(f, "echo", "cannot be combined with suffix");
    if (!f->ok) return false;
    if (suffix.len) return read_fill_in(served, f, suffix, plan);
    return api_read_texts(served, f, "prompt", api_encode_prompt, (size_t)served->max_live, plan) &&
           (!echo || read_echo(served, f, plan));
}

bool openai_read_completion(const Served *served, const json_t *body, GenPlan *plan, ApiError *e) {
    Fields f = fields_of(body, e);
    plan->params = gen_params_default(DIALECT_OPENAI, served->config);
    plan->params.least_tokens = 0;
    openai_read_common(served, &f, &plan->params);
    read_logprobs(&f, &plan->params);
    read_best_of(&f, &plan->params);
    openai_refuse(&f, completion_unsupported,
                  sizeof completion_unsupported / sizeof completion_unsupported[0]);
    return f.ok && read_prompts(served, &f, plan);
}

void api_completions(App *app, HttpExchange *x, Str tail) {
    static const GenDialect dialect = {.errors = DIALECT_OPENAI,
                                       .id_prefix = "cmpl-",
                                       .read = openai_read_completion,
                                       .free_state = echo_free,
                                       .whole = whole,
                                       .delta = delta,
                                       .end = end,
                                       .fail = openai_fail,
                                       .ping = stream_comment};
    (void)tail;
    generation_handle(app, x, &dialect);
}
