// Norm, rotation, SwiGLU, KV writes, collecting and weighing: every tail, bit-equal to the scalar rung; the
// first two also close to the formula in doubles.
#include "kcheck.h"

#include "kernels/exp.h"
#include "kernels/weigh.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int long_n[] = {64, 100, 576, 1023, 1024};

static int next_n(int i) { // 1 … 40, then the long ones; 0 ends
    return i < 40 ? i + 1 : i < 45 ? long_n[i - 40] : 0;
}

static float *row_new(Case *c, RowStyle style, int n) {
    float *x = guard_new(c, 4 * (size_t)n);
    rand_row(&c->rng, style, x, n);
    return x;
}

static void compare_norm(Case *c, RowStyle style, int n, float eps) {
    case_at(c, "n=%d style=%d eps=%g", n, (int)style, (double)eps);
    const float *x = row_new(c, style, n), *w = row_new(c, ROW_NORMAL, n);
    guard_freeze(x);
    guard_freeze(w);
    float *want = guard_new(c, 4 * (size_t)n), *got = guard_new(c, 4 * (size_t)n);
    c->scalar->rms_norm(x, w, eps, n, want);
    c->kernels->rms_norm(x, w, eps, n, got);
    case_same(c, "norm", want, got, (size_t)n);
    guard_release(c);
}

static void body_norm_tails(Case *c) {
    for (int i = 0, n; (n = next_n(i)); i++) compare_norm(c, i % 3 ? ROW_NORMAL : ROW_OUTLIER, n, 1e-5f);
}

static void body_norm_extremes(Case *c) {
    for (int style = 0; style <= ROW_HUGE; style++)
        for (int i = 0; i < 12; i++) compare_norm(c, (RowStyle)style, next_n(4 * i), i % 2 ? 1e-6f : 0);
}

// Sum, mean, root, reciprocal and two products: the sum's n / 16 + 4 roundings count half.
static void body_norm_oracle(Case *c) {
    for (int i = 0, n; (n = next_n(i)); i++) {
        const float eps = 1e-5f;
        case_at(c, "n=%d", n);
        const float *x = row_new(c, i % 2 ? ROW_NORMAL : ROW_LARGE, n), *w = row_new(c, ROW_NORMAL, n);
        float *y = guard_new(c, 4 * (size_t)n);
        double squares = 0;
        for (int j = 0; j < n; j++) squares += (double)x[j] * (double)x[j];
        double scale = 1 / sqrt(squares / n + (double)eps);
        c->kernels->rms_norm(x, w, eps, n, y);
        for (int j = 0; j < n; j++) {
            double want = (double)x[j] * scale * (double)w[j];
            if (fabs((double)y[j] - want) <= fabs(want) * (n / 16 + 16) * 0x1p-24 + 1e-38) continue;
            case_fail(c, "y[%d]=%.9g, exactly %.17g", j, (double)y[j], want);
            break;
        }
        guard_release(c);
    }
}

// The gates: silu_mul and gelu_mul.
typedef enum Gate { GATE_SILU, GATE_GELU, N_GATES } Gate;

static void gate_mul(const Kernels *k, Gate which, float *gate, const float *up, int n) {
    (which == GATE_SILU ? k->silu_mul : k->gelu_mul)(gate, up, n);
}

static void compare_gate(Case *c, Gate which, const float *gate, const float *up, int n) {
    size_t bytes = 4 * (size_t)n;
    float *want = guard_new(c, bytes), *got = guard_new(c, bytes);
    memcpy(want, gate, bytes);
    memcpy(got, gate, bytes);
    gate_mul(c->scalar, which, want, up, n);
    gate_mul(c->kernels, which, got, up, n);
    case_same(c, "a gate", want, got, (size_t)n);
}

static void body_gate_tails(Case *c) {
    for (int style = 0; style <= ROW_HUGE; style++)
        for (int i = 0, n; (n = next_n(i)); i++) {
            float *gate = row_new(c, (RowStyle)style, n), *up = row_new(c, ROW_NORMAL, n);
            guard_freeze(gate);
            guard_freeze(up);
            for (int which = 0; which < N_GATES; which++) {
                case_at(c, "n=%d style=%d gate=%d", n, style, which);
                compare_gate(c, (Gate)which, gate, up, n);
            }
            guard_release(c);
        }
}

