// Pre-tokenisation: cutting a text into the pieces that byte-pair merges may not cross.
//
// A pre-tokenizer is a sequence of one to four regular expressions. Each cuts every piece that the
// one before left: what it matches becomes a piece, and so does what lies between two matches
// ("isolated" in tokenizer.json). A look-ahead therefore never sees past the end of its piece.
//
// The expressions are those of the models' published tokenizer.json files, with one rewriting: \s
// is spelled out as the White_Space property, since PCRE2's \s has U+180E as well.
//
// Thread: immutable after pretok_new; each call of pretok_split needs its own PretokScratch.
#ifndef CLLM_TEXT_PRETOK_H
#define CLLM_TEXT_PRETOK_H

#include "base/buf.h"
#include "base/err.h"

enum { PRETOK_MAX_STAGES = 4 };

// What goes with a name in tokenizer.ggml.pre.
typedef struct PretokSpec {
    const char *name;
    const char *stages[PRETOK_MAX_STAGES]; // NULL after the last
    bool nfc;                              // the text is brought to normal form C first
    bool ignore_merges; // a piece that is a token as a whole is that token, whatever the merges say
    bool add_bos;       // when the file has no add_bos_token
} PretokSpec;

// NULL and an error that lists the known names.
const PretokSpec *pretok_find(Str name, Err *err);

typedef struct Pretok Pretok;
typedef struct PretokScratch PretokScratch;

Pretok *pretok_new(const PretokSpec *spec, Err *err);
void pretok_free(Pretok *p);

PretokScratch *pretok_scratch_new(void); // NULL: out of memory
void pretok_scratch_free(PretokScratch *s);

// Called with each piece in order; false stops the split.
typedef bool (*PretokFn)(void *ctx, Str piece);

// text: valid UTF-8. False when fn returned false or the expression failed (then *err is set).
bool pretok_split(const Pretok *p, PretokScratch *s, Str text, PretokFn fn, void *ctx, Err *err);

#endif
