// One text on its way through a grammar, token by token: which tokens may follow, as a bitset.
//
// A mask has two parts. Plain tokens, where the state goes on with any characters for so long, are looked up
// by their lengths (token_trie.h). The others are found by walking the vocabulary's tries with the grammar's
// automaton, not from the state itself but from one that no token tells apart from it and that many states
// have in common (automaton_alike): a count of 200 that stands at 17 or at 18 makes no difference to a token.
// How far tokens are followed, and so what must be told apart, is learnt on the way. What was walked is kept
// with that state, as much as fits a fixed memory, least recently used first out. It says nothing about the
// text, so a TokenMask may serve one text after the other and gets faster.
//
// A walk can take long: it is cut into pieces of bounded work (token_mask_ready), so that who computes many
// masks in turn is not held up by one. All pieces of a mask together are bounded too; what takes more is
// too ambiguous.
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
// Works on the mask of the place where the text stands for a fraction of a millisecond. true: token_mask_bits
// has it now, or will never.
bool token_mask_ready(TokenMask *m);
// The tokens that may follow, [trie->n_words]; valid until the next call. NULL: none, the text cannot be
// finished (the vocabulary lacks bytes, or the grammar is too ambiguous here).
const uint64_t *token_mask_bits(TokenMask *m);
// The text goes on with a token that the mask allowed. After an end token nothing may be asked any more.
void token_mask_accept(TokenMask *m, int32_t token);
bool token_mask_is_done(const TokenMask *m); // the text is a whole one and nothing can follow
bool token_mask_may_end(const TokenMask *m); // the text is a whole one

int64_t token_mask_work(const TokenMask *m); // that this mask has taken, in nodes of tries (for tests)

// Tokens that are likely to follow, at most `most`, where the grammar leaves only one way on: the longest
// tokens of the bytes that must come. Returns how many.
int32_t token_mask_guess(TokenMask *m, int32_t *out, int32_t most);

// Goes on with bytes; false: the grammar forbids them. (For tests and tools.)
bool token_mask_feed(TokenMask *m, Str bytes);

#endif
