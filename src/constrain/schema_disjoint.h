// Can one value fit two JSON schemas? For oneOf, where that must not be.
// Thread: belongs to one translation.
#ifndef CLLM_CONSTRAIN_SCHEMA_DISJOINT_H
#define CLLM_CONSTRAIN_SCHEMA_DISJOINT_H

#include "constrain/schema_parts.h"

// true: surely not, since types, listed values, or a member that both require tell them apart, or since one
// requires a member that the other forbids. false: perhaps.
bool schema_disjoint(Schemas *s, const json_t *a, const json_t *b, int depth);

#endif
