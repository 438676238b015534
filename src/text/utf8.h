// UTF-8, one step at a time: the decoder under the tokenizer and the detokenizer.
//
// Well-formed is what Unicode 15 §3.9 table 3-7 allows: no overlong forms, no surrogates, nothing
// above U+10FFFF. The functions over whole texts (utf8_valid, utf8_sanitize, utf8_complete_prefix)
// are declared in text/detok.h.
#ifndef CLLM_TEXT_UTF8_H
#define CLLM_TEXT_UTF8_H

#include "base/str.h"

#include <stdint.h>

typedef enum Utf8Class {
    UTF8_OK,         // a whole code point
    UTF8_BAD,        // bytes that no continuation could make valid (a maximal subpart)
    UTF8_INCOMPLETE, // the text ends inside what may still become a code point
} Utf8Class;

typedef struct Utf8Step {
    Utf8Class kind;
    uint32_t cp; // the code point when kind is UTF8_OK
    size_t n;    // bytes covered, 1 … 4
} Utf8Step;

// The step at the front of s; s.len >= 1.
Utf8Step utf8_step(Str s);

// Number of bytes from the front of s that are below 0x80.
size_t utf8_ascii_prefix(Str s);

// Number of bytes from the front of s that are valid UTF-8 (whole code points only).
size_t utf8_valid_prefix(Str s);

#endif
