// Byte-level byte-pair encoding: the tokens of one piece of text.
//
// The merges of the file (tokenizer.ggml.merges, "left right" in order of rank) say which two
// neighbouring tokens become one; the lowest rank goes first, the leftmost of equals. A pair that
// the file lists twice has its later rank, as in the reference implementation.
//
// Source: Sennrich, Haddow, Birch 2016, "Neural machine translation of rare words with subword
// units", over the byte alphabet of GPT-2.
//
// Thread: read-only once opened, apart from a memo of relaxed atomics; each caller has its own
// BpeScratch.
#ifndef CLLM_TEXT_BPE_H
#define CLLM_TEXT_BPE_H

#include "text/vocab.h"

typedef struct Bpe Bpe;

// Growable working memory for one call at a time. Zeroed is empty; free with bpe_scratch_free.
typedef struct BpeScratch {
    int32_t *ids;          // the token that begins at a position
    uint32_t *rank;        // rank of the merge of the pair that begins here
    uint32_t *prev, *next; // the positions that are still alive
    uint64_t *heap;        // rank << 32 | position
    size_t cap, n_heap;
} BpeScratch;
void bpe_scratch_free(BpeScratch *s);

// ignore_merges: a piece that is a token as a whole is that token.
// The vocabulary must outlive the Bpe.
Bpe *bpe_new(const Gguf *g, const Vocab *v, bool ignore_merges, Err *err);
void bpe_free(Bpe *b); // NULL is allowed

// Appends the tokens of `piece` (any bytes, fewer than 2^31). A byte that the vocabulary has no
// token for is left out, as the reference does (the unknown token is often a control token, and a
// text must not be able to forge one).
// False: out of memory.
bool bpe_encode(const Bpe *b, Str piece, BpeScratch *s, TokenList *out);

#endif
