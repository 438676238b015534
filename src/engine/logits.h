// Dense passes over a row of logits, in blocks of LOGITS_BLOCK, written so that any compiler turns
// them into vector code without flags.
//
// Thread: pure functions.
#ifndef CLLM_ENGINE_LOGITS_H
#define CLLM_ENGINE_LOGITS_H

#include <stdint.h>
#include <string.h>

enum { LOGITS_BLOCK = 64 };

static inline int32_t logits_n_blocks(int32_t n_vocab) {
    return (n_vocab + LOGITS_BLOCK - 1) / LOGITS_BLOCK;
}

// Copies [n_vocab] logits into x [n_blocks * LOGITS_BLOCK], cleaned: NaN counts as -inf, +inf as
// the largest number, -0 becomes +0, and the rest of the last block is -inf. block_max [n_blocks]
// gets the largest of each block. Returns the largest of all.
float logits_prepare(const float *logits, int32_t n_vocab, float *x, float *block_max);

// The factor that turns a distance in logits into an exponent of two: log2(e) / temperature.
float logits_scale(float temperature);

// w[i] = 2^((x[i] - max) * scale), see logits_weight; block_sum [n_blocks] gets their sums.
// Returns the sum of all.
double logits_weigh(const float *x, int32_t n_blocks, float max, float scale, float *w, double *block_sum);

// The blocks' sums alone.
void logits_sum(const float *w, int32_t n_blocks, double *block_sum);

// 2^t for t <= 0, within 3e-7 relative for t given exactly; exactly 1 at 0. At e^-40 and below it
// is 0: all such tokens together, 2^18 of them, are less likely than 2e-12.
//
// 2^t = 2^k * 2^r with the integer k nearest to t. Adding 1.5 * 2^23 leaves k in the low bits of a
// float's mantissa, from where it is shifted into the exponent. 2^r on [-1/2, 1/2] is 1 + r * q(r),
// q of degree 4, minimax for the relative error (9.2e-8), fitted for this file by Lawson's
// reweighted least squares. Float operations only, so every machine gives the same bits.
//
// In two parts, because gcc makes vector code of each alone and of both in one loop does not.
#define LOGITS_LEAST (-57.7078f) // log2(e) * -40

static inline float logits_clamp(float t) {
    return t > LOGITS_LEAST ? t : LOGITS_LEAST;
}

static inline float logits_exp2(float t) { // of a clamped t
    const float shift = 0x1.8p23f;
    float shifted = t + shift;
    float r = t - (shifted - shift);
    float q = 0.001326472713f;
    q = q * r + 0.009671512645f;
    q = q * r + 0.05550733743f;
    q = q * r + 0.2402224209f;
    q = q * r + 0.6931469776f;
    float p = q * r + 1.0f;
    uint32_t bits, k, mask = -(uint32_t)(t > LOGITS_LEAST);
    memcpy(&bits, &p, sizeof bits);
    memcpy(&k, &shifted, sizeof k);
    bits = (bits + (k << 23)) & mask;
    memcpy(&p, &bits, sizeof p);
    return p;
}

static inline float logits_weight(float t) {
    return logits_exp2(logits_clamp(t));
}

// A float's place in the order of floats: logits_order(a) < logits_order(b) exactly if a < b, for
// numbers and infinities without -0.
static inline uint32_t logits_order(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

#endif
