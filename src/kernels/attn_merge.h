// What a query has found in a run of keys, and the merging of such parts (see kernels.h).
//
// Plain C for every rung: a part is a thousand keys, so merging is a small fraction of attention. Products
// and sums are rounded one by one.
#ifndef CLLM_KERNELS_ATTN_MERGE_H
#define CLLM_KERNELS_ATTN_MERGE_H

// acc: n dimensions (of a head, or some of them).
typedef struct AttnPart {
    float max, sum, *acc;
} AttnPart;

// m = max(a.max, b.max), u = exp(a.max - m), v = exp(b.max - m);
// a = (m, a.sum * u + b.sum * v, a.acc * u + b.acc * v).
void attn_merge(AttnPart *a, const AttnPart *b, int n);

// acc / sum, in place.
void attn_finish(AttnPart *a, int n);

#endif
