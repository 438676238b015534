#include "server/api_tokens.h"

#include "base/utf8.h"
#include "server/api_openai.h"
#include "server/api_texts.h"
#include "server/parse.h"

// A job whose answer is made where its body is read.
typedef struct TokensJob {
    Job job;
    json_t *reply;
} TokensJob;

static void done(Job *job) {
    api_reply_json(job->x, job->dialect, 200, json_incref(((TokensJob *)job)->reply));
}

static void clear(Job *job) {
    json_decref(((TokensJob *)job)->reply);
}

static void start(App *app, HttpExchange *x, const JobKind *kind) {
    Job *job = preparer_new_job(app, x, kind, DIALECT_OPENAI);
    if (job) preparer_start(job);
}

// ---- /tokenize

static Str text_of_token(const Served *served, int32_t id, Buf *out) {
    buf_clear(out);
    tokenizer_decode_token(served->service.tokenizer, id, true, out);
    return buf_str(out);
}

// A string, or the bytes of what is none: a part of a code point.
static json_t *piece_json(Str piece) {
    if (utf8_valid(piece)) return json_stringn(piece.ptr, piece.len);
    json_t *bytes = json_array();
    for (size_t i = 0; i < piece.len; i++)
        json_array_append_new(bytes, json_integer((unsigned char)piece.ptr[i]));
    return bytes;
}

static json_t *tokens_json(const Served *served, const TokenList *tokens, bool with_pieces) {
    json_t *list = json_array();
    Buf piece = {0};
    for (size_t i = 0; i < tokens->n; i++) {
        json_t *id = json_integer(tokens->ids[i]);
        if (with_pieces)
            id = json_pack("{s:o, s:o}", "id", id, "piece",
                           piece_json(text_of_token(served, tokens->ids[i], &piece)));
        json_array_append_new(list, id);
    }
    buf_free(&piece);
    return list;
}

static json_t *strings_json(const Served *served, const TokenList *tokens) {
    json_t *list = json_array();
    Buf piece = {0}, clean = {0};
    for (size_t i = 0; i < tokens->n; i++) {
        buf_clear(&clean);
        utf8_sanitize(text_of_token(served, tokens->ids[i], &piece), &clean);
        json_array_append_new(list, json_stringn(buf_str(&clean).ptr, clean.len));
    }
    buf_free(&piece);
    buf_free(&clean);
    return list;
}

// llama.cpp's `content` is a part of a text, vLLM's `prompt` a whole one: that is where BOS belongs.
static bool encode_text(const Served *served, Fields *f, TokenList *out) {
    bool whole = fields_get(f, "content") == NULL, special = true;
    const char *name = whole ? "prompt" : "content";
    Str text = {0};
    Err err = {0};
    fields_str(f, name, &text);
    fields_bool(f, "add_special", &whole);
    fields_bool(f, "add_special_tokens", &whole);
    fields_bool(f, "parse_special", &special);
    if (f->ok && !text.ptr) fields_fail(f, "content", "is missing; prompt or messages would do as well");
    if (!f->ok || !served_admits_text(served, name, text.len, f->error)) return false;
    return prompt_encode_text(served->prompts, text, special, whole, out, &err) ||
           api_error_from(f->error, &err, name);
}

static json_t *tokenize(const Served *served, const json_t *body, ApiError *e) {
    Fields f = fields_of(body, e);
    TokenList tokens = {0};
    bool pieces = false, strings = false;
    json_t *reply = NULL;
    fields_bool(&f, "with_pieces", &pieces);
    fields_bool(&f, "return_token_strs", &strings);
    bool chat = fields_get(&f, "messages") != NULL;
    if (f.ok && (chat ? openai_encode_chat(served, body, &tokens, e) : encode_text(served, &f, &tokens))) {
        reply = json_pack("{s:o, s:I, s:i}", "tokens", tokens_json(served, &tokens, pieces), "count",
                          (json_int_t)tokens.n, "max_model_len", (int)served->context);
        if (strings) json_object_set_new(reply, "token_strs", strings_json(served, &tokens));
    }
    token_list_free(&tokens);
    return reply;
}

static void tokenize_run(Job *job) {
    ((TokensJob *)job)->reply = tokenize(job->served, job->json, &job->error);
}

void api_tokenize(App *app, HttpExchange *x, Str tail) {
    static const JobKind kind = {sizeof(TokensJob), tokenize_run, done, clear};
    (void)tail;
    start(app, x, &kind);
}

// ---- /detokenize

static bool read_ids(const Served *served, Fields *f, TokenList *out) {
    const json_t *list = fields_get(f, "tokens");
    if (!json_is_array(list)) return fields_fail(f, "tokens", "must be an array of token ids");
    return api_read_token_ids(served, f, "tokens", list, out);
}

static json_t *detokenize(const Served *served, const json_t *body, ApiError *e) {
    Fields f = fields_of(body, e);
    TokenList ids = {0};
    Buf raw = {0}, text = {0};
    json_t *reply = NULL;
    if (read_ids(served, &f, &ids)) {
        tokenizer_decode(served->service.tokenizer, ids.ids, ids.n, true, &raw);
        utf8_sanitize(buf_str(&raw), &text);
        Str s = buf_str(&text);
        reply =
            json_pack("{s:s%, s:s%}", "content", s.ptr, s.len, "prompt", s.ptr, s.len); // vLLM's word, too
    }
    token_list_free(&ids);
    buf_free(&raw);
    buf_free(&text);
    return reply;
}

static void detokenize_run(Job *job) {
    ((TokensJob *)job)->reply = detokenize(job->served, job->json, &job->error);
}

void api_detokenize(App *app, HttpExchange *x, Str tail) {
    static const JobKind kind = {sizeof(TokensJob), detokenize_run, done, clear};
    (void)tail;
    start(app, x, &kind);
}

// ---- /apply-template

static void template_run(Job *job) {
    Buf text = {0};
    if (openai_render_chat(job->served, job->json, &text, &job->error))
        ((TokensJob *)job)->reply = json_pack("{s:s%}", "prompt", buf_str(&text).ptr, text.len);
    buf_free(&text);
}

void api_apply_template(App *app, HttpExchange *x, Str tail) {
    static const JobKind kind = {sizeof(TokensJob), template_run, done, clear};
    (void)tail;
    start(app, x, &kind);
}
