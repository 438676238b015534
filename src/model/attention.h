// Attention of a share's rows to the paged keys and values of their sequences.
//
// Thread: whoever computes the share.
#ifndef CLLM_MODEL_ATTENTION_H
#define CLLM_MODEL_ATTENTION_H

#include "model/share.h"

// Before layers of another window than the ones before: cuts the rows into tasks, and lists the keys and
// values that each of these layers will read.
void attention_plan(Share *s, int32_t window);

// Bias, head norms and rotation of the rows' queries and keys; their keys and values go into the KV.
void attention_rotate(Share *s);

// From the queries into c->attn. Rows of long contexts may be left in parts, for attention_merge.
void attention_run(Share *s);

// Finishes columns [from, to) of a row of c->attn.
void attention_merge(const Share *s, int row, int from, int to);

#endif
