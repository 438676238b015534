#include "server/prompt.h"

#include "base/num.h"

#include <stdlib.h>

// A control token's text. Sorted by bytes; `shorter` is the longest other one that is a prefix of
// it (-1: none). All texts between a prefix of s and s itself in that order start with the prefix
// too, so the prefixes of s are the nearest text below s or on its chain of shorter ones.
typedef struct ControlText {
    Str text;
    int32_t shorter;
} ControlText;

struct PromptEncoder {
    const Tokenizer *tokenizer;
    bool add_bos;
    size_t longest; // bytes of the longest token
    Buf bytes;      // of the control texts
    ControlText *controls;
    int32_t n_controls;
    bool starts[256]; // first bytes of control texts
};

enum { N_GUARDS = 16, GUARD_LEN = 4, MAX_DEPTH = 120 }; // depth: above what parse_body lets in

// U+F0000 + i, plane 15 private use.
static Guard guard_at(int i) {
    return (Guard){{(char)0xF3, (char)0xB0, (char)0x80, (char)(0x80 + i), 0}};
}

static int compare_str(Str a, Str b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (order) return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static int compare_controls(const void *a, const void *b) {
    return compare_str(((const ControlText *)a)->text, ((const ControlText *)b)->text);
}

static bool is_control(const Tokenizer *t, int32_t id) {
    TokenKind kind = tokenizer_kind(t, id);
    return kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN;
}

// Lengths first (the buffer moves while it grows), then views.
static bool collect_controls(PromptEncoder *p) {
    int32_t n_vocab = tokenizer_n_vocab(p->tokenizer), n = 0;
    for (int32_t id = 0; id < n_vocab; id++) n += is_control(p->tokenizer, id);
    p->controls = calloc((size_t)n + 1, sizeof *p->controls);
    if (!p->controls) return false;
    for (int32_t id = 0; id < n_vocab; id++) {
        if (!is_control(p->tokenizer, id)) continue;
        size_t from = p->bytes.len;
        tokenizer_decode_token(p->tokenizer, id, true, &p->bytes);
        if (p->bytes.len > from) p->controls[p->n_controls++].text.len = p->bytes.len - from;
    }
    const char *at = p->bytes.ptr;
    for (int32_t i = 0; i < p->n_controls; i++) {
        p->controls[i].text.ptr = at;
        p->starts[(unsigned char)*at] = true;
        at += p->controls[i].text.len;
    }
    return !p->bytes.failed;
}

static void find_longest(PromptEncoder *p) {
    Buf raw = {0};
    int32_t n_vocab = tokenizer_n_vocab(p->tokenizer);
    for (int32_t id = 0; id < n_vocab; id++) {
        buf_clear(&raw);
        tokenizer_decode_token(p->tokenizer, id, true, &raw);
        p->longest = num_max(p->longest, raw.len);
    }
    buf_free(&raw);
}

static void link_prefixes(PromptEncoder *p) {
    if (p->n_controls) qsort(p->controls, (size_t)p->n_controls, sizeof *p->controls, compare_controls);
    for (int32_t i = 0; i < p->n_controls; i++) {
        int32_t j = i - 1;
        while (j >= 0 && !str_starts_with(p->controls[i].text, p->controls[j].text))
            j = p->controls[j].shorter;
        p->controls[i].shorter = j;
    }
}

// What the file says about BOS shows in the encoding of nothing.
static bool find_bos(PromptEncoder *p, Err *err) {
    TokenList none = {0};
    bool ok = tokenizer_encode(p->tokenizer, (Str){"", 0}, (EncodeOptions){.bos_eos = true}, &none, err);
    int32_t bos = tokenizer_bos(p->tokenizer);
    p->add_bos = ok && bos >= 0 && none.n > 0 && none.ids[0] == bos;
    token_list_free(&none);
    return ok;
}

PromptEncoder *prompt_encoder_new(const Tokenizer *tokenizer, Err *err) {
    PromptEncoder *p = calloc(1, sizeof *p);
    if (!p) goto no_memory;
    p->tokenizer = tokenizer;
    if (!find_bos(p, err)) goto fail;
    if (!collect_controls(p)) goto no_memory;
    link_prefixes(p);
    find_longest(p);
    return p;

no_memory:
    err_set(err, ERR_NOMEM, "out of memory");
fail:
    prompt_encoder_free(p);
    return NULL;
}

void prompt_encoder_free(PromptEncoder *p) {
    if (!p) return;
    buf_free(&p->bytes);
    free(p->controls);
    free(p);
}

size_t prompt_most_bytes(const PromptEncoder *p, int32_t n_tokens) {
    size_t most;
    return num_mul((size_t)n_tokens, p->longest, &most) && num_mul(most, 4, &most) ? most : SIZE_MAX;
}

size_t prompt_control_at(const PromptEncoder *p, Str s) {
    if (s.len == 0 || !p->starts[(unsigned char)s.ptr[0]]) return 0;
    int32_t low = 0, high = p->n_controls; // the first text above s
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (compare_str(p->controls[mid].text, s) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (int32_t i = low - 1; i >= 0; i = p->controls[i].shorter)
        if (str_starts_with(s, p->controls[i].text)) return p->controls[i].text.len;
    return 0;
}

// ---- raw text

static bool add_bos(const PromptEncoder *p, Str text, TokenList *out) {
    if (!p->add_bos) return true;
    int32_t bos = tokenizer_bos(p->tokenizer);
    Buf raw = {0};
    tokenizer_decode_token(p->tokenizer, bos, true, &raw);
    bool known = !raw.failed, has = raw.len > 0 && str_starts_with(text, buf_str(&raw));
    buf_free(&raw);
    return known && (has || token_list_push(out, bos));
}

bool prompt_encode_text(const PromptEncoder *p, Str text, bool special, bool bos, TokenList *out, Err *err) {
    if (bos && !add_bos(p, special ? text : (Str){"", 0}, out))
        return err_set(err, ERR_NOMEM, "out of memory");
    return tokenizer_encode(p->tokenizer, text, (EncodeOptions){.special = special}, out, err);
}

// ---- guarded conversations

static Str string_view(const json_t *s) {
    return (Str){json_string_value(s), json_string_length(s)};
}

// Sets used[i] where guard i occurs in a string of the value.
static bool mark_used(const json_t *value, bool *used, int depth) {
    const char *key;
    json_t *item;
    size_t i;
    if (depth > MAX_DEPTH) return false;
    if (json_is_string(value)) {
        if (!str_contains(string_view(value), STR("\xF3\xB0\x80"))) return true;
        for (int g = 0; g < N_GUARDS; g++)
            used[g] |= str_contains(string_view(value), str_from(guard_at(g).text));
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) if (!mark_used(item, used, depth + 1)) return false;
    } else if (json_is_object(value)) {
        json_object_foreach((json_t *)value, key, item) if (!mark_used(item, used, depth + 1)) return false;
    }
    return true;
}

static size_t first_char_len(Str s) {
    size_t n = 1;
    while (n < s.len && ((unsigned char)s.ptr[n] & 0xC0) == 0x80) n++;
    return n;
}

// The guarded form of a string, or NULL when there is nothing to guard (or no memory: out.failed).
static json_t *guarded_string(const PromptEncoder *p, Str s, const Guard *guard, bool *failed) {
    Buf out = {0};
    size_t done = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (prompt_control_at(p, str_skip(s, i)) == 0) continue;
        size_t end = i + first_char_len(str_skip(s, i));
        buf_put(&out, str_sub(s, done, end - done));
        buf_puts(&out, guard->text);
        done = end;
    }
    if (done == 0) return NULL;
    buf_put(&out, str_skip(s, done));
    json_t *result = out.failed ? NULL : json_stringn(out.ptr, out.len);
    *failed |= !result;
    buf_free(&out);
    return result;
}

