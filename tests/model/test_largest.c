// The k largest of a row in pieces, against a sorted copy of the row.
#include "harness.h"

#include "base/rng.h"
#include "kernels/order.h"
#include "model/largest.h"

#include <math.h>
#include <stdlib.h>

enum { MOST = 5000, MOST_PIECES = 200 };

static int32_t below(Rng *r, int32_t n) {
    return (int32_t)(rng_next(r) % (uint64_t)n);
}

static int better_first(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

static int by_token(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    return x->token < y->token ? -1 : 1;
}

static int32_t sorted_largest(const float *logits, int32_t n, int32_t k, Candidate *out) {
    int32_t n_numbers = 0;
    for (int32_t i = 0; i < n; i++) {
        out[n_numbers] = (Candidate){i, logit_clean(logits[i])};
        n_numbers += out[n_numbers].logit > -INFINITY;
    }
    qsort(out, (size_t)n_numbers, sizeof *out, better_first);
    if (n_numbers < k) k = n_numbers;
    qsort(out, (size_t)k, sizeof *out, by_token);
    return k;
}

static void make_logits(Rng *r, int kind, float *x, int32_t n) {
    const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, 0.0f, FLT_MAX, -FLT_MAX, 1};
    for (int32_t i = 0; i < n; i++) switch (kind) {
        case 0: x[i] = (float)(rng_uniform(r) * 8 - 4); break;
        case 1: x[i] = (float)below(r, 4); break;
        case 2: x[i] = -3; break;
        case 3: x[i] = odd[below(r, 8)]; break;
        case 4: x[i] = (float)i; break;
        case 5: x[i] = (float)-i; break;
        case 6: x[i] = below(r, 20) ? -INFINITY : 1; break;
        default: x[i] = NAN; break;
        }
}

// Pieces of random sizes in random order, given to one of several selections, which are then merged.
static int32_t piecewise(Rng *r, const float *x, int32_t n, int32_t k, Candidate *out) {
    static Largest parts[3];
    int32_t first[MOST_PIECES + 1], n_pieces = 0;
    const Kernels *kernels = kernels_get(CPU_SCALAR);
    for (int i = 0; i < 3; i++) largest_begin(&parts[i], k);
    for (first[0] = 0; first[n_pieces] < n; n_pieces++) {
        int32_t size = 1 + below(r, LARGEST_PIECE), left = n - first[n_pieces];
        assert_true(n_pieces < MOST_PIECES);
        first[n_pieces + 1] = first[n_pieces] + (size < left ? size : left);
    }
    int32_t step = 7919; // a prime above MOST_PIECES: every piece comes once
    for (int32_t i = 0; i < n_pieces; i++) {
        int32_t piece = (int32_t)((int64_t)i * step % n_pieces), at = first[piece];
        largest_add(&parts[below(r, 3)], kernels, x + at, first[piece + 1] - at, at);
    }
    largest_merge(&parts[0], &parts[1]);
    largest_merge(&parts[0], &parts[2]);
    return largest_take(&parts[0], out);
}

static void test_any_pieces(void **state) {
    (void)state;
    static float x[MOST];
    static Candidate want[MOST], got[MOST_CANDIDATES];
    static const int32_t most[] = {1, 2, 30, 257, 1000, MOST};
    Rng r = {21};
    for (int round = 0; round < 1200; round++) {
        int32_t n = 1 + below(&r, most[round / 8 % 6]), k = 1 + below(&r, round % 3 ? 60 : MOST_CANDIDATES);
        make_logits(&r, round % 8, x, n);
        int32_t n_want = sorted_largest(x, n, k, want), n_got = piecewise(&r, x, n, k, got);
        assert_int_equal(n_got, n_want);
        for (int32_t i = 0; i < n_got; i++) {
            assert_int_equal(got[i].token, want[i].token);
            assert_true(got[i].logit == want[i].logit && !signbit(got[i].logit) == !signbit(want[i].logit));
        }
    }
}

static void test_orders(void **state) {
    (void)state;
    const float ascending[] = {-INFINITY, -FLT_MAX, -1, -1e-40f, 0, 1e-40f, 1, FLT_MAX};
    for (size_t i = 0; i < sizeof ascending / sizeof ascending[0]; i++) {
        assert_true(logit_at_order(logit_order(ascending[i])) == ascending[i]);
        if (i) assert_true(logit_order(ascending[i - 1]) < logit_order(ascending[i]));
    }
    assert_true(logit_clean(NAN) == -INFINITY && logit_clean(INFINITY) == FLT_MAX);
    assert_false(signbit(logit_clean(-0.0f)));
}

SUITE(model_largest, cmocka_unit_test(test_any_pieces), cmocka_unit_test(test_orders))
