// The texts of JSON values, as rules: what all of a schema's values are put together from.
//
// Layout is bounded, so that a model cannot go on with white space for ever: behind { [ and , and before
// } and ] nothing, one space, or a line break with at most 40 spaces or 10 tabs; behind : nothing or one
// space; nowhere else anything. Strings may use every escape except lone surrogates. An integer has at most
// 18 digits; a number at most 18 before and 17 behind the point and an exponent of at most two digits, so
// that any reader's double holds it.
// Thread: as Rules.
#ifndef CLLM_CONSTRAIN_JSON_TEXT_H
#define CLLM_CONSTRAIN_JSON_TEXT_H

#include "constrain/rules.h"

enum { JSON_MAX_DIGITS = 18 };

// A set of rules and what was made in it already.
typedef struct JsonText {
    Rules *r;
    int32_t any, object; // rules, 0: not yet made (the root is neither)
    RxId space, colon, character;
} JsonText;

JsonText json_text_of(Rules *r);

RxId json_text_any(JsonText *t);
RxId json_text_object(JsonText *t);
RxId json_text_string(JsonText *t, int32_t min, int32_t max); // so many characters; max may be RX_ENDLESS
RxId json_text_integer(JsonText *t);
RxId json_text_number(JsonText *t);

// "[" items "]" and "{" members "}" with their white space; `inside` begins and ends with a value or is
// RX_NOTHING_LEFT. optional: the empty one too.
RxId json_text_brackets(JsonText *t, const char *open, RxId inside, const char *close, bool optional);
RxId json_text_comma(JsonText *t);                         // with its white space
RxId json_text_member(JsonText *t, RxId name, RxId value); // name: the whole string with its quotes

#endif
