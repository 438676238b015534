// Attention: scattered blocks, every head size and group, a query alone and in company, garbage in
// places that no query sees, and softmax in doubles; for every KV type.
#include "kcheck.h"

#include "kernels/attn_merge.h"
#include "kernels/half.h"

#include <math.h>
#include <string.h>

typedef enum KvStyle {
    KV_NORMAL,
    KV_PEAKED,
    KV_EQUAL,
    KV_RISING,
    KV_LARGE,
    KV_SHRINKING,
    N_KV_STYLES
} KvStyle;

enum { MAX_BLOCKS = 160 };

typedef struct Shape {
    int head_dim, n_q, group, n_keys;
    KvStyle style;
} Shape;

typedef struct Problem {
    KvType type;
    AttnArgs a;
    uint16_t *kv; // writable view of a.kv
    int32_t *blocks;
    int n_rows, n_visible, n_blocks, n_pool; // n_visible: keys that the last row sees
    size_t out_floats;
} Problem;

static int visible_to(const AttnArgs *a, int query) {
    return a->n_keys + query / a->group;
}

// The first key that the window leaves to a query.
static int first_seen(const AttnArgs *a, int query) {
    int n = visible_to(a, query);
    return a->window && n > a->window ? n - a->window : 0;
}

static uint16_t *block_of(const Problem *p, int token) {
    return p->kv + (size_t)p->blocks[token / 16] * p->a.block_stride;
}

// The element of a key or value, counted from where its head's part of the block begins.
static int element_at(const Problem *p, bool of_value, int token, int d) {
    int hd = p->a.head_dim;
    if (of_value) return 16 * hd + token % 16 * hd + d;
    return p->type == KV_F16 ? 16 * d + token % 16 : kv_q8_key_at(d, token % 16);
}

static uint16_t *scale_at(const Problem *p, bool of_value, int token, int d) {
    uint16_t *scales = block_of(p, token) + 16 * p->a.head_dim;
    if (of_value) scales += 16 * kv_groups(p->a.head_dim);
    return scales + d / KV_GROUP * 16 + token % 16;
}

static double number_at(const Problem *p, bool of_value, int token, int d) {
    int at = element_at(p, of_value, token, d);
    if (p->type == KV_F16) return oracle_half(block_of(p, token)[at]);
    return ((const int8_t *)block_of(p, token))[at] * oracle_half(*scale_at(p, of_value, token, d));
}

static void put_bits(const Problem *p, bool of_value, int token, int d, uint16_t bits) {
    int at = element_at(p, of_value, token, d);
    if (p->type == KV_F16) {
        block_of(p, token)[at] = bits;
        return;
    }
    ((int8_t *)block_of(p, token))[at] = (int8_t)bits;
    *scale_at(p, of_value, token, d) = bits;
}

// Distinct blocks of the pool in random order; the pool's last one, at the unmapped page, among them.
static void choose_blocks(Case *c, Problem *p) {
    p->blocks = guard_new(c, 4 * (size_t)p->n_blocks);
    int32_t pool[MAX_BLOCKS + 3];
    for (int i = 0; i < p->n_pool; i++) pool[i] = i;
    for (int i = 0; i < p->n_pool; i++) {
        int j = rand_int(&c->rng, i, p->n_pool - 1);
        int32_t taken = pool[j];
        pool[j] = pool[i];
        pool[i] = taken;
    }
    for (int i = p->n_blocks; i < p->n_pool; i++) {
        if (pool[i] != p->n_pool - 1) continue;
        pool[i] = pool[0];
        pool[0] = p->n_pool - 1;
    }
    memcpy(p->blocks, pool, 4 * (size_t)p->n_blocks);
    guard_freeze(p->blocks);
}

static float key_value(Case *c, KvStyle style, int token, int d) {
    switch (style) {
    case KV_PEAKED: return 8 * rand_normal(&c->rng);
    case KV_EQUAL: return (float)(d % 5) - 2;
    case KV_RISING: return (float)token * 0.05f + 0.01f * rand_normal(&c->rng);
    case KV_LARGE: return rand_int(&c->rng, 0, 3) ? rand_normal(&c->rng) : 200 * rand_normal(&c->rng);
    case KV_SHRINKING: return 20 - (float)token * 0.3f + 0.01f * rand_normal(&c->rng);
    default: return rand_normal(&c->rng);
    }
}

