// What of a grammar's texts is short, and how deep its rules go at once: for telling which states the next
// bytes cannot tell apart (automaton.h).
// Thread: pure.
#ifndef CLLM_CONSTRAIN_GRAMMAR_SIZES_H
#define CLLM_CONSTRAIN_GRAMMAR_SIZES_H

#include "constrain/grammar.h"

// Fills `least` and `climb` of a grammar that is otherwise complete. false: out of memory.
bool grammar_sizes(Grammar *g, Err *err);

#endif
