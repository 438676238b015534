// The tokens that top_k, top_p and min_p leave, and the draw among them.
//
// A token's key is (distance of its logit from the largest, id): the smaller key is the more
// probable token, ties go to the lower id. A filter is a cut in the order of the keys, found by
// select_cut. Few tokens get a key at all:
//   - top_k: the k-th largest of the blocks' maxima is a lower bound of the k-th largest logit.
//   - top_p: the tokens above some bound are enough if their weight reaches top_p of the total.
//     Bounds are tried downwards; the last is (1 - top_p) * total / n_vocab: lighter tokens weigh
//     less than 1 - top_p together, so the kept set never reaches into them.
//   - min_p: the bound is known from the largest logit.
// Where top_p leaves most of a flat distribution, finding all of its tokens costs more than a draw needs:
// kept_draw_top_p draws from the whole row and asks only whether that token is kept, which one sum tells.
// Filters apply one after the other, as elsewhere: top_p sees what top_k left, as a whole of 1.
//
// Thread: a SamplerScratch belongs to one worker.
#ifndef CLLM_ENGINE_KEPT_H
#define CLLM_ENGINE_KEPT_H

#include "engine/sampler.h"
#include "engine/select.h"
#include "kernels/kernels.h"

struct SamplerScratch {
    const Kernels *kernels;
    int32_t n_vocab, n_blocks;
    int id_bits;      // bits of a key that hold the id
    float max, scale; // largest logit; see logits_scale
    float *x;         // [n_blocks * LOGITS_BLOCK] cleaned logits of the whole row, or
    bool few;         //   of some tokens alone: found [n_found], ascending
    int32_t n_found;
    float *w;          // [n_blocks * LOGITS_BLOCK] weights, if the whole row was weighed
    float *block_max;  // [n_blocks]
    double *block_sum; // [n_blocks] sums of w or, if filtered, of weights
    int32_t *found;    // [n_blocks * LOGITS_BLOCK] ids
    bool all;          // no filter: x, w, block_sum tell; otherwise:
    int32_t n;         // kept tokens
    uint64_t *keys;    // [n] in id order
    float *weights;    // [n] > 0, 1 for the largest logit; zeros up to a whole block
    SelectScratch select;
};

// Cleans the logits of a row in either form into the scratch. Returns the id of the largest (lowest id
// on ties), 0 if none is above -inf.
int32_t kept_load(SamplerScratch *s, const LogitsRow *row);

// After kept_load: applies temperature (> 0) and the filters. The largest logit must be a number. Of a row
// with candidates it needs at least top_k (> 0).
void kept_filter(SamplerScratch *s, const SamplingParams *p);

// After kept_filter: the token at `u` of [0, 1) of the total weight, walking in id order.
int32_t kept_draw(const SamplerScratch *s, double u);

// After kept_load, for top_p < 1 without top_k: a token drawn as kept_filter and kept_draw would, but by
// other draws of `rng`; -1 after some draws outside the kept set (then those two decide; the distribution
// stays the same).
int32_t kept_draw_top_p(SamplerScratch *s, const SamplingParams *p, Rng *rng);

static inline int32_t kept_id(const SamplerScratch *s, int32_t i) {
    return (int32_t)(s->keys[i] & ((UINT64_C(1) << s->id_bits) - 1));
}

#endif
