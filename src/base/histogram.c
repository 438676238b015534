#include "base/histogram.h"

void histogram_add(Histogram *h, const HistogramScale *scale, uint64_t value) {
    int i = 0;
    while (i < scale->n_bounds && value > scale->bounds[i]) i++;
    h->counts[i]++;
    h->sum += value;
}

uint64_t histogram_count(const Histogram *h) {
    uint64_t n = 0;
    for (int i = 0; i <= HISTOGRAM_MAX_BOUNDS; i++) n += h->counts[i];
    return n;
}
