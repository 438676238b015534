// UTF-8: a decoder that goes one step at a time, and what is said of whole texts.
//
// Well-formed is what Unicode 15 §3.9 table 3-7 allows: no overlong forms, no surrogates, nothing
// above U+10FFFF.
#ifndef CLLM_BASE_UTF8_H
#define CLLM_BASE_UTF8_H

#include "base/buf.h"

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
bool utf8_valid(Str s);

// Number of bytes of `s` that form whole valid UTF-8 or surely invalid bytes; what remains (at most
// 3 bytes) is the possible start of a code point.
size_t utf8_complete_prefix(Str s);
// Code points of a valid text.
size_t utf8_n_chars(Str s);
// Appends s with every invalid part replaced by U+FFFD.
void utf8_sanitize(Str s, Buf *out);

#endif
