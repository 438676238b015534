// What may be said next, from outside the engine: a grammar, for example, which knows text.
//
// A constraint belongs to one request. It stands behind the tokens accepted so far and tells which tokens
// may follow. Masking is the last thing done to logits before one is chosen, and it is hard: nothing
// outside the mask is ever chosen, whatever biases say.
//
// Finding a mask may take long. It is done in pieces of bounded work, so that the engine can divide them among
// steps and no sequence is held up by the mask of another.
//
// Thread: ready, mask, accept, is_done and guess are called by the engine's threads, one at a time for a
// constraint, and must not allocate; free by the front thread.
#ifndef CLLM_ENGINE_CONSTRAINT_H
#define CLLM_ENGINE_CONSTRAINT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Constraint Constraint;

typedef struct ConstraintOps {
    // Works on the mask for a fraction of a millisecond. true: mask() takes no longer than copying it.
    bool (*ready)(Constraint *c);
    // The tokens that may follow, as a bitset of c->n_tokens bits; valid until the next call. NULL: there is
    // none, and the request ends with FINISH_NO_TOKEN. End tokens are in it where the text may end.
    const uint64_t *(*mask)(Constraint *c);
    void (*accept)(Constraint *c, int32_t token); // chosen, and in the mask
    bool (*is_done)(const Constraint *c);         // nothing but an end token could follow
    // Writes up to `most` tokens that are likely to follow, since little else may; returns how many.
    int32_t (*guess)(Constraint *c, int32_t *out, int32_t most);
    void (*free)(Constraint *c);
} ConstraintOps;

// What implementations begin with.
struct Constraint {
    const ConstraintOps *ops;
    int32_t n_tokens; // tokens from here on are never allowed
};

static inline void constraint_free(Constraint *c) {
    if (c) c->ops->free(c);
}

#endif
