// Strings as Python sees them: sequences of code points. All strings in the engine are valid UTF-8
// (JSON and the template source are checked at the door, and nothing cuts inside a code point).
// Views into the argument are returned where possible, so most of these allocate nothing.
#ifndef CLLM_CHAT_JINJA_TEXT_H
#define CLLM_CHAT_JINJA_TEXT_H

#include "chat/jinja_core.h"

bool jstr_valid_utf8(Str s);
size_t jstr_count(Str s);                    // code points
size_t jstr_offset(Str s, size_t n);         // byte offset of code point n; s.len if there are fewer
int32_t jstr_next(Str s, size_t *at);        // code point at byte *at, and moves *at behind it
int32_t jstr_prev(Str s, size_t *at);        // code point before byte *at, and moves *at there
Str jstr_sub(Str s, size_t from, size_t to); // bytes [from, to)

typedef enum JStripSide { STRIP_LEFT = 1, STRIP_RIGHT = 2, STRIP_BOTH = 3 } JStripSide;
Str jstr_strip(Str s, const Str *chars, JStripSide side); // chars NULL: white space

enum { JSTR_NOT_FOUND = -1 };
ptrdiff_t jstr_find(Jinja *j, Str s, Str what, size_t from); // byte offset or JSTR_NOT_FOUND
ptrdiff_t jstr_rfind(Jinja *j, Str s, Str what);
size_t jstr_count_of(Jinja *j, Str s, Str what);                     // occurrences that do not overlap
Str jstr_replace(Jinja *j, Str s, Str old, Str with, int64_t limit); // limit < 0: all

// The next line of s from *at on, without its end (any that Python's splitlines knows), which *end
// gets the length of.
Str jstr_line(Str s, size_t *at, size_t *end);

Str jstr_upper(Jinja *j, Str s);
Str jstr_lower(Jinja *j, Str s);
Str jstr_swapcase(Jinja *j, Str s);
Str jstr_capitalize(Jinja *j, Str s);  // first upper, rest lower
Str jstr_title(Jinja *j, Str s);       // str.title(): a letter after a non-letter is upper
Str jstr_title_words(Jinja *j, Str s); // the title filter: words begin after spaces and ( [ { < -
int jstr_compare(Str a, Str b);        // by code points

bool jchar_is_space(int32_t cp);
bool jchar_is_alpha(int32_t cp);
bool jchar_is_decimal(int32_t cp);
bool jchar_is_digit(int32_t cp); // also superscripts and the like
bool jchar_is_numeric(int32_t cp);
bool jchar_is_word(int32_t cp); // \w
bool jchar_is_printable(int32_t cp);
bool jchar_is_cased(int32_t cp);

#endif
