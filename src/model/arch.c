#include "model/arch.h"

#include "base/num.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>

static const Arch archs[] = {
    {.name = "llama", .pairing = ROPE_NEIGHBOURS},
    {.name = "qwen2", .pairing = ROPE_HALVES},
    {.name = "qwen3", .pairing = ROPE_HALVES, .qk_norm = true},
    {.name = "qwen3moe", .pairing = ROPE_HALVES, .qk_norm = true, .experts = true},
    {.name = "smollm3", .pairing = ROPE_NEIGHBOURS, .unturned = 4},
    {.name = "granite", .pairing = ROPE_NEIGHBOURS},
    {.name = "gemma3",
     .pairing = ROPE_HALVES,
     .qk_norm = true,
     .post_norms = true,
     .gelu = true,
     .scaled_embd = true,
     .unwindowed = 6},
};

enum {
    N_ARCHS = sizeof archs / sizeof archs[0],
    MAX_LAYERS = 1024,
    MAX_EXPERTS = 1024,
    MAX_DIM = 1 << 20,
    MAX_CONTEXT = 1 << 24
};

static const Arch *arch_named(Str name) {
    for (int i = 0; i < N_ARCHS; i++)
        if (str_eq(name, str_from(archs[i].name))) return &archs[i];
    return NULL;
}

static const Arch *find_arch(const Gguf *g, Err *err) {
    Str name;
    if (!gguf_get_str(g, "general.architecture", &name)) {
        err_set(err, ERR_INVALID, "%s: general.architecture is missing; this is not a language model",
                gguf_path(g));
        return NULL;
    }
    const Arch *arch = arch_named(name);
    if (arch) return arch;
    char known[160];
    int n = 0;
    for (int i = 0; i < N_ARCHS; i++)
        n += snprintf(known + n, sizeof known - (size_t)n, "%s%s", i ? ", " : "", archs[i].name);
    err_set(err, ERR_UNSUPPORTED, "%s: architecture '%.*s' is not supported; supported are %s", gguf_path(g),
            (int)num_min(name.len, 40), name.ptr, known);
    return NULL;
}

// Reads metadata under the architecture's prefix and remembers the first failure.
typedef struct Reader {
    const Gguf *g;
    const char *arch;
    Err *err;
    bool failed;
} Reader;

static const char *full_key(const Reader *r, const char *key, char out[96]) {
    snprintf(out, 96, "%s.%s", r->arch, key);
    return out;
}

static void fail_range(Reader *r, const char *key, double value, double low, double high) {
    if (r->failed) return;
    r->failed = true;
    err_set(r->err, ERR_INVALID, "%s: %s is %g; it must lie between %g and %g", gguf_path(r->g), key, value,
            low, high);
}

static int32_t fail_key(Reader *r, ErrCode code, const char *key, const char *what) {
    if (!r->failed) err_set(r->err, code, "%s: %s %s", gguf_path(r->g), key, what);
    r->failed = true;
    return 1;
}

// An integer in [1, high]; `fallback` > 0 stands in for a missing key, 0 makes the key mandatory.
// After a failure: 1, so that what is computed from it stays defined.
static int32_t read_int(Reader *r, const char *key, int32_t fallback, int32_t high) {
    char name[96];
    uint64_t value = (uint64_t)fallback;
    if (!gguf_get_u64(r->g, full_key(r, key, name), &value)) {
        if (gguf_has(r->g, name)) return fail_key(r, ERR_UNSUPPORTED, name, "is not a single whole number");
        if (fallback == 0) return fail_key(r, ERR_INVALID, name, "is missing");
    }
    if (value >= 1 && value <= (uint64_t)high) return (int32_t)value;
    fail_range(r, name, (double)value, 1, high);
    return 1;
}

static double read_float(Reader *r, const char *key, double fallback, double low, double high) {
    char name[96];
    double value = fallback;
    gguf_get_f64(r->g, full_key(r, key, name), &value);
    if (!(value >= low && value <= high)) fail_range(r, name, value, low, high);
    return value;
}

