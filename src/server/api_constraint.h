// What an answer may be, in the words of several dialects: response_format of OpenAI, json_schema and grammar
// of llama.cpp, guided_* and structured_outputs of vLLM. All of them name one grammar.
//
// What cannot be held to is refused: no answer is ever less constrained than was asked for.
// Thread: pure, as all reading.
#ifndef CLLM_SERVER_API_CONSTRAINT_H
#define CLLM_SERVER_API_CONSTRAINT_H

#include "server/api_gen.h"
#include "server/served.h"

// Reads the fields into p->grammar. Failures stick in f.
void api_constraint_read(const Served *served, Fields *f, GenParams *p);
// What response_format asks of the text, as a shape (constrain/shape.h): a new reference. NULL: nothing. Failures
// stick in f.
json_t *api_constraint_text(Fields *f);
// Does a request ask for a constrained answer at all? Nothing is checked beyond that.
bool api_constraint_is_wanted(const Fields *f);

#endif