static void fill_kv(Case *c, Problem *p, KvStyle style) {
    float key[ATTN_MAX_HEAD_DIM], value[ATTN_MAX_HEAD_DIM];
    for (int t = 0; t < p->n_visible; t++) {
        for (int d = 0; d < p->a.head_dim; d++) {
            key[d] = key_value(c, style, t, d);
            value[d] = rand_normal(&c->rng) * (style == KV_LARGE ? 15000.0f : 1.0f);
        }
        c->scalar->kv[p->type].write(key, value, p->a.head_dim, block_of(p, t), t % 16);
    }
}

static void fill_queries(Case *c, Problem *p, KvStyle style) {
    AttnArgs *a = &p->a;
    float *q = guard_new(c, 4 * ((size_t)(a->n_q - 1) * a->q_stride + (size_t)a->head_dim));
    float scale = 1 / sqrtf((float)a->head_dim);
    bool positive = style == KV_RISING || style == KV_SHRINKING;
    for (int i = 0; i < a->n_q; i++)
        for (int d = 0; d < a->head_dim; d++) {
            float v = rand_normal(&c->rng) * scale;
            q[(size_t)i * a->q_stride + (size_t)d] = positive ? fabsf(v) : v;
        }
    guard_freeze(q);
    a->q = q;
}

// Where nobody looks there is `garbage`: in lanes behind the last visible key and in blocks not listed.
static void fill_invisible(Problem *p, uint16_t garbage) {
    for (int t = p->n_visible; t < p->n_blocks * 16; t++)
        for (int d = 0; d < p->a.head_dim; d++)
            for (int v = 0; v < 2; v++) put_bits(p, v, t, d, garbage);
}

static Problem problem_new(Case *c, KvType type, Shape s) {
    Problem p = {.type = type};
    AttnArgs *a = &p.a;
    size_t hd = (size_t)s.head_dim, units = kv_head_units(type, s.head_dim);
    case_at(c, "kv_type=%d head_dim=%d n_q=%d group=%d n_keys=%d style=%d", (int)type, s.head_dim, s.n_q,
            s.group, s.n_keys, (int)s.style);
    *a = (AttnArgs){.n_q = s.n_q, .group = s.group, .head_dim = s.head_dim, .n_keys = s.n_keys};
    a->q_stride = hd + (size_t)rand_int(&c->rng, 0, 20);
    a->out_stride = hd + (size_t)rand_int(&c->rng, 0, 20);
    a->block_stride = units + 32 * (size_t)rand_int(&c->rng, 0, 4);
    p.n_visible = visible_to(a, s.n_q - 1);
    p.n_blocks = (p.n_visible + 15) / 16;
    p.n_pool = p.n_blocks + 3;
    CHECK(p.n_blocks <= MAX_BLOCKS);
    size_t elements = (size_t)(p.n_pool - 1) * a->block_stride + units;
    p.kv = guard_new(c, 2 * elements);
    for (size_t i = 0; i < elements; i++) p.kv[i] = 0x7E01; // NaN
    choose_blocks(c, &p);
    fill_kv(c, &p, s.style);
    fill_queries(c, &p, s.style);
    p.out_floats = (size_t)(s.n_q - 1) * a->out_stride + hd;
    a->kv = p.kv;
    a->blocks = p.blocks;
    return p;
}

// max and sum: NULL for finished outputs.
static float *run_part(Case *c, const Kernels *k, const Problem *p, const AttnArgs *a, float *max,
                       float *sum) {
    AttnArgs args = *a;
    size_t n = (size_t)(a->n_q - 1) * a->out_stride + (size_t)a->head_dim;
    float *out = guard_new(c, 4 * n);
    const float canary = -12345.5f;
    for (size_t i = 0; i < n; i++) out[i] = canary;
    args.out = out;
    if (max)
        k->kv[p->type].attention_part(&args, max, sum);
    else
        k->kv[p->type].attention(&args);
    for (size_t i = 0; i < n; i++)
        if ((int)(i % a->out_stride) >= p->a.head_dim && !same_bits(out[i], canary)) {
            case_fail(c, "wrote behind query %zu", i / a->out_stride);
            break;
        }
    return out;
}

static float *run(Case *c, const Kernels *k, const Problem *p, const AttnArgs *a) {
    return run_part(c, k, p, a, NULL, NULL);
}

