#include "model/rope.h"

#include <math.h>
#include <stdlib.h>

static const double PI = 3.14159265358979323846;

// The pair whose wavelength makes `turns` full turns over the original context (YaRN, eq. 17-18).
static double yarn_pair_of(const RopeParams *p, int dims, double turns) {
    return dims * log(p->original_context / (turns * 2 * PI)) / (2 * log(p->base));
}

// YaRN: high frequencies stay, low ones are interpolated, with a linear ramp between.
static double yarn_frequency(const RopeParams *p, int dims, int pair, double frequency) {
    double low = floor(yarn_pair_of(p, dims, p->beta_fast)), high = ceil(yarn_pair_of(p, dims, p->beta_slow));
    low = fmax(low, 0);
    high = fmin(high, dims - 1);
    double ramp = fmin(fmax((pair - low) / fmax(high - low, 0.001), 0), 1);
    return frequency * (1 - ramp) + frequency / p->scaling_factor * ramp;
}

bool rope_init(Rope *r, const HyperParams *hp, RopeUse use, const float *factors, Err *err) {
    const RopeParams *p = &hp->rope[use];
    *r = (Rope){.pairing = hp->arch->pairing, .n_pairs = hp->rope_dims / 2, .magnitude = 1};
    r->frequency = malloc((size_t)r->n_pairs * sizeof *r->frequency);
    if (!r->frequency) return err_set(err, ERR_NOMEM, "out of memory for the RoPE frequencies");
    for (int i = 0; i < r->n_pairs; i++) {
        double frequency = pow(p->base, -2.0 * i / hp->rope_dims);
        if (factors) frequency /= (double)factors[i];
        if (p->scaling == ROPE_SCALING_LINEAR) frequency /= p->scaling_factor;
        if (p->scaling == ROPE_SCALING_YARN) frequency = yarn_frequency(p, hp->rope_dims, i, frequency);
        r->frequency[i] = frequency;
    }
    if (p->scaling == ROPE_SCALING_YARN)
        r->magnitude = (float)(p->attn_factor * (1 + 0.1 * log(p->scaling_factor)));
    return true;
}

void rope_free(Rope *r) {
    free(r->frequency);
    *r = (Rope){0};
}

void rope_table(const Rope *r, int32_t position, float *table) {
    for (int i = 0; i < r->n_pairs; i++) {
        double angle = position * r->frequency[i];
        table[i] = (float)cos(angle) * r->magnitude;
        table[r->n_pairs + i] = (float)sin(angle) * r->magnitude;
    }
}
