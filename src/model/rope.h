// Rotary position embedding (Su et al. 2021), with the scalings that files ask for: linear, YaRN
// (Peng et al. 2023) and per-frequency factors (Llama 3).
//
// Thread: a Rope is immutable; rows may be turned in parallel.
#ifndef CLLM_MODEL_ROPE_H
#define CLLM_MODEL_ROPE_H

#include "model/arch.h"

typedef struct Rope {
    RopePairing pairing;
    int n_pairs;
    double *frequency; // [n_pairs] radians per position
    float magnitude;   // cos and sin are multiplied by it (YaRN's attention factor)
} Rope;

// factors: [n_pairs] divisors of the frequencies, or NULL.
bool rope_init(Rope *r, const HyperParams *hp, RopeUse use, const float *factors, Err *err);
void rope_free(Rope *r);

// cos of every pair at one position, then sin of every pair: table[2][n_pairs], as Kernels.rope takes it.
void rope_table(const Rope *r, int32_t position, float *table);

#endif
