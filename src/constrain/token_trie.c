#include "constrain/token_trie.h"

#include "base/num.h"
#include "base/utf8.h"

#include <stdlib.h>

// A token to be sorted: by its trie, then by its first eight bytes, which mostly decide.
typedef struct Entry {
    uint64_t prefix;
    const TokenTrie *trie;
    int32_t token;
    TokenSlice slice;
    TokenSpan span;
} Entry;

static uint64_t prefix_of(Str s) {
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++) v = v << 8 | (i < s.len ? (uint8_t)s.ptr[i] : 0);
    return v;
}

static int by_bytes(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    if (x->slice != y->slice) return x->slice < y->slice ? -1 : 1;
    if (x->span != y->span) return x->span < y->span ? -1 : 1;
    if (x->prefix != y->prefix) return x->prefix < y->prefix ? -1 : 1;
    Str s = token_trie_bytes(x->trie, x->token), t = token_trie_bytes(y->trie, y->token);
    int order = memcmp(s.ptr, t.ptr, num_min(s.len, t.len));
    if (order) return order;
    if (s.len != t.len) return s.len < t.len ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

// ---- bytes

static bool read_bytes(TokenTrie *t, const Tokenizer *tokenizer) {
    t->offsets = malloc(((size_t)t->n_vocab + 1) * sizeof *t->offsets);
    if (!t->offsets) return false;
    for (int32_t i = 0; i < t->n_vocab; i++) {
        TokenKind kind = tokenizer_kind(tokenizer, i);
        size_t from = t->bytes.len;
        t->offsets[i] = (uint32_t)from;
        if (kind == TOKEN_NORMAL || kind == TOKEN_BYTE)
            tokenizer_decode_token(tokenizer, i, false, &t->bytes);
        if (t->bytes.len - from > TOKEN_MAX_BYTES) t->bytes.len = from;
    }
    t->offsets[t->n_vocab] = (uint32_t)t->bytes.len;
    return !t->bytes.failed;
}

static TokenSlice slice_of(Str s, size_t *n_chars) {
    TokenSlice slice = TOKENS_JSON;
    *n_chars = 0;
    if (!utf8_valid(s)) return TOKENS_REST;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t byte = (uint8_t)s.ptr[i];
        if (byte < 0x20 || byte == 0x7F) return TOKENS_REST;
        if (byte == '"' || byte == '\\') slice = TOKENS_TEXT;
        *n_chars += (byte & 0xC0) != 0x80;
    }
    return slice;
}

// ---- tries

static size_t shared_prefix(Str a, Str b) {
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n]) n++;
    return n;
}

static uint32_t count_nodes(const TokenTrie *t, const Entry *entries, size_t n) {
    size_t nodes = 0;
    Str last = {0};
    for (size_t i = 0; i < n; i++) {
        Str s = token_trie_bytes(t, entries[i].token);
        nodes += s.len - shared_prefix(last, s);
        last = s;
    }
    return (uint32_t)nodes;
}

// Nodes deeper than `depth` that are still open end here.
static void close_nodes(Trie *trie, const uint32_t *open, size_t depth, size_t to, uint32_t at) {
    while (depth > to) trie->nodes[open[--depth]].end = at;
}

static void fill_nodes(const TokenTrie *t, Trie *trie, const Entry *entries, size_t n) {
    uint32_t open[TOKEN_MAX_BYTES], at = 0;
    Str last = {0};
    for (size_t i = 0; i < n; i++) {
        Str s = token_trie_bytes(t, entries[i].token);
        size_t shared = shared_prefix(last, s);
        close_nodes(trie, open, last.len, shared, at);
        for (size_t k = shared; k < s.len; k++) {
            trie->nodes[at] =
                (TrieNode){.first = (uint32_t)i, .byte = (uint8_t)s.ptr[k], .depth = (uint8_t)k};
            open[k] = at++;
        }
        trie->tokens[i] = entries[i].token;
        last = s;
    }
    close_nodes(trie, open, last.len, 0, at);
    trie->nodes[at] = (TrieNode){.first = (uint32_t)n};
}

static bool build_trie(const TokenTrie *t, Trie *trie, const Entry *entries, size_t n) {
    trie->n_tokens = (uint32_t)n;
    trie->n_nodes = count_nodes(t, entries, n);
    trie->nodes = calloc((size_t)trie->n_nodes + 1, sizeof *trie->nodes);
    trie->tokens = malloc((n + 1) * sizeof *trie->tokens);
    if (!trie->nodes || !trie->tokens) return false;
    fill_nodes(t, trie, entries, n);
    return true;
}

static int by_length(const void *a, const void *b) {
    const LongToken *x = a, *y = b;
    return (x->n_chars > y->n_chars) - (x->n_chars < y->n_chars);
}