static void guard_value(const PromptEncoder *p, json_t *value, const Guard *guard, bool *failed) {
    const char *key;
    json_t *item, *changed;
    size_t i;
    if (json_is_array(value)) {
        json_array_foreach(value, i, item) {
            if (!json_is_string(item))
                guard_value(p, item, guard, failed);
            else if ((changed = guarded_string(p, string_view(item), guard, failed)))
                json_array_set_new(value, i, changed);
        }
    } else if (json_is_object(value)) {
        json_object_foreach(value, key, item) {
            if (!json_is_string(item))
                guard_value(p, item, guard, failed);
            else if ((changed = guarded_string(p, string_view(item), guard, failed)))
                json_object_set_new(value, key, changed);
        }
    }
}

static bool choose_unused(const json_t *value, Guard *out, Err *err) {
    bool used[N_GUARDS] = {false};
    if (!mark_used(value, used, 0)) return err_set(err, ERR_LIMIT, "the messages are nested too deeply");
    int g = 0;
    while (g < N_GUARDS && used[g]) g++;
    if (g == N_GUARDS)
        return err_set(err, ERR_INVALID, "the messages use all of the code points U+F0000 to U+F000F");
    *out = guard_at(g);
    return true;
}

bool prompt_guard(const PromptEncoder *p, json_t *value, Guard *guard, Err *err) {
    bool failed = false;
    if (!choose_unused(value, guard, err)) return false;
    guard_value(p, value, guard, &failed);
    return !failed || err_set(err, ERR_NOMEM, "out of memory");
}

