// Finding control and user-defined tokens inside a text.
//
// A byte trie of their texts (first child, next sibling). The search walks to the next byte that
// can begin one (a 256-entry filter) and takes the longest text that matches there. Cost: linear in
// the text, times at most SPECIAL_MAX_BYTES for hostile inputs.
#ifndef CLLM_TEXT_SPECIAL_H
#define CLLM_TEXT_SPECIAL_H

#include "text/vocab.h"

enum { SPECIAL_MAX_BYTES = 1024 };

typedef struct SpecialNode {
    uint32_t child, sibling; // 0: none (the root is never a child)
    int32_t token;           // -1: no token ends here
    uint8_t byte;
    bool control; // the token counts only when control tokens are asked for
} SpecialNode;

typedef struct SpecialTrie {
    SpecialNode *nodes;
    uint32_t n, cap;
    uint8_t first[256]; // bit 0: a user-defined token begins so, bit 1: a control token does
} SpecialTrie;

bool special_open(SpecialTrie *t, const Vocab *v, Err *err); // on failure *t is freed
void special_free(SpecialTrie *t);

typedef struct SpecialHit {
    size_t at, len;
    int32_t token;
} SpecialHit;

// The first token at or after `from`; the longest of those that begin at the same place.
// control: control tokens count too, not only user-defined ones.
bool special_find(const SpecialTrie *t, Str text, size_t from, bool control, SpecialHit *out);

#endif
