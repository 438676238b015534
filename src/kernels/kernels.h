// The one table of compute kernels, filled once at start for this CPU.
//
// The rule that all kernels keep: the arithmetic of an output value is fixed by this header, down
// to the order of every sum, and never depends on how many rows or threads take part. Integer
// parts are exact; float parts use fused multiply-adds in the stated order, with 16 partial sums
// where a sum runs along a vector. So a row's result is bit-equal alone and in any batch, and the
// same on every rung; kcheck holds every rung to the scalar one, bit by bit.
//
// Matrix product. y[r] = W x[r] for weight rows n and activation rows r; x quantised as its act
// format says (acts.h). With I_j the exact integer dot product of (u - offset) and q over a
// sub-block j, in ascending k:
//   blocks of 32:   y = fma(float(I) * x_scale, d, y);  then, with minima, y = fma(m, x_ssum, y)
//   blocks of 256:  t = float(sum_j scale_j * I_j) * d, the sum an exact integer;
//                   with minima t = fma(float(sum_j min_j * qsum_j), -dmin, t);
//                   y = fma(t, x_scale, y)
//   floats:         y = fma(w, x, y)
//
// Thread: any; kernels only touch what they are given. Pointers to packed weights, act tiles and
// KV blocks are 64-byte aligned.
#ifndef CLLM_KERNELS_KERNELS_H
#define CLLM_KERNELS_KERNELS_H

#include "base/cpu.h"
#include "kernels/acts.h"
#include "kernels/formats.h"
#include "kernels/kv_block.h"

enum { AHEAD_BYTES = 1024 };

// y (+)= W x over panels of 16 weight rows.
typedef struct GemmArgs {
    const void *weights; // scalar rung: rows as in the file; others: panels (packed.h)
    int n, k;            // of the whole matrix
    int panel, n_panels; // which panels of 16 weight rows to do
    const void *acts;    // [ceil(m/8)] tiles
    int m;               // activation rows
    float *out;          // out[r * out_stride + weight row]
    size_t out_stride;
    bool add; // add to what `out` holds (a residual), instead of replacing it
    // Memory that somebody will read soon: pieces of AHEAD_BYTES at ahead + ahead_at[i]. A kernel may
    // fetch them into the caches while it computes.
    const char *ahead;
    const size_t *ahead_at; // [n_ahead]
    int n_ahead;
} GemmArgs;

typedef struct MatKernel {
    ActFormat act;
    size_t (*panel_bytes)(WeightType type, int k);
    void (*pack)(WeightType type, const void *rows, int n_rows, int k, void *panel);
    void (*gemm)(WeightType type, const GemmArgs *a);
} MatKernel;

// Attention of queries that share one KV head over a paged KV (kv_block.h, model/kv_store.h).
//
// Per query, blocks in order: s[t] = score of key t; m' = max(m, s);
// if m' > m: l and acc are multiplied by exp(m - m'); p[t] = exp(s[t] - m'); l[t mod 16] += p[t];
// acc[d] = fma(p[t], V[t][d], acc[d]) for t ascending. At the end out = acc / sum16(l).
// f16: the score is (s0 + s1) + (s2 + s3), with sj the sum over the dimensions j, j + 4, j + 8 … of
// fma(q[d], K[d][t]).
// q8_0: the query is quantised by groups of dimensions, as activations are (scale = max / 127, q * (127 /
// max) to the nearest even). With I the exact integer dot product of a group, s[t] = fma(float(I) * query
// scale, key scale, s[t]), groups ascending from 0. Instead of p[t], acc takes p[t] * value scale (rounded),
// V[t][d] being the integers.
//
// A context longer than ATTN_SEGMENT keys is cut into segments of so many (the last one may be shorter).
// Each is attended to by itself, up to (m, sum16(l), acc), and attn_merge puts them together in ascending
// order: the same result, whoever computes which segment.
typedef struct AttnArgs {
    const float *q; // [n_q][head_dim] at q_stride, already scaled by 1/sqrt(head_dim)
    size_t q_stride;
    float *out; // [n_q][head_dim] at out_stride
    size_t out_stride;
    int n_q, group;      // query i belongs to row i / group
    int head_dim;        // a multiple of 16, at most 256
    const uint16_t *kv;  // this layer and KV head in block b: at kv + b * block_stride,
    size_t block_stride; //   in units of 16 bits whatever the KV type
    const int32_t *blocks;
    int n_keys; // keys up to the last that row 0 sees; row i sees i more
    int window; // 0, or how many keys a row sees at most: the last ones
    // (The next KV head's part of a block lies right behind this one's; a kernel may prefetch it.)
} AttnArgs;

