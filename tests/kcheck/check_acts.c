// Writing activations into tiles: every rung against the scalar one byte by byte, parts of rows,
// extremes, and the error of quantising.
#include "kcheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int step_of(ActFormat format) {
    return format == ACT_Q8_256 ? 256 : 32;
}

static int some_k(Case *c, int i) {
    return step_of(c->format) * (1 + i);
}

// Which row and which first column a byte of a tile belongs to; row -1 for padding.
static void owner_of(ActFormat format, int k, size_t at, int *row, int *col) {
    const size_t value = format == ACT_F32 ? 4 : 1, run = (size_t)act_run(format), n = (size_t)k;
    const size_t one_each = 4 * ACT_TILE_ROWS;
    if (at < n * value * ACT_TILE_ROWS) {
        *row = (int)(at / value / run % ACT_TILE_ROWS);
        *col = (int)(at / value / run / ACT_TILE_ROWS * run + at / value % run);
        return;
    }
    const int columns_32[] = {32, 32, 32, 0}, columns_256[] = {256, 16, 32, 64, 256, 256, 0}, none[] = {0};
    const int *columns = format == ACT_F32 ? none : format == ACT_Q8_32 ? columns_32 : columns_256;
    at -= n * ACT_TILE_ROWS;
    *row = (int)(at % one_each / 4);
    for (; *columns; columns++) {
        size_t bytes = n / (size_t)*columns * one_each;
        *col = (int)(at / one_each) * *columns;
        if (at < bytes) return;
        at -= bytes;
    }
    *row = -1;
}

// Pairs of sums belong to the two halves of their columns; both lie in a block of 256.
static bool is_part(ActFormat format, int k, size_t at, int row, int from, int to) {
    int owner, col;
    owner_of(format, k, at, &owner, &col);
    return owner == row && col >= from && col < to;
}

static float *row_new(Case *c, RowStyle style, int k) {
    float *x = guard_new(c, 4 * (size_t)k);
    rand_row(&c->rng, style, x, k);
    guard_freeze(x);
    return x;
}

// Writes [from, to) of a row over garbage with both; all bytes of the part equal, no other touched.
static void compare_part(Case *c, const float *x, int k, int from, int to, int row) {
    size_t bytes = act_tile_bytes(c->format, k);
    uint8_t *before = guard_new(c, bytes), *want = guard_new(c, bytes), *got = guard_new(c, bytes);
    rand_bytes(&c->rng, before, bytes);
    memcpy(want, before, bytes);
    memcpy(got, before, bytes);
    c->scalar->act_write[c->format](x, k, from, to, want, row);
    c->kernels->act_write[c->format](x, k, from, to, got, row);
    case_same_bytes(c, "tile", want, got, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (got[i] == before[i] || is_part(c->format, k, i, row, from, to)) continue;
        case_fail(c, "wrote byte %zu, not of row %d columns [%d, %d)", i, row, from, to);
        break;
    }
}

static void all_styles(Case *c, int from_style, int to_style) {
    for (int style = from_style; style <= to_style; style++)
        for (int i = 0; i < (style < N_ROW_STYLES ? 4 : 6); i++) {
            int k = some_k(c, i), row = rand_int(&c->rng, 0, ACT_TILE_ROWS - 1);
            case_at(c, "k=%d row=%d style=%d", k, row, style);
            compare_part(c, row_new(c, (RowStyle)style, k), k, 0, k, row);
            guard_release(c);
        }
}

static void body_random(Case *c) {
    all_styles(c, 0, N_ROW_STYLES - 1);
}

static void body_subnormal(Case *c) {
    all_styles(c, ROW_SUBNORMAL, ROW_SUBNORMAL);
}

static void body_huge(Case *c) {
    all_styles(c, ROW_HUGE, ROW_HUGE);
}

// Ties: values that lie exactly between two quants.
static void body_ties(Case *c) {
    int k = some_k(c, 0);
    float *x = guard_new(c, 4 * (size_t)k);
    for (int round = 0; round < 40; round++) {
        float unit = ldexpf(1, rand_int(&c->rng, -20, 20));
        for (int i = 0; i < k; i++) x[i] = unit * ((float)rand_int(&c->rng, -126, 126) + 0.5f);
        x[rand_int(&c->rng, 0, k - 1)] = 127 * unit;
        case_at(c, "k=%d round=%d", k, round);
        compare_part(c, x, k, 0, k, round % ACT_TILE_ROWS);
    }
}

static void body_ranges(Case *c) {
    int step = step_of(c->format), k = 5 * step;
    for (int from = 0; from <= 5; from++)
        for (int to = from; to <= 5; to++) {
            int row = rand_int(&c->rng, 0, ACT_TILE_ROWS - 1);
            case_at(c, "k=%d [%d, %d) row=%d", k, from * step, to * step, row);
            compare_part(c, row_new(c, ROW_MIXED, k), k, from * step, to * step, row);
            guard_release(c);
        }
}