static RopeParams read_rope(Reader *r, int32_t context) {
    char name[96];
    Str type = STR("none");
    bool named = gguf_get_str(r->g, full_key(r, "rope.scaling.type", name), &type);
    RopeParams p = {.base = read_float(r, "rope.freq_base", 10000, 1, 1e12),
                    .scaling_factor = read_float(r, "rope.scaling.factor", 1, 1e-3, 1e6)};
    if (!named && gguf_has(r->g, full_key(r, "rope.scale_linear", name))) { // the older way to say it
        type = STR("linear");
        p.scaling_factor = read_float(r, "rope.scale_linear", 1, 1e-3, 1e6);
    }
    p.original_context = read_int(r, "rope.scaling.original_context_length", context, MAX_CONTEXT);
    p.attn_factor = read_float(r, "rope.scaling.attn_factor", 1, 1e-3, 1e3);
    p.beta_fast = read_float(r, "rope.scaling.yarn_beta_fast", 32, 1e-3, 1e6);
    p.beta_slow = read_float(r, "rope.scaling.yarn_beta_slow", 1, 1e-3, 1e6);
    if (str_eq(type, STR("none")))
        p.scaling = ROPE_SCALING_NONE;
    else if (str_eq(type, STR("linear")))
        p.scaling = ROPE_SCALING_LINEAR;
    else if (str_eq(type, STR("yarn")))
        p.scaling = ROPE_SCALING_YARN;
    else if (!r->failed) {
        r->failed = true;
        err_set(r->err, ERR_UNSUPPORTED,
                "%s: rope scaling '%.*s' is not supported; supported are none, linear and yarn",
                gguf_path(r->g), (int)num_min(type.len, 40), type.ptr);
    }
    return p;
}

static void read_feed_forward(Reader *r, HyperParams *hp) {
    if (!hp->arch->experts) {
        hp->n_ff = read_int(r, "feed_forward_length", 0, MAX_DIM);
        return;
    }
    hp->n_ff = read_int(r, "expert_feed_forward_length", 0, MAX_DIM);
    hp->n_experts = read_int(r, "expert_count", 0, MAX_EXPERTS);
    hp->n_experts_used = read_int(r, "expert_used_count", 0, hp->n_experts);
}

// Windowed layers look a short way back: their positions are not scaled.
static void read_window(Reader *r, HyperParams *hp) {
    char name[96];
    if (hp->arch->unwindowed && gguf_has(r->g, full_key(r, "attention.sliding_window", name)))
        hp->window = read_int(r, "attention.sliding_window", 0, MAX_CONTEXT);
    hp->rope[ROPE_WINDOWED] = (RopeParams){.base = read_float(r, "rope.freq_base_swa", 10000, 1, 1e12)};
}

// The file names some; scores are scaled by 1 / sqrt(head_dim) but in Gemma 3's largest, whose files do not
// say so.
static void read_scales(Reader *r, HyperParams *hp) {
    enum { GEMMA3_27B_LAYERS = 62 };
    bool by_embd = hp->arch->scaled_embd && hp->n_layers == GEMMA3_27B_LAYERS;
    double head = by_embd ? (double)hp->n_embd / hp->n_heads : hp->head_dim;
    double embd = hp->arch->scaled_embd ? sqrt(hp->n_embd) : 1;
    hp->embd_scale = (float)read_float(r, "embedding_scale", embd, 1e-6, 1e6);
    hp->residual_scale = (float)read_float(r, "residual_scale", 1, 1e-6, 1e6);
    hp->logit_scale = 1 / (float)read_float(r, "logit_scale", 1, 1e-6, 1e6);
    hp->attn_scale = (float)read_float(r, "attention.scale", 1 / sqrt(head), 1e-6, 1e6);
}

// What the file says; files of models that were made to write text say nothing, or none.
static Pooling read_pooling(const Reader *r) {
    char name[96];
    uint64_t value = POOLING_NONE;
    gguf_get_u64(r->g, full_key(r, "pooling_type", name), &value);
    return value == POOLING_CLS || value == POOLING_LAST ? (Pooling)value : POOLING_MEAN;
}