// What a KV type takes.
typedef struct KvKernel {
    // One token's key and value [head_dim] of one head into slot 0 … 15 of a KV block, which begins at
    // `block`. Clamped to the finite range of half precision, a NaN to its maximum; then rounded to it (f16),
    // or (q8_0) by groups: scale = half(max |x| / 127), x * (1 / scale) to the nearest even of -127 … 127.
    void (*write)(const float *key, const float *value, int head_dim, uint16_t *block, int slot);
    void (*attention)(const AttnArgs *a);
    // The same for one segment: out is acc as it is; each query's m and sum16(l) go to max and sum [n_q].
    void (*attention_part)(const AttnArgs *a, float *max, float *sum);
} KvKernel;

typedef struct Kernels {
    CpuRung rung;
    int busy_rows; // products of so many rows are limited by arithmetic, about, not by reading the weights
    MatKernel mat[N_WEIGHT_TYPES];
    KvKernel kv[N_KV_TYPES];
    // One row of k floats into row `row` of a tile; columns [from, to) only (multiples of the act block).
    void (*act_write[N_ACT_FORMATS])(const float *x, int k, int from, int to, void *tile, int row);
    // y = x / sqrt(mean(x^2) + eps) * w; sum of squares in 16 partial sums (lane i mod 16), summed by halves.
    void (*rms_norm)(const float *x, const float *w, float eps, int n, float *y);
    // Turns the pairs (x, y) of a head in place: x c - y s and x s + y c, every product rounded, with c =
    // table[i] and s = table[n_pairs + i] for pair i: elements i and n_pairs + i (halves) or 2i and 2i + 1.
    void (*rope)(float *head, const float *table, int n_pairs, bool halves);
    // gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i]
    void (*silu_mul)(float *gate, const float *up, int n);
    // The same with GELU, by its tanh approximation (Hendrycks & Gimpel 2016) x / (1 + exp(-2 u)), u =
    // sqrt(2/pi) (x + 0.044715 x^3): gate[i] = x / (1 + exp(z)) * up[i], z = x * fma(x * x, GELU_C3, GELU_C1)
    // (exp.h).
    void (*gelu_mul)(float *gate, const float *up, int n);
    // The indices from <= i < to with x[i] >= threshold, ascending, into `out` (room for to - from,
    // rounded up to 16); returns how many.
    int32_t (*collect)(const float *x, int32_t from, int32_t to, float threshold, int32_t *out);
    // Logits in whole blocks of LOGITS_BLOCK (weigh.h), cleaned (order.h); block_max [n_blocks] gets the
    // largest of each block.
    void (*clean)(const float *logits, int32_t n_blocks, float *x, float *block_max);
    // w[i] = 2^((x[i] - max) * scale), see logits_weight; block_sum [n_blocks] gets their sums, folded by
    // halves. Returns the sum of all, in block order.
    double (*weigh)(const float *x, int32_t n_blocks, float max, float scale, float *w, double *block_sum);
    // The sum of w[i] over all i with x[i] >= least, folded and added like weigh's; blocks whose block_max is
    // below are skipped.
    double (*sum_from)(const float *x, const float *w, const float *block_max, int32_t n_blocks, float least);
} Kernels;

enum { ATTN_MAX_HEAD_DIM = 256, ATTN_MAX_QUERIES = 16 }; // n_q of one call
enum { ATTN_SEGMENT = 1024 };                            // keys; a multiple of 16

// The table of a rung (which this CPU must have). The first call for a rung fills it; call it on one
// thread before others use it.
const Kernels *kernels_get(CpuRung rung);

#endif
