// A constraint that begins behind a model's thinking.
//
// A model that thinks aloud does so in words, whatever its answer is held to. So this one lets everything but
// an end through until the token that closes the thinking has come, and is the inner one from there on; one
// token of line ends in between is let through, too. Where the prompt has not opened the thinking the first
// token decides: the opening one, or the beginning of what is held to. A model whose marks are not single
// tokens gets no such constraint: it is held to its answer from the first token.
//
// Thread: as engine/constraint.h.
#ifndef CLLM_CONSTRAIN_LATE_H
#define CLLM_CONSTRAIN_LATE_H

#include "base/err.h"
#include "engine/constraint.h"
#include "text/tokenizer.h"

typedef struct LateMarks {
    int32_t open; // -1: there is none, or the prompt has it already
    int32_t close;
    bool is_open;
} LateMarks;

// false: the marks are not single tokens.
bool late_marks_find(const Tokenizer *t, Str open, Str close, bool is_open, LateMarks *out);

// Takes the inner one, also on failure: NULL, no memory.
Constraint *late_constraint_new(Constraint *inner, const Tokenizer *t, const LateMarks *marks, Err *err);

#endif
