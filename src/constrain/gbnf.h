// GBNF, the notation for grammars that llama.cpp introduced, as rules.
//
//     root  ::= "yes" | "no" (" " word){0,3}     # the whole text is a root
//     word  ::= [a-zA-Z\u00C0-\u024F]+ | .
//
// A rule is a name (letters, digits, - and _), ::= and alternatives of sequences; a sequence is made of
// literals in quotes, classes, `.` (any character), names and groups, each with ?, *, +, {m}, {m,} or {m,n}
// behind it. Escapes: \n \r \t \" \\ \[ \] \- \^ \xHH \uHHHH \UHHHHHHHH, all of them code points. White
// space and line breaks separate; a rule ends where the next `name ::=` begins.
//
// The text is hostile: errors name line and column, size and nesting are bounded.
// Thread: pure.
#ifndef CLLM_CONSTRAIN_GBNF_H
#define CLLM_CONSTRAIN_GBNF_H

#include "constrain/rules.h"

// Rules with `root` as rule 0; NULL: err tells.
Rules *gbnf_parse(Str text, Err *err);

#endif
