// Matrix products: each rung against the scalar one, a row alone against the row in company, and all
// against a product in doubles.
#include "kcheck.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_K = 1536, MAX_M = 33 };

static const int some_n[] = {1, 5, 15, 16, 17, 33};

// One product. The activations are quantised by the scalar kernel for every rung, so that only the
// product itself is in question; rows of a tile that are not in use hold garbage.
typedef struct Problem {
    int n, k, m;
    size_t stride;
    ActFormat act;
    const uint8_t *rows;                // weights as in a file
    const void *packed, *scalar_packed; // for the rung; for the scalar one
    const void *acts;
    float (*x)[MAX_K];
} Problem;

static int panels_of(int n) {
    return (n + 15) / 16;
}

static void *pack(Case *c, const MatKernel *mat, const Problem *p) {
    size_t row_bytes = weight_row_bytes(c->type, p->k), panel_bytes = mat->panel_bytes(c->type, p->k);
    if (panel_bytes % 64 != 0) case_fail(c, "a panel has %zu bytes, not a multiple of 64", panel_bytes);
    uint8_t *out = guard_new(c, panel_bytes * (size_t)panels_of(p->n));
    for (int i = 0; i < panels_of(p->n); i++) {
        int n_rows = p->n - 16 * i < 16 ? p->n - 16 * i : 16;
        mat->pack(c->type, p->rows + row_bytes * 16 * (size_t)i, n_rows, p->k, out + panel_bytes * (size_t)i);
    }
    guard_freeze(out);
    return out;
}

// Tiles of the given rows of x.
static void *write_acts(Case *c, const Problem *p, const int *which, int m) {
    size_t tile_bytes = act_tile_bytes(p->act, p->k);
    uint8_t *tiles = guard_new(c, tile_bytes * (size_t)((m + ACT_TILE_ROWS - 1) / ACT_TILE_ROWS));
    for (int r = 0; r < m; r++)
        c->scalar->act_write[p->act](p->x[which[r]], p->k, 0, p->k,
                                     tiles + tile_bytes * (size_t)(r / ACT_TILE_ROWS), r % ACT_TILE_ROWS);
    guard_freeze(tiles);
    return tiles;
}

static Problem problem_new(Case *c, int n, int k, int m, WeightStyle weights, RowStyle style) {
    static float x[MAX_M][MAX_K];
    int which[MAX_M];
    Problem p = {.n = n, .k = k, .m = m, .act = c->scalar->mat[c->type].act, .x = x};
    case_at(c, "n=%d k=%d m=%d weights=%d rows=%d", n, k, m, (int)weights, (int)style);
    CHECK(m <= MAX_M && k <= MAX_K);
    p.stride = (size_t)n + (size_t)rand_int(&c->rng, 0, 9);
    uint8_t *rows = guard_new(c, weight_row_bytes(c->type, k) * (size_t)n);
    rand_weights(&c->rng, c->type, weights, n, k, rows);
    guard_freeze(rows);
    p.rows = rows;
    for (int r = 0; r < m; r++) {
        rand_row(&c->rng, style, x[r], k);
        which[r] = r;
    }
    p.packed = pack(c, &c->kernels->mat[c->type], &p);
    p.scalar_packed = pack(c, &c->scalar->mat[c->type], &p);
    p.acts = write_acts(c, &p, which, m);
    return p;
}

static size_t out_floats(const Problem *p, int m) {
    return (size_t)(m - 1) * p->stride + (size_t)p->n;
}

static GemmArgs args_of(const Problem *p, float *out, bool add) {
    return (GemmArgs){.n = p->n,
                      .k = p->k,
                      .panel = 0,
                      .n_panels = panels_of(p->n),
                      .acts = p->acts,
                      .m = p->m,
                      .out = out,
                      .out_stride = p->stride,
                      .add = add};
}

