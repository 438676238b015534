// Grammars in tests: from their text, and asked about whole texts.
#ifndef CLLM_TESTS_GRAMMAR_KIT_H
#define CLLM_TESTS_GRAMMAR_KIT_H

#include "constrain/automaton.h"

Grammar *grammar_of_gbnf(const char *text, Err *err); // NULL: refused
// Takes the rules.
Grammar *grammar_of_rules(Rules *r, Err *err);

// Of a text: not at all, so far, as a whole; the grammar is too ambiguous for an answer.
typedef enum Fit { FIT_NOT, FIT_PREFIX, FIT_WHOLE, FIT_UNKNOWN } Fit;

Fit automaton_fit(Automaton *a, Str text); // which may be asked many times
Fit grammar_fit(const Grammar *g, Str text);

#endif
