// The grammars in use, and what is remembered of them.
//
// A grammar is compiled once and kept by its text, the least recently used given up first. A request
// borrows a TokenMask of its grammar, which comes back with all that it has learnt and serves the next one:
// so masks are shared over time and never between threads, and nobody waits for anybody.
//
// Thread: any, but for what the engine calls of a Constraint (engine/constraint.h), which touches nothing
// shared.
#ifndef CLLM_CONSTRAIN_GRAMMAR_STORE_H
#define CLLM_CONSTRAIN_GRAMMAR_STORE_H

#include "constrain/rules.h"
#include "engine/constraint.h"
#include "text/tokenizer.h"

#include <jansson.h>

typedef struct GrammarStore GrammarStore;
typedef struct SharedGrammar SharedGrammar;

typedef enum GrammarKind {
    GRAMMAR_GBNF,        // text
    GRAMMAR_REGEX,       // text
    GRAMMAR_CHOICE,      // value: a list of strings, one of which is the answer
    GRAMMAR_SCHEMA,      // value: a JSON schema
    GRAMMAR_JSON_OBJECT, // nothing: any object
    GRAMMAR_SHAPE,       // value: see shape.h
} GrammarKind;

typedef struct GrammarSpec {
    GrammarKind kind;
    Str text;
    const json_t *value;
} GrammarSpec;

GrammarStore *grammar_store_new(const Tokenizer *t, Err *err); // borrows the tokenizer
void grammar_store_free(GrammarStore *s); // nothing of it may be in use any more; NULL is allowed
// Reads the vocabulary, which otherwise the first grammar does: a tenth of a second for a large one.
bool grammar_store_prepare(GrammarStore *s, Err *err);

// The grammar, which the caller holds until shared_grammar_release. NULL: refused, err tells.
SharedGrammar *grammar_store_get(GrammarStore *s, const GrammarSpec *spec, Err *err);
void shared_grammar_release(SharedGrammar *g); // NULL is allowed

// One request's constraint; it holds the grammar itself. NULL: err tells.
Constraint *shared_grammar_constraint(SharedGrammar *g, Err *err);

#endif
