#include "model/context.h"

#include "base/num.h"
#include "base/printable.h"
#include "gguf/quantization.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_str(char *out, size_t size, Str s) {
    size_t n = num_min(s.len, size - 1);
    memcpy(out, s.ptr, n);
    out[n] = '\0';
}

static uint64_t mat_weights(const Mat *m) {
    return (uint64_t)m->n * (uint64_t)m->k;
}

static void copy_name(const Gguf *g, char *out, size_t size) {
    const char *path = gguf_path(g), *slash = strrchr(path, '/');
    Str name = {0};
    gguf_get_str(g, "general.name", &name);
    if (name.len == 0) name = str_from(slash ? slash + 1 : path);
    copy_str(out, size, name);
    make_printable(out);
}

// A row goes to some of the experts only.
static void add_layer(Model *m, const Layer *l) {
    const HyperParams *hp = &m->hp;
    for (int j = 0; j < layer_n_mats(l); j++) {
        const Mat *mat = layer_mat(l, j);
        bool of_experts = hp->n_experts && (mat == &l->gate || mat == &l->up || mat == &l->down);
        double share = of_experts ? m->info.expert_share : 1;
        m->info.macs_per_row += (uint64_t)((double)mat_weights(mat) * share);
        if (of_experts) m->info.expert_bytes += mat_bytes(mat);
    }
}

static void fill_info(Model *m) {
    const HyperParams *hp = &m->hp;
    ModelInfo *info = &m->info;
    copy_name(m->gguf, info->name, sizeof info->name);
    copy_str(info->arch, sizeof info->arch, str_from(hp->arch->name));
    copy_str(info->quantization, sizeof info->quantization, str_from(quantization_name(m->gguf)));
    info->n_vocab = hp->n_vocab;
    info->n_layers = hp->n_layers;
    info->n_embd = hp->n_embd;
    info->n_heads = hp->n_heads;
    info->n_kv_heads = hp->n_kv_heads;
    info->head_dim = hp->head_dim;
    info->n_ff = hp->n_ff;
    info->max_context = hp->context;
    info->pooling = hp->pooling;
    info->rope_theta = hp->rope[ROPE_FULL].base;
    info->rms_norm_eps = (double)hp->rms_eps;
    info->weight_bytes = m->weights.region_bytes;
    for (uint64_t i = 0; i < gguf_n_tensors(m->gguf); i++) {
        const GgufTensor *t = gguf_tensor(m->gguf, i);
        info->n_params += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    }
    info->expert_share = hp->n_experts ? (double)hp->n_experts_used / hp->n_experts : 1;
    for (int i = 0; i < hp->n_layers; i++) add_layer(m, &m->weights.layers[i]);
    info->macs_per_logit = mat_weights(&m->weights.output);
}

Model *model_open(const char *path, const char *cache_folder, Workers *workers, ModelProgress progress,
                  void *user, Err *err) {
    WeightsLoading how = {workers, cache_folder, progress, user};
    Model *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(err, ERR_NOMEM, "out of memory for the model");
        return NULL;
    }
    m->gguf = gguf_open(path, err);
    if (!m->gguf || !hyper_params_read(m->gguf, &m->hp, err) ||
        !weights_load(&m->weights, m->gguf, &m->hp, &how, &m->info.packed, err) ||
        !rope_init(&m->rope[ROPE_FULL], &m->hp, ROPE_FULL, m->weights.rope_factors, err) ||
        !rope_init(&m->rope[ROPE_WINDOWED], &m->hp, ROPE_WINDOWED, NULL, err)) {
        model_close(m);
        return NULL;
    }
    fill_info(m);
    return m;
}

void model_close(Model *m) {
    if (!m) return;
    for (int i = 0; i < N_ROPES; i++) rope_free(&m->rope[i]);
    weights_free(&m->weights);
    gguf_close(m->gguf);
    free(m);
}

bool model_read_outline(const char *path, KvType type, ModelOutline *out, Err *err) {
    HyperParams hp;
    Gguf *g = gguf_open(path, err);
    bool ok = g && hyper_params_read(g, &hp, err);
    if (ok) {
        KvShape shape = kv_shape_of(&hp, type);
        *out = (ModelOutline){.file_bytes = gguf_file_bytes(g),
                              .kv_bytes_per_token = kv_store_token_bytes(&shape),
                              .max_context = hp.context};
        copy_name(g, out->name, sizeof out->name);
    }
    gguf_close(g);
    return ok;
}

const ModelInfo *model_info(const Model *m) {
    return &m->info;
}

double model_step_bytes(const ModelInfo *info, double rows) {
    double untouched = pow(1 - info->expert_share, rows);
    return (double)info->weight_bytes - (double)info->expert_bytes * untouched;
}

size_t model_kv_bytes_per_token(const Model *m, KvType type) {
    KvShape shape = kv_shape_of(&m->hp, type);
    return kv_store_token_bytes(&shape);
}

const Gguf *model_gguf(const Model *m) {
    return m->gguf;
}
