// A class of code points as nodes over the bytes of their UTF-8.
//
// A range of code points falls into runs whose UTF-8 is a product of byte ranges (U+0800 … U+FFFF without
// surrogates: E0 A0-BF 80-BF | E1-EC 80-BF 80-BF | …). Runs that begin with the same bytes share nodes,
// and so do runs that end with the same.
// Thread: pure.
#ifndef CLLM_CONSTRAIN_UTF8_CLASS_H
#define CLLM_CONSTRAIN_UTF8_CLASS_H

#include "constrain/grammar.h"

// Makes a BYTES node of edges with bytes in rising order.
typedef int32_t (*Utf8AddBytes)(void *ctx, const Edge *edges, int32_t n);

// ranges [n], n >= 1: tidy, rising, without surrogates. *out: the node from which each code point of the
// class leads to `next`. false: out of memory.
bool utf8_class_nodes(const CodeRange *ranges, int32_t n, int32_t next, Utf8AddBytes add, void *ctx,
                      int32_t *out);

#endif