// The whole range of exp and beyond, infinities and a NaN included: this is where the exp of a vector
// rung is held to exp_scalar.
static void body_gate_sweep(Case *c) {
    enum { N = 65536 };
    for (int round = 0; round < 4; round++) {
        float *gate = guard_new(c, 4 * N), *up = guard_new(c, 4 * N);
        for (int i = 0; i < N; i++) {
            gate[i] = (float)(-95 + 190 * (i + rng_uniform(&c->rng)) / N);
            if (round == 3) gate[i] = float_from_bits((uint32_t)rng_next(&c->rng));
            up[i] = 1;
        }
        gate[7] = INFINITY;
        gate[1000] = -INFINITY;
        gate[2000] = NAN;
        gate[3000] = -0.0f;
        for (int which = 0; which < N_GATES; which++) {
            case_at(c, "round=%d gate=%d", round, which);
            compare_gate(c, (Gate)which, gate, up, N);
        }
        guard_release(c);
    }
}

// What exp is taken of, negated.
static double gate_exponent(Gate which, double g) {
    return which == GATE_SILU ? g : 2 * sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g);
}

// The exponent's own rounding weighs as much as it is large. Clamping keeps exp(88) where more is due: an
// error of at most |gate * up| * exp(-88).
static void body_gate_oracle(Case *c) {
    enum { N = 20000 };
    float *gate = guard_new(c, 4 * N), *up = row_new(c, ROW_NORMAL, N), *y = guard_new(c, 4 * N);
    for (int which = 0; which < N_GATES; which++) {
        double end = which == GATE_SILU ? 120 : 12, rounding = which == GATE_SILU ? 0 : 0x1p-22;
        for (int i = 0; i < N; i++) y[i] = gate[i] = (float)(-end + 2 * end * i / N);
        gate_mul(c->kernels, (Gate)which, y, up, N);
        for (int i = 0; i < N; i++) {
            double g = (double)gate[i], x = gate_exponent((Gate)which, g),
                   want = g / (1 + exp(-x)) * (double)up[i];
            double tolerance =
                fabs(want) * (4e-7 + rounding * fabs(x)) + fabs(g * (double)up[i]) * 6.1e-39 + 0x1p-148;
            if (fabs((double)y[i] - want) <= tolerance) continue;
            case_at(c, "gate=%g up=%g which=%d", g, (double)up[i], which);
            case_fail(c, "%.9g, exactly %.17g", (double)y[i], want);
            return;
        }
    }
}

// Every number of pairs, both pairings: as scalar turns them, and close to the formula.
static void body_rope(Case *c) {
    for (int n = 1; n <= 128; n += n < 40 ? 1 : 8)
        for (int halves = 0; halves < 2; halves++) {
            case_at(c, "n_pairs=%d halves=%d", n, halves);
            size_t bytes = 4 * (size_t)(2 * n);
            float *want = row_new(c, n % 5 ? ROW_NORMAL : ROW_MIXED, 2 * n), *got = guard_new(c, bytes);
            float *head = guard_new(c, bytes), *table = row_new(c, ROW_NORMAL, 2 * n);
            memcpy(got, want, bytes);
            memcpy(head, want, bytes);
            guard_freeze(table);
            c->scalar->rope(want, table, n, halves);
            c->kernels->rope(got, table, n, halves);
            case_same(c, "rope", want, got, 2 * (size_t)n);
            for (int i = 0; i < n; i++) {
                int at_x = halves ? i : 2 * i, at_y = halves ? n + i : 2 * i + 1;
                double x = (double)head[at_x], y = (double)head[at_y], cs = (double)table[i],
                       sn = (double)table[n + i];
                double size = (fabs(x) + fabs(y)) * (fabs(cs) + fabs(sn)) * 0x1p-23 + 1e-37;
                if (fabs((double)got[at_x] - (x * cs - y * sn)) <= size &&
                    fabs((double)got[at_y] - (x * sn + y * cs)) <= size)
                    continue;
                case_fail(c, "pair %d became %g, %g", i, (double)got[at_x], (double)got[at_y]);
                break;
            }
            guard_release(c);
        }
}