static void run(Case *c, const Kernels *k, const Problem *p, GemmArgs a) {
    a.weights = k == c->scalar ? p->scalar_packed : p->packed;
    k->mat[c->type].gemm(c->type, &a);
}

// Everything that is not an output of the panels asked for must be as it was.
static void check_untouched(Case *c, const Problem *p, const GemmArgs *a, const float *before) {
    int from = a->panel * 16, to = (a->panel + a->n_panels) * 16;
    for (size_t i = 0; i < out_floats(p, a->m); i++) {
        int col = (int)(i % p->stride);
        if (col >= from && col < to && col < p->n) continue;
        if (same_bits(before[i], a->out[i])) continue;
        case_fail(c, "wrote row %zu column %d, outside panels [%d, %d)", i / p->stride, col, a->panel,
                  a->panel + a->n_panels);
        return;
    }
}

static void compare(Case *c, const Problem *p, int panel, int n_panels, bool add) {
    size_t n = out_floats(p, p->m);
    float *before = guard_new(c, 4 * n), *want = guard_new(c, 4 * n), *got = guard_new(c, 4 * n);
    for (size_t i = 0; i < n; i++) before[i] = add ? rand_normal(&c->rng) : NAN;
    memcpy(want, before, 4 * n);
    memcpy(got, before, 4 * n);
    GemmArgs a = args_of(p, want, add);
    a.panel = panel;
    a.n_panels = n_panels;
    run(c, c->scalar, p, a);
    a.out = got;
    run(c, c->kernels, p, a);
    case_same(c, add ? "added product" : "product", want, got, n);
    check_untouched(c, p, &a, before);
}

static int n_some_k(WeightType type) {
    return weight_formats[type].block == 256 ? 4 : 7;
}

static int some_k(WeightType type, int i) {
    static const int small[] = {32, 64, 96, 256, 512, 576, 1536}, large[] = {256, 512, 768, 1536};
    return weight_formats[type].block == 256 ? large[i] : small[i];
}

static void body_shapes(Case *c) {
    int turn = 0;
    for (int i = 0; i < 6; i++)
        for (int m = 1; m <= MAX_M; m = m == 20 ? MAX_M : m + 1, turn++) {
            Problem p = problem_new(c, some_n[i], some_k(c->type, 0), m, WEIGHTS_RANDOM,
                                    turn % 5 == 4 ? ROW_MIXED : ROW_NORMAL);
            compare(c, &p, 0, panels_of(p.n), turn % 2);
            guard_release(c);
        }
}

static void body_depths(Case *c) {
    for (int i = 0; i < n_some_k(c->type); i++)
        for (int j = 0; j < 6; j++) {
            int m = rand_int(&c->rng, 1, 20);
            Problem p = problem_new(c, some_n[rand_int(&c->rng, 0, 5)], some_k(c->type, i), m, WEIGHTS_RANDOM,
                                    j % 2 ? ROW_MIXED : ROW_NORMAL);
            compare(c, &p, 0, panels_of(p.n), j % 2);
            guard_release(c);
        }
}

static void body_panels(Case *c) {
    static const int ranges[][2] = {{0, 1}, {1, 1}, {1, 2}, {2, 2}, {3, 1}, {0, 0}, {2, 0}, {0, 4}};
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 2; j++) {
            Problem p = problem_new(c, 49 + 7 * j, some_k(c->type, 1), j ? 3 : 9, WEIGHTS_RANDOM, ROW_NORMAL);
            compare(c, &p, ranges[i][0], ranges[i][1], i % 2);
            guard_release(c);
        }
}

// Every style of weights with every style of rows: largest sums, zero and negative scales, subnormals.
static void extremes(Case *c, WeightStyle from, WeightStyle to) {
    for (WeightStyle w = from; w < to; w++)
        for (int style = 0; style < N_ROW_STYLES; style++) {
            Problem p = problem_new(c, 17, some_k(c->type, 1), 5, w, (RowStyle)style);
            compare(c, &p, 0, panels_of(p.n), false);
            guard_release(c);
        }
}