// Infinities and NaNs give no meaningful quants, but the same ones on every rung: a NaN counts as no
// maximum and becomes -127; an infinity makes the scale infinite and all finite values 0.
static void body_nonfinite(Case *c) {
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    int k = some_k(c, 1);
    for (int round = 0; round < 60; round++) {
        float *x = guard_new(c, 4 * (size_t)k);
        rand_row(&c->rng, ROW_NORMAL, x, k);
        int n_bad = round % 4 == 3 ? k : rand_int(&c->rng, 1, 3);
        for (int i = 0; i < n_bad; i++) {
            int at = n_bad == k ? i : rand_int(&c->rng, 0, k - 1);
            x[at] = bad[round % 3 == 2 ? rand_int(&c->rng, 0, 2) : round % 3];
        }
        case_at(c, "k=%d round=%d n_bad=%d", k, round, n_bad);
        compare_part(c, x, k, 0, k, round % ACT_TILE_ROWS);
        guard_release(c);
    }
}

// Half a step, a few roundings of a value up to 127 steps, and what is so small that it counts as zero.
static void check_values(Case *c, const float *x, const void *tile, int k, int row) {
    const float *scales = act_scales(tile, k);
    for (int i = 0; i < k; i++) {
        double q = ((const int8_t *)tile)[act_at(c->format, i, row)];
        double scale = (double)scales[i / act_block(c->format) * ACT_TILE_ROWS + row];
        double error = fabs((double)x[i] - q * scale);
        if (error <= scale * (0.5 + 127 * 0x1p-22) + 0x1p-119 && fabs(q) <= 127) continue;
        case_fail(c, "x[%d]=%g became %g * %g, error %g", i, (double)x[i], q, scale, error);
        return;
    }
}

static int sum_of(ActFormat format, const int8_t *q, int row, int from, int n) {
    int sum = 0;
    for (int i = from; i < from + n; i++) sum += q[act_at(format, i, row)];
    return sum;
}

static void check_sums(Case *c, const void *tile, int k, int row) {
    int width = c->format == ACT_Q8_32 ? 32 : 16;
    for (int j = 0; j < k / width; j++) {
        int sum = sum_of(c->format, tile, row, width * j, width);
        if (act_nsums(c->format, tile, k)[ACT_TILE_ROWS * j + row] !=
            (c->format == ACT_Q8_256 ? -32 : -1) * sum)
            case_fail(c, "nsum %d wrong", j);
        if (c->format == ACT_Q8_32) {
            float want = act_scales(tile, k)[ACT_TILE_ROWS * j + row] * (float)sum;
            if (!same_bits(want, act_ssums(tile, k)[ACT_TILE_ROWS * j + row]))
                case_fail(c, "ssum %d wrong", j);
            continue;
        }
        if (act_pair16(tile, k)[act_pair_at(j, row)] != sum) case_fail(c, "pair16 %d wrong", j);
        int both = sum_of(c->format, tile, row, 32 * (j / 2), 32);
        if (act_pair32(tile, k)[act_pair_at(j / 2, row)] != both) case_fail(c, "pair32 %d wrong", j / 2);
    }
}

static int peak_of(const int8_t *q, int row, int from, int n) {
    int peak = 0;
    for (int j = from; j < from + 256; j += n) {
        int sum = 0;
        for (int i = j; i < j + n; i++) sum += abs(q[act_at(ACT_Q8_256, i, row)]);
        peak = sum > peak ? sum : peak;
    }
    return peak;
}

static void check_peaks(Case *c, const void *tile, int k, int row) {
    for (int b = 0; b < k / 256; b++) {
        if (act_peak16(tile, k)[ACT_TILE_ROWS * b + row] != peak_of(tile, row, 256 * b, 16))
            case_fail(c, "peak16 %d wrong", b);
        if (act_peak32(tile, k)[ACT_TILE_ROWS * b + row] != peak_of(tile, row, 256 * b, 32))
            case_fail(c, "peak32 %d wrong", b);
    }
}

static void body_values(Case *c) {
    for (int style = 0; style <= ROW_HUGE; style++)
        for (int i = 0; i < 4; i++) {
            int k = some_k(c, i), row = rand_int(&c->rng, 0, ACT_TILE_ROWS - 1);
            case_at(c, "k=%d row=%d style=%d", k, row, style);
            const float *x = row_new(c, (RowStyle)style, k);
            void *tile = guard_new(c, act_tile_bytes(c->format, k));
            c->kernels->act_write[c->format](x, k, 0, k, tile, row);
            if (c->format == ACT_F32) {
                for (int j = 0; j < k; j++)
                    if (!same_bits(x[j], ((float *)tile)[act_at(ACT_F32, j, row)]))
                        case_fail(c, "value %d differs", j);
            } else {
                check_values(c, x, tile, k, row);
                check_sums(c, tile, k, row);
                if (c->format == ACT_Q8_256) check_peaks(c, tile, k, row);
            }
            guard_release(c);
        }
}

void check_acts(Session *s, const Kernels *k) {
    for (int format = 0; format < N_ACT_FORMATS; format++) {
        session_run(s, k, -1, format, "act_write", "random", body_random);
        session_run(s, k, -1, format, "act_write", "subnormal", body_subnormal);
        session_run(s, k, -1, format, "act_write", "huge", body_huge);
        session_run(s, k, -1, format, "act_write", "ties", body_ties);
        session_run(s, k, -1, format, "act_write", "ranges", body_ranges);
        session_run(s, k, -1, format, "act_write", "nonfinite", body_nonfinite);
        session_run(s, k, -1, format, "act_write", "values", body_values);
    }
}