static int8_t quant_of(double x, double scale) {
    return (int8_t)(scale > 0 ? fmin(fmax(nearbyint(x / scale), -127), 127) : 0);
}

// Half a step of the scale away from the number at most, but for the rounding of scale and reciprocal.
static void check_quants(Case *c, const float *key, int hd, const uint16_t *block, int slot) {
    const int8_t *keys = (const int8_t *)block;
    for (int d = 0; d < hd; d++) {
        double scale = oracle_half(kv_q8_key_scales(keys, hd)[d / KV_GROUP * 16 + slot]);
        double x = key[d] != key[d] ? 65504 : fmin(fmax((double)key[d], -65504), 65504);
        if (abs(keys[kv_q8_key_at(d, slot)] - quant_of(x, scale)) <= 1) continue;
        case_fail(c, "key[%d]=%g became %d of %g", d, x, keys[kv_q8_key_at(d, slot)], scale);
        return;
    }
}

static void compare_kv_write(Case *c, KvType type, int hd, int slot) {
    RowStyle style = (RowStyle)(slot % (ROW_HUGE + 1));
    size_t bytes = kv_head_units(type, hd) * sizeof(uint16_t);
    case_at(c, "kv_type=%d head_dim=%d slot=%d style=%d", (int)type, hd, slot, (int)style);
    float *key = row_new(c, style, hd), *value = row_new(c, style, hd);
    if (slot % 2 == 0) {
        key[3] = NAN;
        value[5] = INFINITY;
        value[6] = -1e30f;
    }
    uint16_t *want = guard_new(c, bytes), *got = guard_new(c, bytes);
    memset(want, 0x5A, bytes);
    memset(got, 0x5A, bytes);
    c->scalar->kv[type].write(key, value, hd, want, slot);
    c->kernels->kv[type].write(key, value, hd, got, slot);
    case_same_bytes(c, "block", want, got, bytes);
    if (type == KV_Q8_0)
        check_quants(c, key, hd, got, slot);
    else if (slot % 2 == 0 && got[16 * 3 + slot] != 0x7BFF)
        case_fail(c, "a NaN became %04x", got[16 * 3 + slot]);
    guard_release(c);
}

// Every slot and head size: the key's column, the value's row and their scales, and nothing else, as scalar
// writes them.
static void body_kv_write(Case *c) {
    for (int type = 0; type < N_KV_TYPES; type++)
        for (int hd = 16; hd <= ATTN_MAX_HEAD_DIM; hd += hd < 128 ? 16 : 64)
            for (int slot = 0; slot < 16; slot++) compare_kv_write(c, (KvType)type, hd, slot);
}

// Few hits, many, all and none; ties with the threshold, infinities, NaN; every start and tail.
static void body_collect(Case *c) {
    static const float thresholds[] = {-INFINITY, -1, 0, 0.5f, 2, INFINITY};
    for (int i = 0, n; (n = next_n(i)); i++)
        for (size_t t = 0; t < sizeof thresholds / sizeof thresholds[0]; t++) {
            int from = n > 3 ? i % 3 : 0;
            size_t room = ((size_t)(n - from) + 15) / 16 * 16 * sizeof(int32_t);
            case_at(c, "from=%d to=%d threshold=%g", from, n, (double)thresholds[t]);
            float *x = row_new(c, ROW_NORMAL, n);
            for (int j = 0; j < n; j += 5) x[j] = thresholds[(size_t)j % 6];
            x[n / 2] = NAN;
            guard_freeze(x);
            int32_t *want = guard_new(c, room), *got = guard_new(c, room);
            int n_want = c->scalar->collect(x, from, n, thresholds[t], want);
            int n_got = c->kernels->collect(x, from, n, thresholds[t], got);
            if (n_want != n_got) case_fail(c, "%d found, not %d", n_got, n_want);
            case_same_bytes(c, "indices", want, got, (size_t)n_want * sizeof *want);
            int at = 0;
            for (int j = from; j < n; j++)
                if (x[j] >= thresholds[t] && (at >= n_got || got[at++] != j))
                    case_fail(c, "index %d missing", j);
            guard_release(c);
        }
}

