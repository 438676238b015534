// Whether memory has run out for something that is put together of many parts.
//
// A Buf remembers that it is not whole, and a JSON value does not even that: its member is left out, its
// element not appended. Whoever puts a text or a value together would have to look at every part. Instead
// what runs out is noted here: what begins with shortage_begin and ends with shortage_noted() == false has
// lost nothing. Thread: any; each has a note of its own.
#ifndef CLLM_BASE_SHORTAGE_H
#define CLLM_BASE_SHORTAGE_H

#include <stdbool.h>

void shortage_begin(void); // forgets
void shortage_note(void);
bool shortage_noted(void); // since begin

#endif