bool prompt_encode_guarded(const PromptEncoder *p, Str text, const Guard *guard, TokenList *out, Err *err) {
    if (!add_bos(p, text, out)) return err_set(err, ERR_NOMEM, "out of memory");
    for (;;) {
        Str piece = str_sub(text, 0, str_index_of(text, str_from(guard->text)));
        if (!tokenizer_encode(p->tokenizer, piece, (EncodeOptions){.special = true}, out, err)) return false;
        if (piece.len == text.len) return true;
        text = str_skip(text, piece.len + GUARD_LEN);
    }
}

// Bytes that are no text become the empty string.
static bool set_token_text(const PromptEncoder *p, json_t *variables, const char *name, int32_t id) {
    Buf raw = {0};
    if (id >= 0) tokenizer_decode_token(p->tokenizer, id, true, &raw);
    json_t *text = raw.failed ? NULL : json_stringn(buf_str(&raw).ptr, raw.len);
    if (!text && !raw.failed) text = json_string("");
    buf_free(&raw);
    return json_object_set_new(variables, name, text) == 0;
}

// ---- a last message to be continued

// What templates write behind a message (the end of its turn, the beginning of the next) is not wanted then,
// and only they know where that begins. So one more character that occurs nowhere stands at the content's end
// while the template runs, which also keeps white space there from being trimmed.
static bool mark_end(json_t *variables, Guard *mark, Err *err) {
    const json_t *messages = json_object_get(variables, "messages");
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    Buf text = {0};
    if (!choose_unused(variables, mark, err)) return false;
    buf_put(&text, string_view(json_object_get(last, "content")));
    buf_puts(&text, mark->text);
    json_t *marked = text.failed ? NULL : json_stringn(text.ptr, text.len);
    buf_free(&text);
    return json_object_set_new(last, "content", marked) == 0 || err_set(err, ERR_NOMEM, "out of memory");
}

// Where it stands last: a template may have looked at the content before.
static bool cut_at_mark(Buf *text, const Guard *mark, Err *err) {
    for (size_t n = text->len; n >= GUARD_LEN; n--) {
        if (memcmp(text->ptr + n - GUARD_LEN, mark->text, GUARD_LEN) != 0) continue;
        text->len = n - GUARD_LEN;
        text->ptr[text->len] = 0;
        return true;
    }
    return err_set(
        err, ERR_INVALID,
        "the last message cannot be continued: this model's chat template does not show its content");
}

static bool render(const ChatTemplate *t, json_t *variables, Buf *out, Err *err) {
    if (!chat_template_render(t, variables, out, err)) return false;
    return !out->failed || err_set(err, ERR_NOMEM, "out of memory");
}

bool prompt_render_chat(const PromptEncoder *p, const ChatTemplate *t, json_t *variables, Buf *out,
                        Err *err) {
    Guard mark;
    bool continues = json_is_true(json_object_get(variables, "continue_final_message"));
    if (continues && !mark_end(variables, &mark, err)) return false;
    if (!set_token_text(p, variables, "bos_token", tokenizer_bos(p->tokenizer)) ||
        !set_token_text(p, variables, "eos_token", tokenizer_eos(p->tokenizer)))
        return err_set(err, ERR_NOMEM, "out of memory");
    return render(t, variables, out, err) && (!continues || cut_at_mark(out, &mark, err));
}

bool prompt_encode_chat(const PromptEncoder *p, const ChatTemplate *t, json_t *variables, TokenList *out,
                        Err *err) {
    Guard guard;
    Buf text = {0};
    bool ok = prompt_guard(p, variables, &guard, err) && prompt_render_chat(p, t, variables, &text, err) &&
              prompt_encode_guarded(p, buf_str(&text), &guard, out, err);
    buf_free(&text);
    return ok;
}
