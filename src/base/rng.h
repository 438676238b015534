// A small seeded generator: SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
// number generators"). Each request owns one, so its draws never depend on anybody else's.
#ifndef CLLM_BASE_RNG_H
#define CLLM_BASE_RNG_H

#include <stdint.h>

typedef struct Rng {
    uint64_t state;
} Rng;

static inline uint64_t rng_next(Rng *r) {
    uint64_t z = (r->state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

// Uniform in [0, 1), 53 bits.
static inline double rng_uniform(Rng *r) {
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

#endif
