// The weights of a model: bound to the tensors of the file, checked, and packed for this CPU.
//
// Matrices are repacked into one memory region, in parallel, piece by piece, and the pages of the
// file are given back behind the packer: the extra memory of loading is a few megabytes. The token
// embedding stays readable in the file as well, since a step reads a few of its rows.
//
// With a cache folder the matrices are mapped from an image that an earlier start has written
// (pack_image.h), or packed and written for the next one. An image never makes loading fail: it is
// used when it is exactly what packing would give, else packing is what happens.
#ifndef CLLM_MODEL_WEIGHTS_H
#define CLLM_MODEL_WEIGHTS_H

#include "base/workers.h"
#include "kernels/kernels.h"
#include "model/arch.h"
#include "model/model.h"
#include "model/pack_image.h"

// A weight matrix [n][k]: y = W x.
typedef struct Mat {
    WeightType type;
    int n, k;
    const MatKernel *kernel;
    const void *packed; // panels of 16 rows
    const GgufTensor *tensor;
} Mat;

size_t mat_bytes(const Mat *m); // packed

typedef struct Layer {
    int32_t window; // keys that a row sees; 0: all before it
    RopeUse rope;
    const float *attn_norm, *ffn_norm;              // [n_embd]
    const float *attn_post_norm, *ffn_post_norm;    // [n_embd], or NULL
    const float *q_norm, *k_norm;                   // [head_dim], or NULL
    const float *q_bias, *k_bias, *v_bias, *o_bias; // or NULL
    Mat q, k, v, o, gate, up, down;
    Mat router; // [n_experts][n_embd]; gate, up and down are then those of all experts, one below the other.
                // kernel NULL: there are no experts
} Layer;

typedef struct Weights {
    const Kernels *kernels;
    const GgufTensor *token_embd;
    WeightType embd_type;
    const float *output_norm;  // [n_embd]
    const float *rope_factors; // [rope_dims / 2] divides each frequency, or NULL
    Mat output;                // the tied embedding where the file has no output.weight
    Layer *layers;             // [n_layers]
    void *region;              // all packed matrices, unless they are in `image`
    size_t region_bytes;
    PackImage image;
    float *floats; // all norms and biases
} Weights;

// The matrices of a layer, in the order of their use but for the router, which is the last if there is one.
enum { LAYER_MATS = 8 };
int layer_n_mats(const Layer *l);
const Mat *layer_mat(const Layer *l, int i);

// What loading needs beside the model.
typedef struct WeightsLoading {
    Workers *workers;
    const char *cache_folder; // of images; "": none
    ModelProgress progress;   // may be NULL
    void *user;               // of progress
} WeightsLoading;

// *report tells what became of the image.
bool weights_load(Weights *w, const Gguf *g, const HyperParams *hp, const WeightsLoading *how,
                  PackReport *report, Err *err);
void weights_free(Weights *w);

// The file's type as the kernels know it.
WeightType weight_type_of(GgufType type);

#endif
