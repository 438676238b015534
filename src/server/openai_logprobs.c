#include "server/openai_logprobs.h"

#include "base/utf8.h"

#include <math.h>

static const double impossible = -9999;

static json_t *logprob_json(TokenLogprob p) {
    return json_real((double)p.logprob < impossible ? impossible : (double)p.logprob);
}

// ---- chats

static json_t *chat_token(const Tokenizer *t, TokenLogprob p) {
    Buf raw = {0}, text = {0};
    json_t *bytes = json_array();
    tokenizer_decode_token(t, p.token, true, &raw);
    utf8_sanitize(buf_str(&raw), &text);
    for (size_t i = 0; i < raw.len; i++)
        json_array_append_new(bytes, json_integer((unsigned char)raw.ptr[i]));
    json_t *token = json_pack("{s:s%, s:o, s:o}", "token", buf_str(&text).ptr, text.len, "logprob",
                              logprob_json(p), "bytes", bytes);
    buf_free(&raw);
    buf_free(&text);
    return token;
}

static json_t *chat_entry(const Tokenizer *t, const TokenLogprob *row, int32_t width) {
    json_t *entry = chat_token(t, row[0]), *top = json_array();
    for (int32_t i = 1; i < width && row[i].token >= 0; i++)
        json_array_append_new(top, chat_token(t, row[i]));
    json_object_set_new(entry, "top_logprobs", top);
    return entry;
}

json_t *openai_chat_logprobs(const Tokenizer *t, const TokenLog *log, int32_t first, int32_t end) {
    json_t *content = json_array();
    for (int32_t i = first; i < end; i++)
        json_array_append_new(content, chat_entry(t, token_log_row(log, i), log->width));
    return json_pack("{s:o, s:n}", "content", content, "refusal");
}

// ---- completions

static void token_name(const Tokenizer *t, int32_t token, Buf *out) {
    Buf raw = {0};
    tokenizer_decode_token(t, token, true, &raw);
    if (utf8_valid(buf_str(&raw))) {
        buf_put(out, buf_str(&raw));
    } else {
        buf_puts(out, "bytes:");
        for (size_t i = 0; i < raw.len; i++) buf_printf(out, "\\x%02x", (unsigned char)raw.ptr[i]);
    }
    buf_free(&raw);
}

// Two tokens may have one name: the likelier one has it then, which comes first.
static void add_named(const Tokenizer *t, json_t *object, TokenLogprob p) {
    Buf name = {0};
    token_name(t, p.token, &name);
    Str key = buf_str(&name);
    if (!json_object_getn(object, key.ptr, key.len))
        json_object_setn_new(object, key.ptr, key.len, logprob_json(p));
    buf_free(&name);
}

static json_t *top_json(const Tokenizer *t, const TokenLogprob *row, int32_t width) {
    json_t *top = json_object();
    for (int32_t i = 1; i < width && row[i].token >= 0; i++) add_named(t, top, row[i]);
    add_named(t, top, row[0]);
    return top;
}

json_t *openai_text_logprobs_new(void) {
    return json_pack("{s:[], s:[], s:[], s:[]}", "tokens", "token_logprobs", "top_logprobs", "text_offset");
}

void openai_text_logprobs_add(json_t *object, const Tokenizer *t, const TokenLog *log, int32_t first,
                              int32_t end, size_t base, bool first_is_null) {
    json_t *tokens = json_object_get(object, "tokens"), *top = json_object_get(object, "top_logprobs");
    json_t *own = json_object_get(object, "token_logprobs"), *offset = json_object_get(object, "text_offset");
    for (int32_t i = first; i < end; i++) {
        const TokenLogprob *row = token_log_row(log, i);
        bool is_null = i == 0 && first_is_null;
        Buf name = {0};
        token_name(t, row[0].token, &name);
        json_array_append_new(tokens, json_stringn(buf_str(&name).ptr, name.len));
        json_array_append_new(own, is_null ? json_null() : logprob_json(row[0]));
        json_array_append_new(top, is_null ? json_null() : top_json(t, row, log->width));
        json_array_append_new(offset, json_integer((json_int_t)(base + log->starts[i])));
        buf_free(&name);
    }
}