static void body_extremes(Case *c) {
    extremes(c, WEIGHTS_RANDOM, N_WEIGHT_STYLES);
}

// Scales that are infinite or no numbers: a hostile file. Same answer (any NaN is a NaN), no crash.
static void body_nonfinite(Case *c) {
    extremes(c, WEIGHTS_NONFINITE_D, (WeightStyle)(WEIGHTS_NONFINITE_D + 1));
}

// Row `r` of the whole batch at place `at` among m others of the batch.
static void compare_moved(Case *c, const Problem *p, const float *batch, int r, int m, int at) {
    Problem moved = *p;
    int which[MAX_M];
    for (int i = 0; i < m; i++) which[i] = i == at ? r : rand_int(&c->rng, 0, p->m - 1);
    moved.acts = write_acts(c, p, which, m);
    moved.m = m;
    case_at(c, "n=%d k=%d row %d of %d moved to %d of %d", p->n, p->k, r, p->m, at, m);
    float *out = guard_new(c, 4 * out_floats(p, m));
    run(c, c->kernels, &moved, args_of(&moved, out, false));
    case_same(c, "row", batch + (size_t)r * p->stride, out + (size_t)at * p->stride, (size_t)p->n);
}

static void body_company(Case *c) {
    for (int i = 0; i < 2; i++) {
        Problem p = problem_new(c, 33, some_k(c->type, i), 20, WEIGHTS_RANDOM, ROW_MIXED);
        float *batch = guard_new(c, 4 * out_floats(&p, p.m));
        run(c, c->kernels, &p, args_of(&p, batch, false));
        guard_freeze(batch);
        for (int r = 0; r < 20; r++) compare_moved(c, &p, batch, r, 1, 0);
    }
    guard_release(c);
    for (int m = 2; m <= 20; m++) {
        Problem p = problem_new(c, 17, some_k(c->type, 0), 20, WEIGHTS_RANDOM, ROW_NORMAL);
        float *batch = guard_new(c, 4 * out_floats(&p, p.m));
        run(c, c->kernels, &p, args_of(&p, batch, false));
        for (int i = 0; i < 3; i++) {
            int r = rand_int(&c->rng, 0, 19);
            compare_moved(c, &p, batch, r, m, rand_int(&c->rng, 0, m - 1));
        }
        guard_release(c);
    }
}

// Panels must not depend on what was in the buffer, nor partly filled ones on other rows.
static void body_pack(Case *c) {
    const MatKernel *mat = &c->kernels->mat[c->type];
    for (int i = 0; i < n_some_k(c->type); i++)
        for (int n = 1; n <= 16; n += 3) {
            int k = some_k(c->type, i);
            case_at(c, "n=%d k=%d", n, k);
            size_t bytes = mat->panel_bytes(c->type, k);
            uint8_t *rows = guard_new(c, weight_row_bytes(c->type, k) * (size_t)n);
            uint8_t *a = guard_new(c, bytes), *b = guard_new(c, bytes);
            rand_weights(&c->rng, c->type, WEIGHTS_RANDOM, n, k, rows);
            guard_freeze(rows);
            memset(b, 0, bytes);
            mat->pack(c->type, rows, n, k, a);
            mat->pack(c->type, rows, n, k, b);
            case_same_bytes(c, "panel written over garbage", b, a, bytes);
            guard_release(c);
        }
}

// The value of q and the scale that a tile holds for row r, column i.
static double act_value(const Problem *p, int r, int i, double *scale) {
    const char *tile = (const char *)p->acts + (size_t)(r / ACT_TILE_ROWS) * act_tile_bytes(p->act, p->k);
    *scale = 1;
    if (p->act == ACT_F32) return (double)((const float *)tile)[act_at(ACT_F32, i, r % ACT_TILE_ROWS)];
    *scale = (double)act_scales(tile, p->k)[i / act_block(p->act) * ACT_TILE_ROWS + r % ACT_TILE_ROWS];
    return ((const int8_t *)tile)[act_at(p->act, i, r % ACT_TILE_ROWS)];
}