static bool build_plain(const TokenTrie *t, PlainTokens *plain, const Entry *entries, size_t n) {
    size_t n_words = t->n_words, n_chars;
    plain->up_to = calloc((TOKEN_MAX_CHARS + 1) * n_words, sizeof *plain->up_to);
    plain->longer = malloc((n + 1) * sizeof *plain->longer);
    if (!plain->up_to || !plain->longer) return false;
    for (size_t i = 0; i < n; i++) {
        int32_t token = entries[i].token;
        slice_of(token_trie_bytes(t, token), &n_chars);
        if ((int32_t)n_chars > plain->most_chars) plain->most_chars = (int32_t)n_chars;
        if (n_chars > TOKEN_MAX_CHARS)
            plain->longer[plain->n_longer++] = (LongToken){token, (int32_t)n_chars};
        else
            bits_set(plain->up_to + n_chars * n_words, token);
    }
    qsort(plain->longer, plain->n_longer, sizeof *plain->longer, by_length);
    for (size_t i = n_words; i < (TOKEN_MAX_CHARS + 1) * n_words; i++)
        plain->up_to[i] |= plain->up_to[i - n_words];
    return true;
}

static bool build_slice(TokenTrie *t, TokenSlice slice, const Entry *entries, size_t n) {
    size_t n_short = 0;
    while (n_short < n && entries[n_short].span == TOKENS_SHORT) n_short++;
    return build_trie(t, &t->tries[slice][TOKENS_SHORT], entries, n_short) &&
           build_trie(t, &t->tries[slice][TOKENS_LONG], entries + n_short, n - n_short) &&
           (slice == TOKENS_REST || build_plain(t, &t->plain[slice], entries, n));
}

static bool build_slices(TokenTrie *t) {
    size_t n = 0, n_chars, end = 0;
    Entry *entries = malloc(((size_t)t->n_vocab + 1) * sizeof *entries);
    if (!entries) return false;
    for (int32_t i = 0; i < t->n_vocab; i++) {
        Str s = token_trie_bytes(t, i);
        if (s.len == 0) continue;
        TokenSpan span = s.len <= TOKEN_SHORT_BYTES ? TOKENS_SHORT : TOKENS_LONG;
        entries[n++] = (Entry){prefix_of(s), t, i, slice_of(s, &n_chars), span};
    }
    qsort(entries, n, sizeof *entries, by_bytes);
    bool ok = true;
    for (int slice = 0; slice < N_TOKEN_SLICES && ok; slice++) {
        size_t begin = end;
        while (end < n && (int)entries[end].slice == slice) end++;
        ok = build_slice(t, (TokenSlice)slice, entries + begin, end - begin);
    }
    free(entries);
    return ok;
}

static int32_t longest_in(const Trie *trie, Str text) {
    int32_t found = -1;
    uint32_t i = 0, end = trie->n_nodes;
    for (size_t depth = 0; depth < text.len && i < end;) {
        const TrieNode *node = &trie->nodes[i];
        if (node->byte != (uint8_t)text.ptr[depth]) {
            i = node->end;
            continue;
        }
        if (node[1].first > node->first) found = trie->tokens[node->first];
        end = node->end;
        depth++;
        i++;
    }
    return found;
}

int32_t token_trie_longest(const TokenTrie *t, Str text) {
    int32_t longest = -1;
    size_t len = 0;
    for (int slice = 0; slice < N_TOKEN_SLICES; slice++)
        for (int span = 0; span < N_TOKEN_SPANS; span++) {
            int32_t token = longest_in(&t->tries[slice][span], text);
            if (token < 0 || token_trie_bytes(t, token).len <= len) continue;
            longest = token;
            len = token_trie_bytes(t, token).len;
        }
    return longest;
}

TokenTrie *token_trie_new(const Tokenizer *tokenizer, Err *err) {
    TokenTrie *t = calloc(1, sizeof *t);
    if (t) {
        const int32_t *ends = tokenizer_end_tokens(tokenizer, &t->n_ends);
        t->n_vocab = tokenizer_n_vocab(tokenizer);
        t->n_words = (size_t)t->n_vocab / 64 + 1;
        t->ends = malloc((t->n_ends + 1) * sizeof *t->ends);
        if (t->ends && t->n_ends) memcpy(t->ends, ends, t->n_ends * sizeof *ends);
        if (t->ends && read_bytes(t, tokenizer) && build_slices(t)) return t;
    }
    token_trie_free(t);
    err_set(err, ERR_NOMEM, "out of memory for the vocabulary's trie");
    return NULL;
}

void token_trie_free(TokenTrie *t) {
    if (!t) return;
    for (int i = 0; i < N_TOKEN_SLICES; i++)
        for (int k = 0; k < N_TOKEN_SPANS; k++) {
            free(t->tries[i][k].nodes);
            free(t->tries[i][k].tokens);
        }
    for (int i = 0; i < N_PLAIN_SLICES; i++) {
        free(t->plain[i].up_to);
        free(t->plain[i].longer);
    }
    free(t->offsets);
    free(t->ends);
    buf_free(&t->bytes);
    free(t);
}
