// JSON where memory is short.
//
// jansson's allocations are noted when they fail (base/shortage.h), and small ones come from a reserve
// (base/reserve.h) so that it gets through. A value that lost something on the way becomes no answer: it is
// 503 then, or the stream is cut, and never a 200 with a hole in it.
#ifndef CLLM_SERVER_JSON_MEMORY_H
#define CLLM_SERVER_JSON_MEMORY_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

void json_memory_watch(void); // at the program's start, before any JSON

// Appends the value as compact text. false: memory has run out since shortage_begin, or the value is NULL.
bool json_memory_dump(const json_t *value, Buf *out);

#endif
