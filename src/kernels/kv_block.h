// How one KV head's keys and values stand in a block of 16 tokens, for each KV type.
//
//     f16   keys half [head_dim][16 tokens], values half [16 tokens][head_dim]
//     q8_0  keys int8 [head_dim / 4][16 tokens][4], values int8 [16 tokens][head_dim],
//           scales of keys half [groups][16 tokens], scales of values half [groups][16 tokens]
//
// A group is KV_GROUP dimensions (the last one may have 16) of one token, which share a scale. The scales of
// 16 tokens lie side by side, as scores and probabilities do; four dimensions of a key lie together, as an
// integer dot product takes them. A head's part begins at a multiple of 64 bytes.
#ifndef CLLM_KERNELS_KV_BLOCK_H
#define CLLM_KERNELS_KV_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum KvType { KV_F16, KV_Q8_0, N_KV_TYPES } KvType;

enum { KV_GROUP = 32 };

static inline int kv_groups(int head_dim) {
    return (head_dim + KV_GROUP - 1) / KV_GROUP;
}

// Size of a head's part, in units of 16 bits; a multiple of 64 bytes.
static inline size_t kv_head_units(KvType type, int head_dim) {
    size_t hd = (size_t)head_dim;
    return type == KV_F16 ? 32 * hd : 16 * hd + 32 * (size_t)kv_groups(head_dim);
}

// ---- q8_0, from where a head's part begins ----

// The element of the keys that holds dimension d of a token.
static inline int kv_q8_key_at(int d, int token) {
    return d / 4 * 64 + token * 4 + d % 4;
}

static inline const int8_t *kv_q8_values(const int8_t *keys, int head_dim) {
    return keys + 16 * (size_t)head_dim;
}

static inline const uint16_t *kv_q8_key_scales(const int8_t *keys, int head_dim) {
    return (const uint16_t *)(keys + 32 * (size_t)head_dim);
}

static inline const uint16_t *kv_q8_value_scales(const int8_t *keys, int head_dim) {
    return kv_q8_key_scales(keys, head_dim) + 16 * (size_t)kv_groups(head_dim);
}

// Makes n numbers (16 or 32) int8 and returns their scale, a half.
typedef uint16_t KvQuantize(const float *x, int n, int8_t *q);

// A token's key and value, head_dim numbers each, into a slot (0 to 15) of a head's part; compiled for each
// rung with its own quantiser.
static inline __attribute__((always_inline)) void kv_q8_write(KvQuantize *quantize, const float *key,
                                                              const float *value, int head_dim,
                                                              uint16_t *block, int slot) {
    int8_t *keys = (int8_t *)block, *values = keys + (16 + slot) * head_dim;
    uint16_t *key_scales = block + 16 * head_dim, *value_scales = key_scales + 16 * kv_groups(head_dim);
    for (int d = 0; d < head_dim; d += KV_GROUP) {
        int8_t q[KV_GROUP];
        int n = head_dim - d < KV_GROUP ? head_dim - d : KV_GROUP, at = d / KV_GROUP * 16 + slot;
        key_scales[at] = quantize(key + d, n, q);
        for (int i = 0; i < n; i += 4) memcpy(keys + kv_q8_key_at(d + i, slot), q + i, 4);
        value_scales[at] = quantize(value + d, n, values + d);
    }
}

#endif