// Whole blocks of logits with all that a model may produce: cleaned and weighed to the scalar bits, and the
// weights are powers of two.
static void body_weigh(Case *c) {
    enum { N_BLOCKS = 5, N = N_BLOCKS * LOGITS_BLOCK };
    for (int round = 0; round < 40; round++) {
        case_at(c, "round=%d", round);
        float *logits = row_new(c, (RowStyle)(round % (ROW_HUGE + 1)), N);
        logits[1] = NAN;
        logits[2] = -0.0f;
        logits[70] = round % 3 ? INFINITY : 1;
        logits[140] = -INFINITY;
        guard_freeze(logits);
        float *x[2], *w[2], *block_max[2], scale = (float)(0.01 + 3 * rng_uniform(&c->rng));
        double *block_sum[2], total[2], from[2];
        for (int i = 0; i < 2; i++) {
            const Kernels *k = i ? c->kernels : c->scalar;
            x[i] = guard_new(c, 4 * N), w[i] = guard_new(c, 4 * N);
            block_max[i] = guard_new(c, 4 * N_BLOCKS), block_sum[i] = guard_new(c, 8 * N_BLOCKS);
            k->clean(logits, N_BLOCKS, x[i], block_max[i]);
            float max = block_max[i][0];
            for (int b = 1; b < N_BLOCKS; b++) max = block_max[i][b] > max ? block_max[i][b] : max;
            total[i] = k->weigh(x[i], N_BLOCKS, max, scale, w[i], block_sum[i]);
            from[i] = k->sum_from(x[i], w[i], block_max[i], N_BLOCKS, x[i][N / 3]);
            double want_from = 0;
            for (int j = 0; j < N; j++) want_from += x[i][j] >= x[i][N / 3] ? (double)w[i][j] : 0;
            if (fabs(from[i] - want_from) > want_from * 1e-6)
                case_fail(c, "sum %g, not %g", from[i], want_from);
            for (int j = 0; j < N; j++) {
                double t = (double)((x[i][j] - max) * scale), want = t > (double)LOGITS_LEAST ? exp2(t) : 0;
                if (fabs((double)w[i][j] - want) > want * 4e-7)
                    case_fail(c, "2^%g is %g", t, (double)w[i][j]);
            }
        }
        case_same_bytes(c, "cleaned", x[0], x[1], 4 * N);
        case_same_bytes(c, "maxima", block_max[0], block_max[1], 4 * N_BLOCKS);
        case_same_bytes(c, "weights", w[0], w[1], 4 * N);
        case_same_bytes(c, "sums", block_sum[0], block_sum[1], 8 * N_BLOCKS);
        case_same_bytes(c, "total", &total[0], &total[1], sizeof total[0]);
        case_same_bytes(c, "sum from a logit", &from[0], &from[1], sizeof from[0]);
        guard_release(c);
    }
}

void check_elem(Session *s, const Kernels *k) {
    session_run(s, k, -1, -1, "rms_norm", "tails", body_norm_tails);
    session_run(s, k, -1, -1, "rms_norm", "extremes", body_norm_extremes);
    session_run(s, k, -1, -1, "rms_norm", "oracle", body_norm_oracle);
    session_run(s, k, -1, -1, "gates", "tails", body_gate_tails);
    session_run(s, k, -1, -1, "gates", "sweep", body_gate_sweep);
    session_run(s, k, -1, -1, "gates", "oracle", body_gate_oracle);
    session_run(s, k, -1, -1, "rope", "pairs", body_rope);
    session_run(s, k, -1, -1, "kv_write", "slots", body_kv_write);
    session_run(s, k, -1, -1, "collect", "tails", body_collect);
    session_run(s, k, -1, -1, "weigh", "blocks", body_weigh);
}
