// SentencePiece's byte-pair encoding: merging by the scores of the pieces.
//
// The text starts as its characters; of all neighbouring pairs whose joined text is a piece, the one
// with the best score is joined, the leftmost of equals, until none is left. A character that is
// no piece becomes its bytes (<0xNN>), or the unknown token where the vocabulary lacks them.
//
// Source: Kudo, Richardson 2018, "SentencePiece", and the format notes of its repository.
//
// Thread: read-only; each caller has its own SpmScratch.
#ifndef CLLM_TEXT_SPM_H
#define CLLM_TEXT_SPM_H

#include "text/vocab.h"

typedef struct SpmSymbol {
    const char *ptr;
    uint32_t len; // 0: joined to the symbol on its left
    uint32_t prev, next;
} SpmSymbol;

typedef struct SpmPair {
    float score;
    uint32_t left; // symbol
    uint32_t len;  // bytes of both, to tell when one has changed since
} SpmPair;

// Growable working memory for one call at a time. Zeroed is empty; free with spm_scratch_free.
typedef struct SpmScratch {
    SpmSymbol *symbols;
    SpmPair *heap;
    size_t cap, n_heap;
    Buf escaped;
} SpmScratch;
void spm_scratch_free(SpmScratch *s);

// Whether every text can be encoded: all bytes have tokens, or there is an unknown token.
bool spm_check(const Vocab *v, Err *err);

// Appends the tokens of `text` (any bytes, fewer than 2^29). Spaces become the word mark U+2581;
// prefix: one is put in front. False: out of memory.
bool spm_encode(const Vocab *v, Str text, bool prefix, SpmScratch *s, TokenList *out);

#endif
