#define _DEFAULT_SOURCE
#include "model/weights.h"

#include "base/num.h"
#include "kernels/packed.h"
#include "model/content_hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

WeightType weight_type_of(GgufType type) {
    switch (type) {
    case GGUF_TYPE_F32: return WEIGHT_F32;
    case GGUF_TYPE_F16: return WEIGHT_F16;
    case GGUF_TYPE_BF16: return WEIGHT_BF16;
    case GGUF_TYPE_Q8_0: return WEIGHT_Q8_0;
    case GGUF_TYPE_Q4_0: return WEIGHT_Q4_0;
    case GGUF_TYPE_Q4_1: return WEIGHT_Q4_1;
    case GGUF_TYPE_Q5_0: return WEIGHT_Q5_0;
    case GGUF_TYPE_Q5_1: return WEIGHT_Q5_1;
    case GGUF_TYPE_IQ4_NL: return WEIGHT_IQ4_NL;
    case GGUF_TYPE_Q2_K: return WEIGHT_Q2_K;
    case GGUF_TYPE_Q3_K: return WEIGHT_Q3_K;
    case GGUF_TYPE_Q4_K: return WEIGHT_Q4_K;
    case GGUF_TYPE_Q5_K: return WEIGHT_Q5_K;
    case GGUF_TYPE_Q6_K: return WEIGHT_Q6_K;
    case GGUF_TYPE_IQ4_XS: return WEIGHT_IQ4_XS;
    }
    CHECK(!"a tensor type that the reader should have refused");
    return WEIGHT_F32;
}

size_t mat_bytes(const Mat *m) {
    return num_div_up((size_t)m->n, PANEL_ROWS) * m->kernel->panel_bytes(m->type, m->k);
}

int layer_n_mats(const Layer *l) {
    return l->router.kernel ? LAYER_MATS : LAYER_MATS - 1;
}

const Mat *layer_mat(const Layer *l, int i) {
    const Mat *mats[LAYER_MATS] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down, &l->router};
    return mats[i];
}

enum { MAT_ALIGN = 4096 }; // of a matrix in the region

// What binding needs at hand. The first failure sticks.
typedef struct Binder {
    Weights *w;
    const Gguf *g;
    const HyperParams *hp;
    size_t float_count, float_used; // counted in a first pass, filled in a second
    Err *err;
    bool failed;
} Binder;

static const GgufTensor *need(Binder *b, const char *name, bool optional) {
    const GgufTensor *t = gguf_find_tensor(b->g, name);
    if (!t && !optional && !b->failed) {
        b->failed = true;
        err_set(b->err, ERR_INVALID, "%s: tensor %s is missing; the file does not fit its architecture '%s'",
                gguf_path(b->g), name, b->hp->arch->name);
    }
    return t;
}

static bool shape_is(Binder *b, const GgufTensor *t, int k, int n, int n_experts) {
    const uint64_t *have = t->dims, want[4] = {(uint64_t)k, (uint64_t)n, (uint64_t)n_experts, 1};
    if (memcmp(have, want, sizeof want) == 0) return true;
    if (!b->failed) {
        b->failed = true;
        err_set(b->err, ERR_INVALID,
                "%s: tensor %.*s is %llu x %llu x %llu, but the model's dimensions ask for %d x %d x %d",
                gguf_path(b->g), (int)t->name.len, t->name.ptr, (unsigned long long)have[0],
                (unsigned long long)have[1], (unsigned long long)(have[2] * have[3]), k, n, n_experts);
    }
    return false;
}

static const char *layer_name(char out[64], int layer, const char *part) {
    snprintf(out, 64, "blk.%d.%s", layer, part);
    return out;
}

// n_experts matrices [n][k] become one, each below the one before.
static void bind_mats_of(Binder *b, Mat *m, const char *name, int n, int k, int n_experts) {
    const GgufTensor *t = need(b, name, false);
    if (!t || !shape_is(b, t, k, n, n_experts)) return;
    WeightType type = weight_type_of(t->type);
    n *= n_experts; // at most MAX_DIM * MAX_EXPERTS
    *m = (Mat){type, n, k, &b->w->kernels->mat[type], NULL, t};
    size_t panels = num_div_up((size_t)n, PANEL_ROWS), bytes;
    size_t panel_bytes = m->kernel->panel_bytes(type, k);
    if (!num_mul(panels, panel_bytes, &bytes) || !num_align(bytes, MAT_ALIGN, &bytes) ||
        !num_add(b->w->region_bytes, bytes, &b->w->region_bytes)) {
        b->failed = true;
        err_set(b->err, ERR_LIMIT, "%s: tensor %s is too large for this machine", gguf_path(b->g), name);
    }
}