// Rows of the token embedding: the vocabulary that the model really has.
static int32_t vocabulary(Reader *r) {
    const GgufTensor *embd = gguf_find_tensor(r->g, "token_embd.weight");
    if (!embd) {
        r->failed = true;
        err_set(r->err, ERR_INVALID, "%s: tensor token_embd.weight is missing", gguf_path(r->g));
        return 1;
    }
    if (embd->dims[1] > INT32_MAX / 2) {
        fail_range(r, "the number of rows of token_embd.weight", (double)embd->dims[1], 1, INT32_MAX / 2);
        return 1;
    }
    return (int32_t)embd->dims[1];
}

static bool check_shapes(const Gguf *g, const HyperParams *hp, Err *err) {
    const char *path = gguf_path(g);
    if (hp->n_heads % hp->n_kv_heads)
        return err_set(err, ERR_INVALID, "%s: %d query heads cannot be shared by %d KV heads", path,
                       hp->n_heads, hp->n_kv_heads);
    if (hp->head_dim % 16 || hp->head_dim > ATTN_MAX_HEAD_DIM)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: the head size %d is not supported; it must be a multiple of 16 up to %d", path,
                       hp->head_dim, ATTN_MAX_HEAD_DIM);
    if (hp->rope_dims % 2 || hp->rope_dims > hp->head_dim)
        return err_set(err, ERR_INVALID, "%s: RoPE over %d dimensions does not fit a head of %d", path,
                       hp->rope_dims, hp->head_dim);
    if (hp->n_embd % 32 || hp->n_ff % 32)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: embedding length %d and feed-forward length %d must be multiples of 32", path,
                       hp->n_embd, hp->n_ff);
    return true;
}

bool hyper_params_read(const Gguf *g, HyperParams *hp, Err *err) {
    *hp = (HyperParams){.arch = find_arch(g, err)};
    if (!hp->arch) return false;
    Reader r = {g, hp->arch->name, err, false};
    hp->n_vocab = vocabulary(&r);
    hp->n_layers = read_int(&r, "block_count", 0, MAX_LAYERS);
    hp->n_embd = read_int(&r, "embedding_length", 0, MAX_DIM);
    read_feed_forward(&r, hp);
    hp->n_heads = read_int(&r, "attention.head_count", 0, 4096);
    hp->n_kv_heads = read_int(&r, "attention.head_count_kv", hp->n_heads, 4096);
    hp->context = read_int(&r, "context_length", 0, MAX_CONTEXT);
    int32_t even_share = hp->n_embd / hp->n_heads > 0 ? hp->n_embd / hp->n_heads : 1;
    hp->head_dim = read_int(&r, "attention.key_length", even_share, 4096);
    int32_t value_dim = read_int(&r, "attention.value_length", hp->head_dim, 4096);
    hp->rope_dims = read_int(&r, "rope.dimension_count", hp->head_dim, 4096);
    hp->rms_eps = (float)read_float(&r, "attention.layer_norm_rms_epsilon", 1e-5, 0, 1);
    hp->rope[ROPE_FULL] = read_rope(&r, hp->context);
    read_window(&r, hp);
    read_scales(&r, hp);
    hp->pooling = read_pooling(&r);
    if (r.failed) return false;
    if (value_dim != hp->head_dim)
        return err_set(err, ERR_UNSUPPORTED, "%s: keys of %d and values of %d dimensions are not supported",
                       gguf_path(g), hp->head_dim, value_dim);
    return check_shapes(g, hp, err);
}

static bool is_every(int n, int layer) {
    return n > 0 && (layer + 1) % n == 0;
}

int32_t hyper_params_window(const HyperParams *hp, int layer) {
    return is_every(hp->arch->unwindowed, layer) ? 0 : hp->window;
}

RopeUse hyper_params_rope(const HyperParams *hp, int layer) {
    if (is_every(hp->arch->unturned, layer)) return ROPE_NONE;
    return hyper_params_window(hp, layer) ? ROPE_WINDOWED : ROPE_FULL;
}
