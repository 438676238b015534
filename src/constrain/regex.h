// Regular expressions, those of JSON schemas' `pattern` (ECMA-262), as rules.
//
// Characters, `.`, classes with \d \w \s and their opposites, groups (also named and (?:…)), alternatives,
// and ? * + {m} {m,} {m,n} (lazy or not, which changes no language). ^ and $ may stand at the ends of
// the whole pattern and of its alternatives. What a finite automaton cannot do, or what dialects disagree
// on, is refused: backreferences, lookaround, \b, \p, anchors elsewhere.
// Thread: pure.
#ifndef CLLM_CONSTRAIN_REGEX_H
#define CLLM_CONSTRAIN_REGEX_H

#include "constrain/char_form.h"

typedef struct Regex {
    RxId rx;
    int64_t min, max; // characters of the shortest and the longest text; REGEX_ENDLESS: no longest
} Regex;

enum { REGEX_ENDLESS = -1 };

// whole: the texts that match as a whole, else those in which the pattern occurs somewhere. What fails
// names the place and is recorded in r.
Regex regex_parse(Rules *r, Str text, CharForm form, bool whole);

#endif
