// Whether a JSON value in hand is whole.
//
// jansson tells a failed allocation where it happens: a member that could not be set is left out, an element
// not appended, and whoever builds or reads a value would have to look at every step. Instead its allocator
// remembers, and small ones come from a reserve (base/reserve.h) so that jansson gets through. What begins
// with json_memory_begin and ends with json_memory_failed() == false has lost nothing; otherwise the answer
// is 503, or the stream is cut, and never a 200 with a hole in it.
//
// Thread: any; each has a memory of its own.
#ifndef CLLM_SERVER_JSON_MEMORY_H
#define CLLM_SERVER_JSON_MEMORY_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

void json_memory_watch(void);  // at the program's start, before any JSON
void json_memory_begin(void);  // forgets
bool json_memory_failed(void); // since begin

// Appends the value as compact text. false: no memory, or the value is NULL or not whole.
bool json_memory_dump(const json_t *value, Buf *out);

#endif
