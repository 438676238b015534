// What must hold of rules before they are compiled.
// Thread: pure.
#ifndef CLLM_CONSTRAIN_GRAMMAR_CHECK_H
#define CLLM_CONSTRAIN_GRAMMAR_CHECK_H

#include "constrain/rules.h"

// Every rule that is used is defined, can end, and does not call itself before it has consumed a byte.
// Writes for each expression whether it may match the empty text: nullable [r->n_rx].
bool grammar_check(const Rules *r, bool *nullable, Err *err);

#endif
