#include "engine/select.h"

#include <string.h>

enum { SMALL = 48 }; // so many are sorted by insertion

typedef struct Part {
    uint64_t *keys; // of the scratch
    float *weights;
    int32_t n;
} Part;

static uint64_t cut_small(Part p, double sum, double target) {
    for (int32_t i = 1; i < p.n; i++) {
        uint64_t key = p.keys[i];
        float weight = p.weights[i];
        int32_t k = i;
        for (; k > 0 && p.keys[k - 1] > key; k--) {
            p.keys[k] = p.keys[k - 1];
            p.weights[k] = p.weights[k - 1];
        }
        p.keys[k] = key;
        p.weights[k] = weight;
    }
    for (int32_t i = 0; i < p.n; i++) {
        sum += (double)p.weights[i];
        if (sum >= target) return p.keys[i];
    }
    return p.keys[p.n - 1];
}

static int digit(uint64_t key, int shift) {
    return (int)(key >> shift) & (SELECT_DIGITS - 1);
}

// Neighbours often fall into the same digit: adding them to alternate halves keeps them from
// waiting for each other. `sums` has two rows; the result is in the first.
static void sum_digits(double *sums, const uint64_t *keys, const float *weights, int32_t n, int shift) {
    double *odd = sums + SELECT_DIGITS;
    int32_t i = 0;
    memset(sums, 0, 2 * SELECT_DIGITS * sizeof sums[0]);
    for (; i + 1 < n; i += 2) {
        sums[digit(keys[i], shift)] += weights ? (double)weights[i] : 1;
        odd[digit(keys[i + 1], shift)] += weights ? (double)weights[i + 1] : 1;
    }
    if (i < n) sums[digit(keys[i], shift)] += weights ? (double)weights[i] : 1;
    for (int d = 0; d < SELECT_DIGITS; d++) sums[d] += odd[d];
}

// The digit in which the target is reached; *sum becomes the sum of the digits before it. Rounding
// may leave the target just out of reach: then it is the last digit that has any weight.
static int crossing(const double *sums, double *sum, double target) {
    int last = -1;
    double before_last = *sum;
    for (int d = 0; d < SELECT_DIGITS; d++) {
        if (sums[d] == 0) continue;
        last = d;
        before_last = *sum;
        if (*sum + sums[d] >= target) return d;
        *sum += sums[d];
    }
    *sum = before_last;
    return last;
}

static Part collect(Part to, const uint64_t *keys, const float *weights, int32_t n, int shift, int chosen) {
    to.n = 0;
    for (int32_t i = 0; i < n; i++) {
        uint64_t key = keys[i];
        float weight = weights ? weights[i] : 1;
        to.keys[to.n] = key;
        to.weights[to.n] = weight;
        to.n += digit(key, shift) == chosen;
    }
    return to;
}

static int significant_bits(const uint64_t *keys, int32_t n) {
    uint64_t any = 1;
    for (int32_t i = 0; i < n; i++) any |= keys[i];
    return 64 - __builtin_clzll(any);
}

static int lower(int shift) {
    return shift > SELECT_DIGIT_BITS ? shift - SELECT_DIGIT_BITS : 0;
}

uint64_t select_cut(const SelectScratch *scratch, const uint64_t *keys, const float *weights, int32_t n,
                    double target) {
    Part part = {scratch->keys, scratch->weights, n};
    double sum = 0;
    if (n <= SMALL) return cut_small(collect(part, keys, weights, n, 63, 0), 0, target);
    int shift = lower(significant_bits(keys, n));
    for (;;) {
        sum_digits(scratch->sums, keys, weights, n, shift);
        int chosen = crossing(scratch->sums, &sum, target);
        if (chosen < 0) chosen = digit(keys[0], shift); // no weight at all
        part = collect(part, keys, weights, n, shift, chosen);
        if (part.n <= SMALL || shift == 0) return cut_small(part, sum, target);
        keys = part.keys;
        weights = part.weights;
        n = part.n;
        shift = lower(shift);
    }
}
