// Texts as OpenAI's routes take them: a string, an array of token ids, or an array of either.
#ifndef CLLM_SERVER_API_TEXTS_H
#define CLLM_SERVER_API_TEXTS_H

#include "server/generation.h"
#include "server/parse.h"

// Encodes one text; *err says why not.
typedef bool (*TextEncode)(const Served *served, Str text, TokenList *out, Err *err);

bool api_encode_prompt(const Served *served, Str text, TokenList *out, Err *err); // to be continued
bool api_encode_part(const Served *served, Str text, TokenList *out,
                     Err *err); // inside a prompt: nothing in it is
                                //   special, and it may be empty
bool api_encode_whole(const Served *served, Str text, TokenList *out,
                      Err *err); // complete: with the file's end token

// Reads field `name` into the plan's prompts, one a text, at most `most` of them. Failures stick in f.
bool api_read_texts(const Served *served, Fields *f, const char *name, TextEncode encode, size_t most,
                    GenPlan *plan);

// Appends the token ids of an array, which is the field `name` or a part of it. A failure sticks in f.
bool api_read_token_ids(const Served *served, Fields *f, const char *name, const json_t *list,
                        TokenList *out);

#endif