// One segment is what the whole is, before the last division.
static void compare_part_of_one(Case *c, const Problem *p, const float *want) {
    size_t bytes = 4 * (size_t)p->a.n_q, hd = (size_t)p->a.head_dim;
    float *max = guard_new(c, bytes), *sum = guard_new(c, bytes);
    float *want_max = guard_new(c, bytes), *want_sum = guard_new(c, bytes);
    run_part(c, c->scalar, p, &p->a, want_max, want_sum);
    float *got = run_part(c, c->kernels, p, &p->a, max, sum);
    case_same(c, "maxima", want_max, max, (size_t)p->a.n_q);
    case_same(c, "sums", want_sum, sum, (size_t)p->a.n_q);
    for (int i = 0; i < p->a.n_q; i++) {
        float *acc = got + (size_t)i * p->a.out_stride;
        attn_finish(&(AttnPart){max[i], sum[i], acc}, p->a.head_dim);
        if (!case_same(c, "a part, finished", want + (size_t)i * p->a.out_stride, acc, hd)) break;
    }
}

static void compare_windowed(Case *c, Shape s, int window) {
    for (int type = 0; type < N_KV_TYPES; type++) {
        Problem p = problem_new(c, (KvType)type, s);
        p.a.window = window;
        guard_freeze(p.kv);
        float *want = run(c, c->scalar, &p, &p.a), *got = run(c, c->kernels, &p, &p.a);
        case_same(c, "attention", want, got, p.out_floats);
        compare_part_of_one(c, &p, want);
        guard_release(c);
    }
}

static void compare(Case *c, Shape s) {
    compare_windowed(c, s, 0);
}

static void body_heads(Case *c) {
    for (int head_dim = 16; head_dim <= 256; head_dim += 16)
        for (int style = 0; style < N_KV_STYLES; style++)
            compare(c, (Shape){head_dim, rand_int(&c->rng, 1, 16), rand_int(&c->rng, 1, 4),
                               rand_int(&c->rng, 1, 70), (KvStyle)style});
}

static void body_queries(Case *c) {
    for (int n_q = 1; n_q <= ATTN_MAX_QUERIES; n_q++)
        for (int group = 1; group <= 4; group++) {
            compare(c, (Shape){32, n_q, group, 1 + (n_q * 5 + group) % 40, KV_NORMAL});
            compare(c, (Shape){64, n_q, group, 17 - group, KV_PEAKED});
        }
}

static void body_keys(Case *c) {
    for (int n_keys = 1; n_keys <= 100; n_keys++)
        compare(c, (Shape){16 * rand_int(&c->rng, 1, 4), rand_int(&c->rng, 1, 9), rand_int(&c->rng, 1, 4),
                           n_keys, (KvStyle)(n_keys % N_KV_STYLES)});
}

// Rows of a call whose windows begin in different blocks, before the first key, or with their own.
static void body_windows(Case *c) {
    for (int window = 1; window <= 80; window++)
        for (int i = 0; i < 4; i++)
            compare_windowed(c,
                             (Shape){16 * rand_int(&c->rng, 1, 4), rand_int(&c->rng, 1, 16),
                                     rand_int(&c->rng, 1, 3), rand_int(&c->rng, 1, 120),
                                     (KvStyle)rand_int(&c->rng, 0, N_KV_STYLES - 1)},
                             window);
}

static void body_long(Case *c) {
    static const int lengths[] = {511, 1024, 2047};
    for (int i = 0; i < 3; i++)
        for (int style = 0; style < N_KV_STYLES; style++)
            compare(c, (Shape){32, 3 + i, 2, lengths[i], (KvStyle)style});
}

// A dimension of a query as the scores take it.
static double query_number(const Problem *p, const float *q, int d) {
    if (p->type == KV_F16) return q[d];
    int from = d / KV_GROUP * KV_GROUP, to = from + KV_GROUP;
    float max = 0;
    for (int i = from; i < to && i < p->a.head_dim; i++) max = fabsf(q[i]) > max ? fabsf(q[i]) : max;
    return nearbyint((double)(q[d] * (127.0f / max))) * (double)max / 127;
}

// Softmax of one query in doubles; *worst is the largest error that rounding the scores can make.
static void softmax(const Problem *p, int query, double *weights, double *worst) {
    const AttnArgs *a = &p->a;
    const float *q = a->q + (size_t)query * a->q_stride;
    double max = -INFINITY, total = 0;
    *worst = 0;
    for (int t = 0; t < visible_to(a, query); t++) weights[t] = 0;
    for (int t = first_seen(a, query); t < visible_to(a, query); t++) {
        double magnitude = 0;
        for (int d = 0; d < a->head_dim; d++) {
            double product = query_number(p, q, d) * number_at(p, false, t, d);
            weights[t] += product;
            magnitude += fabs(product);
        }
        max = fmax(max, weights[t]);
        *worst = fmax(*worst, magnitude * (a->head_dim + 1 + kv_groups(a->head_dim)) * 0x1p-24);
    }
    for (int t = first_seen(a, query); t < visible_to(a, query); t++)
        total += weights[t] = exp(weights[t] - max);
    for (int t = first_seen(a, query); t < visible_to(a, query); t++) weights[t] /= total;
}

