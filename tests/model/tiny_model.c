#include "model/tiny_model.h"

#include "base/err.h"
#include "base/rng.h"
#include "gguf/gguf_bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

typedef struct Writer {
    Buf keys, directory, data;
    const TinyFault *fault;
    int n_keys, n_tensors;
    Rng rng;
} Writer;

static bool dropped(const Writer *w, const char *name) {
    return w->fault->drop && strcmp(w->fault->drop, name) == 0;
}

static void put_uint(Writer *w, const char *name, uint32_t value) {
    if (dropped(w, name)) return;
    char key[64];
    snprintf(key, sizeof key, "qwen3.%s", name);
    w->n_keys++;
    if (w->fault->as_float && strcmp(w->fault->as_float, name) == 0) {
        bytes_key(&w->keys, key, GGUF_F32);
        bytes_f32(&w->keys, (float)value);
        return;
    }
    bytes_key_uint(&w->keys, key, GGUF_U32, value, 4);
}

static float random_float(Writer *w) {
    return (float)(rng_uniform(&w->rng) * 2 - 1);
}

// Norms are F32 around 1; matrices Q8_0 with scales that keep activations near 1.
static void put_tensor(Writer *w, const char *name, int k, int n) {
    if (dropped(w, name)) return;
    if (w->fault->misshape && strcmp(w->fault->misshape, name) == 0) k += 32;
    bytes_align(&w->data, 32);
    bytes_tensor(&w->directory, name, (uint64_t)k, (uint64_t)n, n ? GGUF_TYPE_Q8_0 : GGUF_TYPE_F32,
                 w->data.len);
    w->n_tensors++;
    if (n == 0) {
        for (int i = 0; i < k; i++) bytes_f32(&w->data, 1 + 0.1f * random_float(w));
        return;
    }
    for (int block = 0; block < n * k / 32; block++) {
        bytes_uint(&w->data, 0x1800 + rng_next(&w->rng) % 256, 2); // about 0.002
        for (int i = 0; i < 32; i++) bytes_uint(&w->data, rng_next(&w->rng) & 0xFF, 1);
    }
}

static void put_layer(Writer *w, int layer) {
    static const struct {
        const char *part;
        int k, n;
    } parts[] = {
        {"attn_norm", TINY_EMBD, 0},
        {"attn_q", TINY_EMBD, TINY_HEADS * TINY_HEAD_DIM},
        {"attn_k", TINY_EMBD, TINY_KV_HEADS * TINY_HEAD_DIM},
        {"attn_v", TINY_EMBD, TINY_KV_HEADS * TINY_HEAD_DIM},
        {"attn_q_norm", TINY_HEAD_DIM, 0},
        {"attn_k_norm", TINY_HEAD_DIM, 0},
        {"attn_output", TINY_HEADS * TINY_HEAD_DIM, TINY_EMBD},
        {"ffn_norm", TINY_EMBD, 0},
        {"ffn_gate", TINY_EMBD, TINY_FF},
        {"ffn_up", TINY_EMBD, TINY_FF},
        {"ffn_down", TINY_FF, TINY_EMBD},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, parts[i].part);
        put_tensor(w, name, parts[i].k, parts[i].n);
    }
}

static void put_all(Writer *w) {
    bytes_key_str(&w->keys, "general.architecture", w->fault->arch ? w->fault->arch : "qwen3");
    w->n_keys++;
    put_uint(w, "block_count", TINY_LAYERS);
    put_uint(w, "context_length", TINY_CONTEXT);
    put_uint(w, "embedding_length", TINY_EMBD);
    put_uint(w, "feed_forward_length", TINY_FF);
    put_uint(w, "attention.head_count", TINY_HEADS);
    put_uint(w, "attention.head_count_kv", w->fault->kv_heads ? (uint32_t)w->fault->kv_heads : TINY_KV_HEADS);
    put_uint(w, "attention.key_length", w->fault->head_dim ? (uint32_t)w->fault->head_dim : TINY_HEAD_DIM);
    put_uint(w, "attention.value_length", w->fault->head_dim ? (uint32_t)w->fault->head_dim : TINY_HEAD_DIM);
    put_tensor(w, "token_embd.weight", TINY_EMBD, TINY_VOCAB);
    put_tensor(w, "output_norm.weight", TINY_EMBD, 0);
    for (int i = 0; i < TINY_LAYERS; i++) put_layer(w, i);
}

const char *tiny_model_write(const TinyFault *fault) {
    static const TinyFault none;
    Writer w = {.fault = fault ? fault : &none, .rng = {1}};
    Buf file = {0};
    put_all(&w);
    bytes_header(&file, 3, (uint64_t)w.n_tensors, (uint64_t)w.n_keys);
    buf_put(&file, buf_str(&w.keys));
    buf_put(&file, buf_str(&w.directory));
    bytes_align(&file, 32);
    buf_put(&file, buf_str(&w.data));
    memcpy(path, "/tmp/cllm-tiny-XXXXXX", sizeof "/tmp/cllm-tiny-XXXXXX");
    int fd = mkstemp(path);
    CHECK(fd >= 0 && !file.failed);
    CHECK(write(fd, file.ptr, file.len) == (ssize_t)file.len);
    close(fd);
    buf_free(&file);
    buf_free(&w.keys);
    buf_free(&w.directory);
    buf_free(&w.data);
    return path;
}

void tiny_model_remove(void) {
    unlink(path);
}
