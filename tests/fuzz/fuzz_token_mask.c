// Fuzz target: the first byte says what the rest is up to a zero byte: 0 GBNF, 1 a JSON schema, 2 a regular
// expression. It is refused with a reason, or compiled and followed: each byte behind the zero picks one of
// the tokens that the mask allows. What was allowed is always accepted and leads on, and a text that may end
// by a schema is JSON.
#include "constrain/gbnf.h"
#include "constrain/grammar.h"
#include "constrain/json_schema.h"
#include "constrain/regex.h"
#include "constrain/token_mask.h"
#include "server/parse.h"
#include "text/tiny_vocab.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { MOST_TOKENS = 48 };

static const TokenTrie *fuzz_trie(void) {
    static TinyVocab vocab;
    static TokenTrie *trie;
    if (trie) return trie;
    tiny_english(&vocab);
    CHECK(tiny_open_bpe(&vocab, "gpt-2", NULL));
    trie = token_trie_new(vocab.tokenizer, NULL);
    CHECK(trie);
    return trie;
}

static Rules *schema_rules(Str source, Err *err) {
    ApiError e = {0};
    json_t *schema = parse_body(source, &e); // as a request would bring it: bounded in depth
    if (!schema) {
        err_set(err, ERR_INVALID, "%s", e.message);
        return NULL;
    }
    Rules *rules = json_schema_rules(schema, err);
    json_decref(schema);
    return rules;
}

static Rules *regex_rules(Str source, Err *err) {
    Rules *r = rules_new(err);
    CHECK(r);
    int32_t root = rules_add(r, STR("root"));
    rules_define(r, root, regex_parse(r, source, CHARS_PLAIN, true).rx);
    if (!r->failed) return r;
    *err = r->err;
    rules_free(r);
    return NULL;
}

static Rules *read_rules(int kind, Str source, Err *err) {
    switch (kind) {
    case 0: return gbnf_parse(source, err);
    case 1: return schema_rules(source, err);
    default: return regex_rules(source, err);
    }
}

// -1: none is allowed.
static int32_t pick(const TokenTrie *trie, const uint64_t *bits, uint8_t choice) {
    for (int32_t i = 0; bits && i < trie->n_vocab; i++) {
        int32_t token = (choice * 31 + i) % trie->n_vocab;
        if (bits_has(bits, token)) return token;
    }
    return -1;
}

static bool ends(const TokenTrie *trie, int32_t token) {
    for (size_t i = 0; i < trie->n_ends; i++)
        if (trie->ends[i] == token) return true;
    return false;
}

// NULL bits: the grammar is too ambiguous here, which ends a request.
static void follow(TokenMask *m, Str choices, bool is_json) {
    const TokenTrie *trie = fuzz_trie();
    Buf text = {0};
    for (size_t i = 0; i < choices.len && i < MOST_TOKENS; i++) {
        const uint64_t *bits = token_mask_bits(m);
        int32_t token = pick(trie, bits, (uint8_t)choices.ptr[i]);
        CHECK(!bits || token >= 0 || token_mask_is_done(m));
        if (token < 0) break;
        if (ends(trie, token)) {
            CHECK(token_mask_may_end(m));
            break;
        }
        token_mask_accept(m, token);
        buf_put(&text, token_trie_bytes(trie, token));
    }
    if (is_json && token_mask_may_end(m)) {
        json_t *value =
            json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
        CHECK(value);
        json_decref(value);
    }
    // The same bytes again, one by one.
    token_mask_restart(m);
    CHECK(token_mask_feed(m, buf_str(&text)));
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
    if (n == 0) return 0;
    Err err = {0};
    Str all = {(const char *)bytes + 1, n - 1};
    const char *zero = memchr(all.ptr, 0, all.len);
    Str source = {all.ptr, zero ? (size_t)(zero - all.ptr) : all.len};
    int kind = bytes[0] % 3;
    Rules *rules = read_rules(kind, source, &err);
    CHECK(rules || (err.code != ERR_NONE && err.msg[0]));
    Grammar *g = rules ? grammar_compile(rules, &err) : NULL;
    CHECK(g || (err.code != ERR_NONE && err.msg[0]));
    TokenMask *m = g ? token_mask_new(fuzz_trie(), g, &err) : NULL;
    if (m && zero) follow(m, str_skip(all, source.len + 1), kind == 1);
    token_mask_free(m);
    grammar_free(g);
    rules_free(rules);
    return 0;
}
