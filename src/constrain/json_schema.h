// A JSON schema (draft 2020-12) as rules for the texts of the values that fit it.
//
// What is not understood is refused and named with its place in the schema: a value is never less
// constrained than the schema says. It may be more so, where the schema leaves open what a client hardly
// means: members come in the order of `properties`, named ones before others; without
// `additionalProperties` an object with `properties` has no others; without `type`, keywords for objects
// mean an object, and so on; strings of a `format`, numbers and layout as json_text.h and json_format.h
// say. docs/structured-output.md has the table of keywords.
//
// The schema is hostile: size and depth of what is made are bounded.
// Thread: pure.
#ifndef CLLM_CONSTRAIN_JSON_SCHEMA_H
#define CLLM_CONSTRAIN_JSON_SCHEMA_H

#include "constrain/rules.h"

#include <jansson.h>

// The values that fit, as a part of other rules; at: those that fit the part of the schema that this
// reference ("#/…") means; NULL: the whole. Failures are recorded in r. Rule 0 must have been added before.
RxId json_schema_rx(Rules *r, const json_t *schema, const char *at);
// Rule 0 is a value that fits. NULL: err tells.
Rules *json_schema_rules(const json_t *schema, Err *err);
// Any object.
Rules *json_object_rules(Err *err);

#endif