static void bind_mat(Binder *b, Mat *m, const char *name, int n, int k) {
    bind_mats_of(b, m, name, n, k, 1);
}

// A vector in floats. First pass (w->floats not there yet): only counted.
static const float *bind_vector(Binder *b, const char *name, int n, bool optional) {
    const GgufTensor *t = need(b, name, optional);
    if (!t || !shape_is(b, t, n, 1, 1)) return NULL;
    WeightType type = weight_type_of(t->type);
    if (!weight_is_float(type)) {
        if (!b->failed)
            err_set(b->err, ERR_UNSUPPORTED, "%s: tensor %s is of type %s; F32, F16 or BF16 was expected",
                    gguf_path(b->g), name, weight_formats[type].name);
        b->failed = true;
        return NULL;
    }
    size_t at = b->float_used;
    b->float_used += (size_t)n;
    if (!b->w->floats) return NULL;
    weight_dequantize_row(type, t->data, n, b->w->floats + at);
    return b->w->floats + at;
}

static void bind_layer_vectors(Binder *b, Layer *l, int i) {
    const HyperParams *hp = b->hp;
    char name[64];
    int q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    l->attn_norm = bind_vector(b, layer_name(name, i, "attn_norm.weight"), hp->n_embd, false);
    l->ffn_norm = bind_vector(b, layer_name(name, i, "ffn_norm.weight"), hp->n_embd, false);
    if (hp->arch->post_norms) {
        l->attn_post_norm =
            bind_vector(b, layer_name(name, i, "post_attention_norm.weight"), hp->n_embd, false);
        l->ffn_post_norm = bind_vector(b, layer_name(name, i, "post_ffw_norm.weight"), hp->n_embd, false);
    }
    if (hp->arch->qk_norm) {
        l->q_norm = bind_vector(b, layer_name(name, i, "attn_q_norm.weight"), hp->head_dim, false);
        l->k_norm = bind_vector(b, layer_name(name, i, "attn_k_norm.weight"), hp->head_dim, false);
    }
    l->q_bias = bind_vector(b, layer_name(name, i, "attn_q.bias"), q, true);
    l->k_bias = bind_vector(b, layer_name(name, i, "attn_k.bias"), kv, true);
    l->v_bias = bind_vector(b, layer_name(name, i, "attn_v.bias"), kv, true);
    l->o_bias = bind_vector(b, layer_name(name, i, "attn_output.bias"), hp->n_embd, true);
}

static void bind_vectors(Binder *b) {
    b->float_used = 0;
    b->w->output_norm = bind_vector(b, "output_norm.weight", b->hp->n_embd, false);
    b->w->rope_factors = bind_vector(b, "rope_freqs.weight", b->hp->rope_dims / 2, true);
    for (int i = 0; i < b->hp->n_layers && !b->failed; i++) bind_layer_vectors(b, &b->w->layers[i], i);
}

static void bind_layer_mats(Binder *b, Layer *l, int i) {
    const HyperParams *hp = b->hp;
    char name[64];
    l->window = hyper_params_window(hp, i);
    l->rope = hyper_params_rope(hp, i);
    int q = hp->n_heads * hp->head_dim, kv = hp->n_kv_heads * hp->head_dim;
    bind_mat(b, &l->q, layer_name(name, i, "attn_q.weight"), q, hp->n_embd);
    bind_mat(b, &l->k, layer_name(name, i, "attn_k.weight"), kv, hp->n_embd);
    bind_mat(b, &l->v, layer_name(name, i, "attn_v.weight"), kv, hp->n_embd);
    bind_mat(b, &l->o, layer_name(name, i, "attn_output.weight"), hp->n_embd, q);
    if (hp->n_experts) {
        int n = hp->n_experts;
        bind_mat(b, &l->router, layer_name(name, i, "ffn_gate_inp.weight"), n, hp->n_embd);
        bind_mats_of(b, &l->gate, layer_name(name, i, "ffn_gate_exps.weight"), hp->n_ff, hp->n_embd, n);
        bind_mats_of(b, &l->up, layer_name(name, i, "ffn_up_exps.weight"), hp->n_ff, hp->n_embd, n);
        bind_mats_of(b, &l->down, layer_name(name, i, "ffn_down_exps.weight"), hp->n_embd, hp->n_ff, n);
        return;
    }
    bind_mat(b, &l->gate, layer_name(name, i, "ffn_gate.weight"), hp->n_ff, hp->n_embd);
    bind_mat(b, &l->up, layer_name(name, i, "ffn_up.weight"), hp->n_ff, hp->n_embd);
    bind_mat(b, &l->down, layer_name(name, i, "ffn_down.weight"), hp->n_embd, hp->n_ff);
}

