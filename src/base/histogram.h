// A histogram of whole numbers (nanoseconds, rows) with fixed bounds.
//
// It consists of counters only and needs no memory: it may lie in a struct that is copied word by word
// (engine/stats.h). Of a value only the first bound that is not below it and the sum are kept; how many
// values there were is the sum of the counts, so that a copy made while somebody adds is still coherent.
// Thread: one writer.
#ifndef CLLM_BASE_HISTOGRAM_H
#define CLLM_BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_MAX_BOUNDS = 16 };

typedef struct HistogramScale {
    double unit;  // what one is worth to who reads it: 1e-9 turns nanoseconds into seconds
    int n_bounds; // 1 … HISTOGRAM_MAX_BOUNDS
    uint64_t bounds[HISTOGRAM_MAX_BOUNDS]; // rising; a value equal to a bound is within it
} HistogramScale;

typedef struct Histogram {
    uint64_t counts[HISTOGRAM_MAX_BOUNDS + 1]; // [n_bounds]: above all bounds
    uint64_t sum;
} Histogram;

void histogram_add(Histogram *h, const HistogramScale *scale, uint64_t value);
uint64_t histogram_count(const Histogram *h); // all values

#endif
