// Tokens to a stream of text: holds back what must not be shown yet.
//
// A token may end in the middle of a UTF-8 sequence, and text that has been generated may turn out
// to be the start of a stop string. The stream releases only whole code points that can no longer
// belong to a stop string; at the end it releases the rest. Bytes that can never become valid UTF-8
// come out as U+FFFD, one per maximal invalid part (Unicode 15, §3.9, "substitution of maximal
// subparts"), so that every piece is valid UTF-8 by itself.
//
// Thread: one stream belongs to one thread.
#ifndef CLLM_TEXT_DETOK_H
#define CLLM_TEXT_DETOK_H

#include "text/tokenizer.h"

enum { DETOK_MAX_STOPS = 16, DETOK_MAX_STOP_BYTES = 1024 };

typedef struct Detok Detok;

// stops: strings at which the text ends (not shown themselves); copied. Empty ones are an error.
Detok *detok_new(const Tokenizer *t, const Str *stops, size_t n_stops, Err *err);
void detok_free(Detok *d); // NULL is allowed

// Control tokens that have a text here (the marks of a model's own syntax, for who reads them). The list
// must outlive the stream.
void detok_show(Detok *d, const TokenList *shown);

// Adds a token; appends the text that may be shown now to out (possibly nothing).
// Returns true when a stop string has completed: the text before it has then been appended, and
// later pushes append nothing.
bool detok_push(Detok *d, int32_t token, Buf *out);
// The end of the generation: appends what was held back.
void detok_finish(Detok *d, Buf *out);
bool detok_stopped(const Detok *d);
Str detok_stop(const Detok *d); // the stop string that has completed; NULL: none

// Stop strings count only where they begin behind the first n tokens. Before the first push.
void detok_ignore_stops(Detok *d, int32_t n_tokens);
// Code points of the text so far, shown or held back; one that is not yet complete does not count.
size_t detok_n_chars(const Detok *d);

#endif