static void bind_mats(Binder *b) {
    const HyperParams *hp = b->hp;
    bool tied = !gguf_find_tensor(b->g, "output.weight");
    b->w->token_embd = need(b, "token_embd.weight", false);
    if (!b->w->token_embd || !shape_is(b, b->w->token_embd, hp->n_embd, hp->n_vocab, 1)) return;
    b->w->embd_type = weight_type_of(b->w->token_embd->type);
    bind_mat(b, &b->w->output, tied ? "token_embd.weight" : "output.weight", hp->n_vocab, hp->n_embd);
    for (int i = 0; i < hp->n_layers && !b->failed; i++) bind_layer_mats(b, &b->w->layers[i], i);
}

// ---- the region of packed matrices ----

static size_t n_mats(const Binder *b) {
    return (size_t)b->hp->n_layers * (size_t)layer_n_mats(&b->w->layers[0]) + 1;
}

// All matrices in the order of their use.
static Mat *mat_at(const Binder *b, size_t i) {
    if (i + 1 == n_mats(b)) return &b->w->output;
    size_t n = (size_t)layer_n_mats(&b->w->layers[0]);
    return (Mat *)layer_mat(&b->w->layers[i / n], (int)(i % n));
}

// Where each matrix lies; that nothing overflows has been checked when they were bound.
static PackTensor *lay_out(Binder *b) {
    PackTensor *tensors = calloc(n_mats(b), sizeof *tensors);
    if (!tensors) err_set(b->err, ERR_NOMEM, "out of memory for the directory of %zu matrices", n_mats(b));
    size_t at = 0;
    for (size_t i = 0; tensors && i < n_mats(b); i++) {
        const Mat *m = mat_at(b, i);
        size_t bytes = mat_bytes(m);
        tensors[i] = (PackTensor){m->type, (uint64_t)m->n, (uint64_t)m->k, at, bytes};
        at += (bytes + MAT_ALIGN - 1) & ~(size_t)(MAT_ALIGN - 1);
    }
    CHECK(!tensors || at == b->w->region_bytes);
    return tensors;
}

static void place_mats(Binder *b, const PackTensor *tensors, const char *region) {
    for (size_t i = 0; i < n_mats(b); i++) mat_at(b, i)->packed = region + tensors[i].offset;
}

// ---- packing ----

// One piece of a matrix at a time, so that the file's pages can be given back behind it.
typedef struct PackJob {
    const Mat *m;
    char *packed;
    int first_panel, panels_per_task, end_panel;
} PackJob;

static void pack_task(void *ctx, int task, int worker) {
    (void)worker;
    const PackJob *job = ctx;
    const Mat *m = job->m;
    size_t panel_bytes = m->kernel->panel_bytes(m->type, m->k);
    int p = job->first_panel + task * job->panels_per_task, end = p + job->panels_per_task;
    for (; p < end && p < job->end_panel; p++) {
        int row = p * PANEL_ROWS, rows = m->n - row < PANEL_ROWS ? m->n - row : PANEL_ROWS;
        m->kernel->pack(m->type, m->tensor->data + (size_t)row * m->tensor->row_bytes, rows, m->k,
                        job->packed + (size_t)p * panel_bytes);
    }
}

static void pack_mat(const Mat *m, char *packed, const Gguf *g, Workers *workers) {
    enum { PIECE_BYTES = 8 << 20, PANELS_PER_TASK = 4 };
    int n_panels = (int)num_div_up((size_t)m->n, PANEL_ROWS);
    size_t panel_file_bytes = m->tensor->row_bytes * PANEL_ROWS;
    int piece = (int)num_max(PIECE_BYTES / panel_file_bytes, PANELS_PER_TASK);
    for (int p = 0; p < n_panels && !workers_cancelled(workers); p += piece) {
        int end = p + piece < n_panels ? p + piece : n_panels;
        PackJob job = {m, packed, p, PANELS_PER_TASK, end};
        workers_run(workers, pack_task, &job, (int)num_div_up((size_t)(end - p), PANELS_PER_TASK));
        size_t from = (size_t)p * panel_file_bytes,
               to = num_min((size_t)end * panel_file_bytes, m->tensor->n_bytes);
        gguf_release_pages(g, m->tensor->data + from, to - from);
    }
}