// A weight's relative error: that of its score and of the maximum, of the difference (up to 88 matters),
// of exp, and of one more exp whenever a block raises the maximum or parts are merged; numerator and
// denominator alike.
static void compare_oracle(Case *c, const Problem *p, int query, const float *got) {
    static double weights[MAX_BLOCKS * 16];
    double worst;
    softmax(p, query, weights, &worst);
    int n = visible_to(&p->a, query);
    double relative = 2 * (2 * worst + 88 * 0x1p-24 + (p->n_blocks + 1) * 4e-7 + (n + 8) * 0x1p-24);
    for (int d = 0; d < p->a.head_dim; d++) {
        double want = 0, magnitude = 0;
        for (int t = 0; t < n; t++) {
            double term = weights[t] * number_at(p, true, t, d);
            want += term;
            magnitude += fabs(term);
        }
        if (fabs((double)got[d] - want) <= relative * magnitude + 1e-30) continue;
        case_fail(c, "query %d dimension %d is %.9g, exactly %.17g", query, d, (double)got[d], want);
        return;
    }
}

static void body_oracle(Case *c) {
    for (int i = 0; i < 96; i++) {
        Problem p = problem_new(
            c, (KvType)(i % N_KV_TYPES),
            (Shape){16 * rand_int(&c->rng, 1, 8), rand_int(&c->rng, 1, 8), rand_int(&c->rng, 1, 4),
                    i % 16 >= 14 ? 700 : rand_int(&c->rng, 1, 90), (KvStyle)(i / 2 % N_KV_STYLES)});
        if (i % 8 >= 6) p.a.window = rand_int(&c->rng, 1, 100);
        float *out = run(c, c->kernels, &p, &p.a);
        for (int j = 0; j < p.a.n_q; j++) compare_oracle(c, &p, j, out + (size_t)j * p.a.out_stride);
        guard_release(c);
    }
}

// One query over segments of ATTN_SEGMENT keys, merged in order.
static void merge_segments(Case *c, const Problem *p, float *out) {
    AttnPart all = {0};
    for (int first = 0; first < p->a.n_keys; first += ATTN_SEGMENT) {
        AttnArgs a = p->a;
        int left = p->a.n_keys - first;
        a.blocks += first / 16;
        a.n_keys = left < ATTN_SEGMENT ? left : ATTN_SEGMENT;
        AttnPart part;
        part.acc = run_part(c, c->kernels, p, &a, &part.max, &part.sum);
        if (first == 0)
            all = part;
        else
            attn_merge(&all, &part, p->a.head_dim);
    }
    attn_finish(&all, p->a.head_dim);
    memcpy(out, all.acc, (size_t)p->a.head_dim * sizeof *out);
}

static void body_segments(Case *c) {
    static const int lengths[] = {1024, 1025, 2048, 2500};
    for (int i = 0; i < 4; i++)
        for (int style = 0; style < N_KV_STYLES; style++)
            for (int type = 0; type < N_KV_TYPES; type++) {
                float out[ATTN_MAX_HEAD_DIM];
                Problem p = problem_new(c, (KvType)type, (Shape){48, 1, 1, lengths[i], (KvStyle)style});
                merge_segments(c, &p, out);
                compare_oracle(c, &p, 0, out);
                guard_release(c);
            }
}

// Any run of queries [first, first + n) of a call where every row has one query gives the same as all.
static void compare_part(Case *c, const Problem *p, const float *all, int first, int n) {
    AttnArgs a = p->a;
    a.q += (size_t)first * a.q_stride;
    a.n_q = n;
    if (n == 1) { // alone: in whatever row it was
        a.n_keys = visible_to(&p->a, first);
        a.group = 1;
    } else {
        CHECK(first % a.group == 0);
        a.n_keys += first / a.group;
    }
    float *out = run(c, c->kernels, p, &a);
    for (int i = 0; i < n; i++)
        if (!case_same(c, n == 1 ? "a query alone" : "some queries", all + (size_t)(first + i) * a.out_stride,
                       out + (size_t)i * a.out_stride, (size_t)a.head_dim))
            break;
}

