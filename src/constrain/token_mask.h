// One text on its way through a grammar, token by token: which tokens may follow, as a bitset.
//
// A mask is found by walking the tries of the vocabulary (token_trie.h) with the grammar's automaton, and
// kept with the automaton's state, as many as fit a fixed memory, least recently used first out. What is
// kept says nothing about the text, so a TokenMask may serve one text after the other and gets faster.
//
// The mask is exact: a token is allowed if and only if its bytes can begin some text of the grammar here.
// An end token is allowed if and only if the text is a whole one.
//
// Allocates in token_mask_new only. Thread: belongs to one at a time; borrows trie and grammar.
#ifndef CLLM_CONSTRAIN_TOKEN_MASK_H
#define CLLM_CONSTRAIN_TOKEN_MASK_H

#include "constrain/automaton.h"
#include "constrain/token_trie.h"

typedef struct TokenMask TokenMask;

// Fails also when the grammar is too ambiguous to begin with.
TokenMask *token_mask_new(const TokenTrie *trie, const Grammar *g, Err *err);
void token_mask_free(TokenMask *m); // NULL is allowed

void token_mask_restart(TokenMask *m); // another text; what is remembered of the grammar stays
// The tokens that may follow, [trie->n_words]; valid until the next call. NULL: none, the text cannot be
// finished (the vocabulary lacks bytes, or the grammar is too ambiguous here).
const uint64_t *token_mask_bits(TokenMask *m);
// The text goes on with a token that the mask allowed. After an end token nothing may be asked any more.
void token_mask_accept(TokenMask *m, int32_t token);
bool token_mask_is_done(const TokenMask *m); // the text is a whole one and nothing can follow
bool token_mask_may_end(const TokenMask *m); // the text is a whole one

// Tokens that are likely to follow, at most `most`, where the grammar leaves only one way on: the longest
// tokens of the bytes that must come. Returns how many.
int32_t token_mask_guess(TokenMask *m, int32_t *out, int32_t most);

// Goes on with bytes; false: the grammar forbids them. (For tests and tools.)
bool token_mask_feed(TokenMask *m, Str bytes);

#endif
