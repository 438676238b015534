// How the characters of a text are written in the answer: as they are, or as inside a string of JSON.
//
// JSON writes quotes, backslashes and control characters as escapes. Where a text is given (a pattern, a
// name), each character has its shortest form; a free string (json_text.h) may use every escape.
// Thread: pure.
#ifndef CLLM_CONSTRAIN_CHAR_FORM_H
#define CLLM_CONSTRAIN_CHAR_FORM_H

#include "constrain/rules.h"

typedef enum CharForm { CHARS_PLAIN, CHARS_IN_JSON } CharForm;

// One character of the ranges [n >= 1], or one of all others (n may be 0).
RxId char_form_class(Rules *r, CharForm form, const CodeRange *ranges, int32_t n, bool negated);

#endif
