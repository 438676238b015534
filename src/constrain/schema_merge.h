// Two JSON schemas as one that means both: for allOf, and for keywords beside $ref, anyOf and oneOf.
//
// Keywords that narrow a bound take the narrower, sets their intersection; subschemas that meet become an
// allOf, which is merged when it is looked at, so that recursive schemas are merged only as far as they
// are needed. What cannot be said in one schema is refused.
// Thread: belongs to one translation.
#ifndef CLLM_CONSTRAIN_SCHEMA_MERGE_H
#define CLLM_CONSTRAIN_SCHEMA_MERGE_H

#include "constrain/schema_parts.h"

// The result lives as long as the translation. NULL: failed.
const json_t *schema_merge(Schemas *s, const json_t *a, const json_t *b);
// The schema without one keyword.
json_t *schema_without(Schemas *s, const json_t *schema, const char *keyword);

#endif
