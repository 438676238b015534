// Attention over paged keys in plain C, and the writing of keys and values; see kernels.h for the order of
// every operation.
#include "kernels/scalar/table.h"

#include "kernels/exp.h"

typedef struct Softmax {
    float acc[ATTN_MAX_HEAD_DIM], l[16], max;
} Softmax;

// A query as q8_0 takes it.
typedef struct Query8 {
    int8_t q[ATTN_MAX_HEAD_DIM];
    float scale[ATTN_MAX_HEAD_DIM / KV_GROUP];
} Query8;

static void quantize_query(const float *q, int head_dim, Query8 *out) {
    for (int d = 0; d < head_dim; d += KV_GROUP) {
        int end = d + KV_GROUP < head_dim ? d + KV_GROUP : head_dim;
        float max = 0;
        for (int i = d; i < end; i++) max = fabsf(q[i]) > max ? fabsf(q[i]) : max;
        float inverse = max > ACT_TINY ? 127.0f / max : 0;
        for (int i = d; i < end; i++) {
            float v = nearbyintf(q[i] * inverse);
            v = v > 127 ? 127 : v; // 127 / max may round up
            out->q[i] = (int8_t)(v > -127 ? v : -127);
        }
        out->scale[d / KV_GROUP] = max / 127.0f;
    }
}

// Scores of the first n keys of a block.
static void score_f16(const AttnArgs *a, const float *q, const uint16_t *keys, int n, float s[16]) {
    float sums[4][16] = {0};
    for (int d = 0; d < a->head_dim; d++)
        for (int t = 0; t < n; t++) {
            float *sum = &sums[d % 4][t];
            *sum = fmaf(q[d], half_to_float(keys[d * 16 + t]), *sum);
        }
    for (int t = 0; t < n; t++) s[t] = (sums[0][t] + sums[1][t]) + (sums[2][t] + sums[3][t]);
}

static void score_q8(const AttnArgs *a, const Query8 *q, const int8_t *keys, int n, float s[16]) {
    const uint16_t *scales = kv_q8_key_scales(keys, a->head_dim);
    for (int t = 0; t < n; t++) {
        s[t] = 0;
        for (int d = 0; d < a->head_dim; d += KV_GROUP) {
            int g = d / KV_GROUP, sum = 0;
            for (int i = d; i < a->head_dim && i < d + KV_GROUP; i++)
                sum += q->q[i] * keys[kv_q8_key_at(i, t)];
            s[t] = fmaf((float)sum * q->scale[g], half_to_float(scales[16 * g + t]), s[t]);
        }
    }
}

static void raise_max(const AttnArgs *a, Softmax *m, const float s[16], int from, int n) {
    float max = m->max;
    for (int t = from; t < n; t++) max = s[t] > max ? s[t] : max;
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
    Query8 q8;
    *m = (Softmax){.max = -INFINITY};
    if (type == KV_Q8_0) quantize_query(q, a->head_dim, &q8);
    int unseen = a->window && n_keys > a->window ? n_keys - a->window : 0;
    for (int first = unseen / 16 * 16; first < n_keys; first += 16) {
        const uint16_t *keys = a->kv + (size_t)a->blocks[first / 16] * a->block_stride;
        int from = unseen > first ? unseen - first : 0, n = n_keys - first < 16 ? n_keys - first : 16;
        float s[16];
        if (type == KV_F16)
            score_f16(a, q, keys, n, s);
        else
            score_q8(a, &q8, (const int8_t *)keys, n, s);
        raise_max(a, m, s, from, n);
        for (int t = from; t < n; t++) {
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

// n numbers to q; returns their scale.
static uint16_t quantize(const float *x, int n, int8_t *q) {
    float max = 0;
    for (int i = 0; i < n; i++) max = fabsf(finite(x[i])) > max ? fabsf(finite(x[i])) : max;
    uint16_t scale = float_to_half(max / 127.0f);
    float inverse = scale ? 1.0f / half_to_float(scale) : 0;
    for (int i = 0; i < n; i++) {
        float v = nearbyintf(finite(x[i]) * inverse);
        v = v > 127 ? 127 : v; // the scale may have been rounded down
        q[i] = (int8_t)(v > -127 ? v : -127);
    }
    return scale;
}

void scalar_kv_write_q8(const float *key, const float *value, int head_dim, uint16_t *block, int slot) {
    kv_q8_write(quantize, key, value, head_dim, block, slot);
}