static bool pack_all(Binder *b, const PackTensor *tensors, const WeightsLoading *how) {
    Weights *w = b->w;
    void *region = mmap(NULL, w->region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return err_set(b->err, ERR_NOMEM, "%s: no memory for %zu MB of weights", gguf_path(b->g),
                       w->region_bytes >> 20);
    madvise(region, w->region_bytes, MADV_HUGEPAGE); // fewer TLB misses where the system has them
    w->region = region;
    place_mats(b, tensors, region);
    for (size_t i = 0; i < n_mats(b) && !workers_cancelled(how->workers); i++) {
        pack_mat(mat_at(b, i), (char *)region + tensors[i].offset, b->g, how->workers);
        size_t done = (size_t)tensors[i].offset + (size_t)tensors[i].bytes;
        if (how->progress) how->progress((double)done / (double)w->region_bytes, how->user);
    }
    return true;
}

// ---- the image ----

static void release_hashed(void *g, const void *from, size_t n) {
    gguf_release_pages(g, from, n);
}

// Rungs that write panels share their images; other packing is not worth a file.
static bool has_panels(const Binder *b) {
    for (size_t i = 0; i < n_mats(b); i++)
        if (mat_at(b, i)->kernel->pack != packed_panel_write) return false;
    return true;
}

// After packing. `unused` tells why there was no image to use.
static void write_image(Binder *b, const PackKey *key, const WeightsLoading *how, const Err *unused,
                        PackReport *report) {
    Err err;
    bool refused = unused->code != ERR_NOT_FOUND;
    snprintf(report->why, sizeof report->why, "%s", refused ? unused->msg : "there was none");
    report->outcome = refused ? PACK_REPLACED : PACK_WRITTEN;
    if (pack_image_write(how->cache_folder, key, b->w->region, how->workers, &err)) return;
    if (refused) err_prefix(&err, "%s", unused->msg);
    snprintf(report->why, sizeof report->why, "%s", err.msg);
    report->outcome = PACK_FAILED;
}

static bool load_with_cache(Binder *b, const PackTensor *tensors, const WeightsLoading *how,
                            PackReport *report) {
    Err why;
    PackKey key = {
        content_hash(gguf_file_data(b->g), gguf_file_bytes(b->g), how->workers, release_hashed, (void *)b->g),
        tensors, n_mats(b), b->w->region_bytes};
    if (workers_cancelled(how->workers)) return false; // the key is that of some of the file
    if (pack_image_map(how->cache_folder, &key, how->workers, &b->w->image, &why)) {
        place_mats(b, tensors, b->w->image.region);
        report->outcome = PACK_USED;
        return true;
    }
    if (!pack_all(b, tensors, how)) return false;
    write_image(b, &key, how, &why, report);
    return true;
}

static bool load_mats(Binder *b, const WeightsLoading *how, PackReport *report) {
    PackTensor *tensors = lay_out(b);
    if (!tensors) return false;
    bool wanted = how->cache_folder[0], ok;
    if (wanted && has_panels(b)) {
        ok = load_with_cache(b, tensors, how, report);
    } else {
        ok = pack_all(b, tensors, how);
        if (wanted) {
            report->outcome = PACK_UNUSED;
            snprintf(report->why, sizeof report->why, "the %s kernels need no packing",
                     cpu_rung_name(b->w->kernels->rung));
        }
    }
    free(tensors);
    if (workers_cancelled(how->workers)) return err_set(b->err, ERR_IO, "interrupted"); // some may be missing
    return ok;
}

bool weights_load(Weights *w, const Gguf *g, const HyperParams *hp, const WeightsLoading *how,
                  PackReport *report, Err *err) {
    CpuRung rung;
    *w = (Weights){0};
    *report = (PackReport){0};
    if (!cpu_rung(&rung, err)) return false;
    w->kernels = kernels_get(rung);
    w->layers = calloc((size_t)hp->n_layers, sizeof *w->layers);
    Binder b = {.w = w, .g = g, .hp = hp, .err = err};
    if (!w->layers) return err_set(err, ERR_NOMEM, "out of memory for %d layers", hp->n_layers);
    bind_mats(&b);
    if (!b.failed) bind_vectors(&b);
    if (!b.failed) {
        w->floats = malloc(num_max(b.float_used, 1) * sizeof *w->floats);
        b.failed = !w->floats && !err_set(err, ERR_NOMEM, "out of memory for the norms");
    }
    if (!b.failed) bind_vectors(&b);
    if (!b.failed && load_mats(&b, how, report)) return true;
    weights_free(w);
    return false;
}

void weights_free(Weights *w) {
    if (w->region) munmap(w->region, w->region_bytes);
    pack_image_unmap(&w->image);
    free(w->floats);
    free(w->layers);
    *w = (Weights){0};
}
