#include "kernels/attn_merge.h"

#include "kernels/exp.h"

static void add_scaled(float *restrict a, float u, const float *restrict b, float v, int n) {
    for (int i = 0; i < n; i++) a[i] = a[i] * u + b[i] * v;
}

void attn_merge(AttnPart *a, const AttnPart *b, int n) {
    float max = b->max > a->max ? b->max : a->max;
    float u = exp_scalar(a->max - max), v = exp_scalar(b->max - max);
    a->max = max;
    a->sum = a->sum * u + b->sum * v;
    add_scaled(a->acc, u, b->acc, v, n);
}

void attn_finish(AttnPart *a, int n) {
    for (int i = 0; i < n; i++) a->acc[i] /= a->sum;
}