static void body_company(Case *c) {
    for (int i = 0; i < 80; i++) {
        Problem p = problem_new(c, (KvType)(i % N_KV_TYPES),
                                (Shape){16 * rand_int(&c->rng, 1, 6), rand_int(&c->rng, 2, 16),
                                        rand_int(&c->rng, 1, 4), rand_int(&c->rng, 1, 60),
                                        (KvStyle)(i / 2 % N_KV_STYLES)});
        if (i % 8 >= 6) p.a.window = rand_int(&c->rng, 1, 40);
        fill_invisible(&p, 0xFBFF);
        guard_freeze(p.kv);
        float *all = run(c, c->kernels, &p, &p.a);
        for (int j = 0; j < p.a.n_q; j++) compare_part(c, &p, all, j, 1);
        for (int j = 0; j < p.a.n_q; j += p.a.group) compare_part(c, &p, all, j, p.a.n_q - j);
        guard_release(c);
    }
}

// Garbage behind the last key of the call may be anything; for a query that sees less than the others,
// what follows its own last key may be any finite number.
static void body_garbage(Case *c) {
    static const uint16_t garbage[] = {0x0000, 0x7E00, 0x7D55, 0xFC00, 0x7C00, 0x7BFF, 0xFBFF};
    for (int i = 0; i < 80; i++) {
        Problem p = problem_new(c, (KvType)(i % N_KV_TYPES),
                                (Shape){16 * rand_int(&c->rng, 1, 6), rand_int(&c->rng, 1, 16),
                                        rand_int(&c->rng, 1, 4), rand_int(&c->rng, 1, 40), KV_NORMAL});
        fill_invisible(&p, garbage[0]);
        float *want = run(c, c->kernels, &p, &p.a);
        for (int j = 1; j < 7; j++) {
            fill_invisible(&p, garbage[j]);
            float *got = run(c, c->kernels, &p, &p.a);
            case_same(c, "garbage that nobody sees", want, got, p.out_floats);
        }
        for (int t = p.a.n_keys; t < p.n_visible; t++)
            for (int d = 0; d < p.a.head_dim; d++)
                for (int v = 0; v < 2; v++) put_bits(&p, v, t, d, garbage[rand_int(&c->rng, 5, 6)]);
        float *got = run(c, c->kernels, &p, &p.a);
        int first_row = p.a.n_q < p.a.group ? p.a.n_q : p.a.group;
        for (int j = 0; j < first_row; j++)
            case_same(c, "keys of later rows", want + (size_t)j * p.a.out_stride,
                      got + (size_t)j * p.a.out_stride, (size_t)p.a.head_dim);
        guard_release(c);
    }
}

// Infinities and NaNs among the visible keys mean nothing; nothing is asked but to write outputs only.
static void body_nonfinite(Case *c) {
    for (int i = 0; i < 80; i++) {
        Problem p =
            problem_new(c, (KvType)(i % N_KV_TYPES),
                        (Shape){64, rand_int(&c->rng, 1, 16), 2, rand_int(&c->rng, 1, 40), KV_NORMAL});
        for (int j = 0; j < 1 + i; j++) {
            int t = rand_int(&c->rng, 0, p.n_visible - 1), d = rand_int(&c->rng, 0, 63);
            put_bits(&p, j % 2 == 0, t, d, (uint16_t)(0x7C00 | (rng_next(&c->rng) & 0x8001)));
        }
        guard_freeze(p.kv);
        run(c, c->kernels, &p, &p.a);
        guard_release(c);
    }
}

void check_attn(Session *s, const Kernels *k) {
    session_run(s, k, -1, -1, "attention", "heads", body_heads);
    session_run(s, k, -1, -1, "attention", "queries", body_queries);
    session_run(s, k, -1, -1, "attention", "keys", body_keys);
    session_run(s, k, -1, -1, "attention", "windows", body_windows);
    session_run(s, k, -1, -1, "attention", "long", body_long);
    session_run(s, k, -1, -1, "attention", "oracle", body_oracle);
    session_run(s, k, -1, -1, "attention", "segments", body_segments);
    session_run(s, k, -1, -1, "attention", "company", body_company);
    session_run(s, k, -1, -1, "attention", "garbage", body_garbage);
    session_run(s, k, -1, -1, "attention", "nonfinite", body_nonfinite);
}
