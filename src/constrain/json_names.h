// Names of members that are none of some given ones, as rules: a tree of the given names, which a text may
// leave at any character.
// Thread: as Rules.
#ifndef CLLM_CONSTRAIN_JSON_NAMES_H
#define CLLM_CONSTRAIN_JSON_NAMES_H

#include "constrain/json_text.h"

#include <jansson.h>

RxId json_name(Rules *r, const char *name, size_t n); // one name as a string of JSON
// Any string but the keys of an object. Where it still could become one of them it uses no \u escapes.
RxId json_other_name(JsonText *t, const json_t *names);

#endif
