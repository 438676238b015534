#include "text/pretok.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>

// The White_Space property of Unicode, for use inside a class.
#define WS "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define S "[" WS "]"
#define NOT_S "[^" WS "]"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES S "*[\\r\\n]+|" S "+(?!" NOT_S ")|" S "+"

#define GPT2 "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^" WS "\\p{L}\\p{N}]+|" S "+(?!" NOT_S ")|" S "+"
#define WORDS_AND(numbers)                                                                                   \
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers "| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n]*|" SPACES
#define QWEN2 WORDS_AND("\\p{N}")
#define LLAMA3 WORDS_AND("\\p{N}{1,3}")

#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix, numbers)                                                                               \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" suffix \
    "|" numbers "| ?[^" WS "\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES

#define PUNCT "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"
#define DEEPSEEK3                                                                                            \
    PUNCT "[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
#define HAN_KANA "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{30ff}]+"

#define DIGIT "\\p{N}"

static const PretokSpec specs[] = {
    {.name = "gpt-2", .stages = {GPT2}},
    {.name = "default", .stages = {GPT2}},
    {.name = "phi-2", .stages = {GPT2}},
    {.name = "smollm", .stages = {DIGIT, GPT2}},
    {.name = "starcoder", .stages = {DIGIT, GPT2}},
    {.name = "refact", .stages = {DIGIT, GPT2}},
    {.name = "command-r", .stages = {DIGIT, GPT2}, .nfc = true},
    {.name = "qwen2", .stages = {QWEN2}, .nfc = true},
    {.name = "llama-bpe", .stages = {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .stages = {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {.name = "llama3", .stages = {LLAMA3}, .ignore_merges = true, .add_bos = true},
    {.name = "smaug-bpe", .stages = {LLAMA3}, .ignore_merges = true}, // also what SmolLM3's files say
    {.name = "gpt-4o", .stages = {CASED(CONTRACTION "?", "\\p{N}{1,3}")}},
    {.name = "deepseek-v3", .stages = {"\\p{N}{1,3}", HAN_KANA, DEEPSEEK3}},
    {.name = "tekken", .stages = {CASED("", "\\p{N}")}, .ignore_merges = true, .add_bos = true},
};
enum { N_SPECS = sizeof specs / sizeof specs[0] };

struct Pretok {
    pcre2_code *stages[PRETOK_MAX_STAGES];
    bool jit[PRETOK_MAX_STAGES];
    int n_stages;
    pcre2_match_context *limits;
};

struct PretokScratch {
    pcre2_match_data *match;
};

const PretokSpec *pretok_find(Str name, Err *err) {
    Buf known = {0};
    for (int i = 0; i < N_SPECS; i++) {
        if (str_eq(name, str_from(specs[i].name))) {
            buf_free(&known);
            return &specs[i];
        }
        buf_printf(&known, "%s%s", i ? ", " : "", specs[i].name);
    }
    err_set(err, ERR_UNSUPPORTED, "tokenizer.ggml.pre is '%.*s', which is not known; known are: %s",
            (int)(name.len < 64 ? name.len : 64), name.ptr, known.ptr ? known.ptr : "");
    buf_free(&known);
    return NULL;
}

static bool compile(Pretok *p, const char *pattern, Err *err) {
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);
    if (!re) {
        char why[128] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return err_set(err, ERR_UNSUPPORTED, "PCRE2 refuses the pre-tokenizer expression at byte %zu: %s", at,
                       why);
    }
    p->stages[p->n_stages] = re;
    // Systems that forbid writable code have no JIT; matching then falls back by itself.
    p->jit[p->n_stages] = pcre2_jit_compile(re, PCRE2_JIT_COMPLETE) == 0;
    p->n_stages++;
    return true;
}

Pretok *pretok_new(const PretokSpec *spec, Err *err) {
    Pretok *p = calloc(1, sizeof *p);
    if (!p || !(p->limits = pcre2_match_context_create(NULL))) {
        pretok_free(p);
        err_set(err, ERR_NOMEM, "out of memory for the pre-tokenizer");
        return NULL;
    }
    // The limits guard against exponential patterns; ours are linear, and a text may be one long
    // run of spaces.
    pcre2_set_match_limit(p->limits, UINT32_MAX);
    for (int i = 0; i < PRETOK_MAX_STAGES && spec->stages[i]; i++) {
        if (!compile(p, spec->stages[i], err)) {
            pretok_free(p);
            return NULL;
        }
    }
    return p;
}

void pretok_free(Pretok *p) {
    if (!p) return;
    for (int i = 0; i < p->n_stages; i++) pcre2_code_free(p->stages[i]);
    pcre2_match_context_free(p->limits);
    free(p);
}

PretokScratch *pretok_scratch_new(void) {
    PretokScratch *s = calloc(1, sizeof *s);
    if (s && !(s->match = pcre2_match_data_create(1, NULL))) {
        free(s);
        return NULL;
    }
    return s;
}

void pretok_scratch_free(PretokScratch *s) {
    if (!s) return;
    pcre2_match_data_free(s->match);
    free(s);
}

static int match(const Pretok *p, int stage, PretokScratch *s, Str text, size_t from) {
    PCRE2_SPTR subject = (PCRE2_SPTR)text.ptr;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (p->jit[stage])
        rc = pcre2_jit_match(p->stages[stage], subject, text.len, from, 0, s->match, p->limits);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(p->stages[stage], subject, text.len, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         s->match, p->limits);
    return rc;
}

// One split in progress; what the stages share.
typedef struct Split {
    const Pretok *p;
    PretokScratch *s;
    PretokFn fn;
    void *ctx;
    Err *err;
} Split;

// Depth is bounded by the number of stages.
static bool split_stage(const Split *w, int stage, Str text) {
    if (text.len == 0) return true;
    if (stage == w->p->n_stages) return w->fn(w->ctx, text);
    size_t at = 0; // everything before it has been handed on
    while (at < text.len) {
        int rc = match(w->p, stage, w->s, text, at);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0)
            return err_set(w->err, ERR_LIMIT, "the pre-tokenizer expression failed (PCRE2 error %d)", rc);
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(w->s->match);
        size_t from = span[0], to = span[1];
        CHECK(from >= at && to > from); // no expression matches the empty string
        if (!split_stage(w, stage + 1, str_sub(text, at, from - at))) return false;
        if (!split_stage(w, stage + 1, str_sub(text, from, to - from))) return false;
        at = to;
    }
    return split_stage(w, stage + 1, str_skip(text, at));
}

bool pretok_split(const Pretok *p, PretokScratch *s, Str text, PretokFn fn, void *ctx, Err *err) {
    Split w = {p, s, fn, ctx, err};
    return split_stage(&w, 0, text);
}