// Adds one block to the exact product and to the sum of magnitudes of all its terms.
static void add_block(const Problem *p, const OracleBlock *b, int size, int r, int from, double *sum,
                      double *terms) {
    for (int i = 0; i < size;) {
        double scale = 1, dot = 0, total = 0;
        int j = i / b->sub;
        for (int end = i + b->sub < size ? i + b->sub : size; i < end; i++) {
            double q = act_value(p, r, from + i, &scale);
            dot += b->quant[i] * q;
            total += q;
        }
        double product = b->scale[j] * dot * scale, minimum = b->minimum[j] * total * scale;
        *sum += product + minimum;
        *terms += fabs(product) + fabs(minimum);
    }
}

// An output is a chain of fused steps over terms that are exact up to two roundings each: with n steps the
// error is at most (n + 4) u times the sum of the terms' magnitudes (u = 2^-24), doubled for second orders,
// plus what underflow may lose.
static double tolerance(WeightType type, int k, double terms) {
    const WeightFormat *f = &weight_formats[type];
    int steps = f->block == 1 ? k : f->block == 32 ? 2 * (k / 32) : 256 / f->sub + 2 + k / 256;
    return 2 * (steps + 4) * 0x1p-24 * terms + (k + 4) * 0x1p-126;
}

static void compare_oracle(Case *c, const Problem *p, const float *out) {
    const WeightFormat *f = &weight_formats[c->type];
    size_t row_bytes = weight_row_bytes(c->type, p->k);
    double sums[MAX_M], terms[MAX_M];
    OracleBlock b;
    for (int n = 0; n < p->n; n++) {
        for (int r = 0; r < p->m; r++) sums[r] = terms[r] = 0;
        for (int from = 0; from < p->k; from += f->block) {
            oracle_block(c->type,
                         p->rows + row_bytes * (size_t)n + (size_t)(from / f->block * f->block_bytes), &b);
            for (int r = 0; r < p->m; r++) add_block(p, &b, f->block, r, from, &sums[r], &terms[r]);
        }
        for (int r = 0; r < p->m; r++) {
            double got = (double)out[(size_t)r * p->stride + (size_t)n];
            if (fabs(got - sums[r]) <= tolerance(c->type, p->k, terms[r])) continue;
            case_fail(c, "row %d weight row %d is %.9g, exactly %.17g, tolerance %.3g", r, n, got, sums[r],
                      tolerance(c->type, p->k, terms[r]));
            return;
        }
    }
}

static void body_oracle(Case *c) {
    for (int i = 0; i < n_some_k(c->type); i++)
        for (WeightStyle w = 0; w < N_WEIGHT_STYLES; w++) {
            Problem p =
                problem_new(c, w ? 5 : 17, some_k(c->type, i), 3, w, w % 2 ? ROW_ALTERNATE : ROW_NORMAL);
            float *out = guard_new(c, 4 * out_floats(&p, p.m));
            run(c, c->kernels, &p, args_of(&p, out, false));
            compare_oracle(c, &p, out);
            guard_release(c);
        }
}

void check_gemm(Session *s, const Kernels *k) {
    for (int type = 0; type < N_WEIGHT_TYPES; type++) {
        session_run(s, k, type, -1, "gemm", "shapes", body_shapes);
        session_run(s, k, type, -1, "gemm", "depths", body_depths);
        session_run(s, k, type, -1, "gemm", "panels", body_panels);
        session_run(s, k, type, -1, "gemm", "extremes", body_extremes);
        session_run(s, k, type, -1, "gemm", "nonfinite", body_nonfinite);
        session_run(s, k, type, -1, "gemm", "company", body_company);
        session_run(s, k, type, -1, "gemm", "pack", body_pack);
        session_run(s, k, type, -1, "gemm", "oracle", body_oracle);
    }
}
