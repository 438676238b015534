// Guesses for a sequence's next tokens: what followed the same words before.
//
// Answers repeat what stands in their prompts and what they said themselves: names, quotations, code
// that is changed in one place. So the last tokens are looked up among the earlier ones, and what
// followed there is the guess. Of the occurrences the one wins that agrees furthest back, the latest
// of several; it may reach into the guess itself, which continues a period.
//
// The index is a hash of pairs of tokens whose entries with the same slot are linked, latest first.
// Looking up walks a bounded number of links and compares tokens, so slots that meet by chance or
// by intention cost a guess and nothing else. A token is indexed once, when a guess is first wanted
// behind it: whoever never guesses pays nothing.
//
// A wrong guess costs a row, so a drafter watches what becomes of its own: while too few come true to
// pay for the rows it rests, longer each time.
//
// Thread: one Drafter belongs to one sequence.
#ifndef CLLM_ENGINE_DRAFT_H
#define CLLM_ENGINE_DRAFT_H

#include "base/err.h"

#include <stdint.h>

typedef struct Drafter Drafter;

// For a sequence of at most `capacity` tokens. Memory is used only as far as tokens are indexed.
Drafter *draft_new(int32_t capacity, Err *err);
void draft_free(Drafter *d); // NULL is allowed

// Writes up to `most` guesses behind the `len` known tokens; len + most <= capacity. Returns how
// many: 0 or `most`. The known tokens of earlier calls must not have changed.
int32_t draft_propose(Drafter *d, int32_t *tokens, int32_t len, int32_t most);

// What became of guesses that were computed behind `len` known tokens: the first n_accepted of n >= 1
// came true. price: what a row costs, see
// row_price.h.
void draft_judge(Drafter *d, int32_t len, int32_t n, int32_t n_accepted, float price);

#endif
