// The vocabulary as byte tries, for finding all tokens whose bytes a grammar allows.
//
// A trie stands in preorder: a node's first child is behind it, `end` is behind its last descendant, so a
// walk is one pass forward with jumps over what is not allowed. Tokens are numbered as nodes come, a
// node's own from `first` on to the next node's.
//
// Most tokens are plain: whole characters without control characters, quotes or backslashes. Inside a
// string of JSON, or wherever a grammar allows any text, they are all allowed, and it would be a waste to
// look at each. So tokens fall into slices, and a slice tells beforehand which of its tokens have at most
// so many characters; a grammar's state that goes on with any characters of a slice's alphabet for so
// long is then answered without a walk (token_mask.c). Only TOKENS_REST is always walked. The few long tokens
// stand apart, since what a grammar says of them depends on more than what it says of short ones.
//
// Left out, and so never allowed, are control, unknown, unused and user-defined tokens, and those of more
// than TOKEN_MAX_BYTES bytes.
// Thread: immutable.
#ifndef CLLM_CONSTRAIN_TOKEN_TRIE_H
#define CLLM_CONSTRAIN_TOKEN_TRIE_H

#include "text/tokenizer.h"

enum {
    TOKEN_MAX_BYTES = 255,
    TOKEN_MAX_CHARS = 32, // of tokens that have a bitset for their length
    TOKEN_SHORT_BYTES = 16
};

typedef enum TokenSlice {
    TOKENS_JSON, // characters from space on, without " \ and DEL
    TOKENS_TEXT, // " and \ too; at least one of them
    TOKENS_REST,
    N_TOKEN_SLICES,
    N_PLAIN_SLICES = TOKENS_REST
} TokenSlice;

typedef enum TokenSpan { TOKENS_SHORT, TOKENS_LONG, N_TOKEN_SPANS } TokenSpan;

typedef struct TrieNode {
    uint32_t end, first;
    uint8_t byte, depth; // depth of its parent
} TrieNode;

typedef struct Trie {
    TrieNode *nodes; // [n_nodes + 1], the last a sentinel
    uint32_t n_nodes;
    int32_t *tokens; // [n_tokens] in the order of their bytes
    uint32_t n_tokens;
} Trie;

typedef struct LongToken {
    int32_t token, n_chars;
} LongToken;

// A plain slice by lengths in characters.
typedef struct PlainTokens {
    uint64_t *up_to;   // [TOKEN_MAX_CHARS + 1][n_words] the tokens of at most so many
    LongToken *longer; // [n_longer] those of more, by their lengths
    uint32_t n_longer;
    int32_t most_chars;
} PlainTokens;

typedef struct TokenTrie {
    int32_t n_vocab;
    size_t n_words;    // of a bitset over the vocabulary
    uint32_t *offsets; // [n_vocab + 1] of the tokens' bytes; those left out have none
    Buf bytes;
    Trie tries[N_TOKEN_SLICES][N_TOKEN_SPANS];
    PlainTokens plain[N_PLAIN_SLICES];
    int32_t *ends; // [n_ends] end tokens
    size_t n_ends;
} TokenTrie;

TokenTrie *token_trie_new(const Tokenizer *t, Err *err);
void token_trie_free(TokenTrie *t); // NULL is allowed

// The longest token that `text` begins with, -1: none.
int32_t token_trie_longest(const TokenTrie *t, Str text);

static inline Str token_trie_bytes(const TokenTrie *t, int32_t token) {
    uint32_t from = t->offsets[token];
    return (Str){t->bytes.ptr + from, t->offsets[token + 1] - from};
}

static inline void bits_set(uint64_t *bits, int32_t i) {
    bits[i / 64] |= UINT64_C(1) << i % 64;
}

static inline bool bits_has(const uint64_t *bits, int32_t i) {
    return bits[i / 64] >> i % 64 & 1;
}

#endif
