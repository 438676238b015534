// Attention over paged keys in plain C, and the writing of keys and values; see kernels.h for the order of
// every operation.
#include "kernels/scalar/table.h"

#include "kernels/exp.h"

typedef struct Softmax {
    float acc[ATTN_MAX_HEAD_DIM], l[16], max;
} Softmax;

static float key_at(KvType type, const uint16_t *keys, int i) {
    return type == KV_F16 ? half_to_float(keys[i]) : (float)((const int8_t *)keys)[i];
}

// Scores of the first n keys of a block by the dimensions [from, to).
static void score_dims(KvType type, const float *q, const uint16_t *keys, int from, int to, int n,
                       float s[16]) {
    float sums[4][16] = {0};
    for (int d = from; d < to; d++)
        for (int t = 0; t < n; t++) {
            float *sum = &sums[d % 4][t];
            *sum = fmaf(q[d], key_at(type, keys, d * 16 + t), *sum);
        }
    for (int t = 0; t < n; t++) s[t] = (sums[0][t] + sums[1][t]) + (sums[2][t] + sums[3][t]);
}

static void score_block(KvType type, const AttnArgs *a, const float *q, const uint16_t *keys, int n,
                        float s[16]) {
    if (type == KV_F16) {
        score_dims(type, q, keys, 0, a->head_dim, n, s);
        return;
    }
    const uint16_t *scales = kv_q8_key_scales((const int8_t *)keys, a->head_dim);
    for (int t = 0; t < n; t++) s[t] = 0;
    for (int d = 0; d < a->head_dim; d += KV_GROUP, scales += 16) {
        float group[16];
        score_dims(type, q, keys, d, d + KV_GROUP < a->head_dim ? d + KV_GROUP : a->head_dim, n, group);
        for (int t = 0; t < n; t++) s[t] = fmaf(group[t], half_to_float(scales[t]), s[t]);
    }
}

static void raise_max(const AttnArgs *a, Softmax *m, const float s[16], int n) {
    float max = m->max;
    for (int t = 0; t < n; t++) max = s[t] > max ? s[t] : max;
    if (!(max > m->max)) return;
    float shrink = exp_scalar(m->max - max);
    for (int t = 0; t < 16; t++) m->l[t] *= shrink;
    for (int d = 0; d < a->head_dim; d++) m->acc[d] *= shrink;
    m->max = max;
}

static void add_value_f16(const AttnArgs *a, Softmax *m, const uint16_t *keys, int t, float p) {
    int hd = a->head_dim;
    const uint16_t *values = keys + (16 + t) * hd;
    for (int d = 0; d < hd; d++) m->acc[d] = fmaf(p, half_to_float(values[d]), m->acc[d]);
}

static void add_value_q8(const AttnArgs *a, Softmax *m, const uint16_t *keys, int t, float p) {
    int hd = a->head_dim;
    const int8_t *values = kv_q8_values((const int8_t *)keys, hd) + t * hd;
    const uint16_t *scales = kv_q8_value_scales((const int8_t *)keys, hd) + t;
    for (int d = 0; d < hd; d++) {
        float weight = p * half_to_float(scales[d / KV_GROUP * 16]);
        m->acc[d] = fmaf(weight, (float)values[d], m->acc[d]);
    }
}

// One query over all its blocks.
static void attend(KvType type, const AttnArgs *a, const float *q, int n_keys, Softmax *m) {
    *m = (Softmax){.max = -INFINITY};
    for (int first = 0; first < n_keys; first += 16) {
        const uint16_t *keys = a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
        int n = n_keys - first < 16 ? n_keys - first : 16;
        float s[16];
        score_block(type, a, q, keys, n, s);
        raise_max(a, m, s, n);
        for (int t = 0; t < n; t++) {
            float p = exp_scalar(s[t] - m->max);
            m->l[t] += p;
            if (type == KV_F16)
                add_value_f16(a, m, keys, t, p);
            else
                add_value_q8(a, m, keys, t, p);
        }
    }
}

// max and sum: NULL for finished outputs.
static void attend_all(KvType type, const AttnArgs *a, float *max, float *sum) {
    for (int i = 0; i < a->n_q; i++) {
        Softmax m;
        attend(type, a, a->q + (size_t)i * a->q_stride, a->n_keys + i / a->group, &m);
        float total = scalar_sum16(m.l), *out = a->out + (size_t)i * a->out_stride;
        for (int d = 0; d < a->head_dim; d++) out[d] = max ? m.acc[d] : m.acc[d] / total;
        if (!max) continue;
        max[i] = m.max;
        sum[i] = total;
    }
}

void scalar_attention_f16(const AttnArgs *a) {
    attend_all(KV_F16, a, NULL, NULL);
}

void scalar_attention_part_f16(const AttnArgs *a, float *max, float *sum) {
    attend_all(KV_F16, a, max, sum);
}

void scalar_attention_q8(const AttnArgs *a) {
    attend_all(KV_Q8_0, a, NULL, NULL);
}

void scalar_attention_part_q8(const AttnArgs *a, float *max, float *sum) {
    attend_all(KV_Q8_0, a, max, sum);
}

// ---- writing --------------------------------------------------------------------------------

// NaN becomes the maximum: a stray NaN must not spread through a shared block.
static float finite(float x) {
    x = x < 65504.0f ? x : 65504.0f;
    return x > -65504.0f ? x : -65504.0f;
}

void scalar_kv_write_f16(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    uint16_t *values = block + (size_t)head_dim * 16 + (size_t)slot * (size_t)head_dim;
    for (int d = 0; d < head_dim; d++) {
        block[16 * d + slot] = float_to_half(finite(key[d]));
        values[d] = float_to_half(finite(value[d]));
    }
}

// n numbers to q[0], q[stride] …; returns their scale.
static uint16_t quantize(const float *x, int n, int8_t *q, size_t stride) {
    float max = 0;
    for (int i = 0; i < n; i++) max = fabsf(finite(x[i])) > max ? fabsf(finite(x[i])) : max;
    uint16_t scale = float_to_half(max / 127.0f);
    float inverse = scale ? 1.0f / half_to_float(scale) : 0;
    for (int i = 0; i < n; i++) {
        float v = nearbyintf(finite(x[i]) * inverse);
        v = v > 127 ? 127 : v; // the scale may have been rounded down
        q[(size_t)i * stride] = (int8_t)(v > -127 ? v : -127);
    }
    return scale;
}

void scalar_kv_write_q8(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    int8_t *keys = (int8_t *)block, *values = keys + (16 + slot) * head_dim;
    uint16_t *key_scales = block + 16 * head_dim, *value_scales = key_scales + 16 * kv_groups(head_dim);
    for (int d = 0; d < head_dim; d += KV_GROUP) {
        int n = head_dim - d < KV_GROUP ? head_dim - d : KV_GROUP, at = d / KV_GROUP * 16 + slot;
        key_scales[at] = quantize(key + d, n, keys + 16 * d + slot, 16);
        value_scales[at] = quantize(value + d, n, values + d, 1);
    }
}
