// Shapes: texts put together from literals, JSON schemas and regular expressions, written as JSON.
//
//   "text"                                itself
//   {"seq": [SHAPE, …]}                   one after the other
//   {"any": [SHAPE, …]}                   one of them
//   {"repeat": SHAPE, "min": n, "max": m} so many times; without max: any number of times from min on
//   {"regex": "…"}                        what matches as a whole
//   {"schema": S}                         the text of a JSON value that fits S; with "at": "#/…" what fits
//   the part
//                                         of S there; with "of": "…" a name for messages
//
// The program's own notation, for what it puts together out of what clients give (calls of tools): the
// schemas and expressions in it may be hostile, the rest is not. Thread: pure.
#ifndef CLLM_CONSTRAIN_SHAPE_H
#define CLLM_CONSTRAIN_SHAPE_H

#include "constrain/rules.h"

#include <jansson.h>

// Rule 0 is the whole text. NULL: err tells.
Rules *shape_rules(const json_t *shape, Err *err);

#endif
