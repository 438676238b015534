// How a step's rows are shared out: every row once, parts of equal cost or none at all.
#include "harness.h"

#include "base/rng.h"
#include "model/split.h"

enum { MOST_SEQS = 64, MOST_WORKERS = 8 };

typedef struct Rows {
    Batch batch;
    BatchSeq seqs[MOST_SEQS];
} Rows;

static void add(Rows *r, int32_t start, int32_t n_rows) {
    r->seqs[r->batch.n_seqs++] = (BatchSeq){.start = start, .n_rows = n_rows, .first_row = r->batch.n_rows};
    r->batch.n_rows += n_rows;
}

static Rows decoding(int n, int32_t start) {
    Rows r = {0};
    for (int i = 0; i < n; i++) add(&r, start, 1);
    return r;
}

static int parts_of(const Rows *r, int n_workers, int busy_rows, int32_t first_row[MOST_WORKERS + 1],
                    bool *cut) {
    Batch b = r->batch;
    b.seqs = r->seqs; // also of a copy
    return split_rows(&b, n_workers, busy_rows, first_row, cut);
}

static int parts(const Rows *r, int n_workers, int32_t first_row[MOST_WORKERS + 1], bool *cut) {
    return parts_of(r, n_workers, 4, first_row, cut);
}

static void test_even_decoding(void **state) {
    (void)state;
    int32_t rows[MOST_WORKERS + 1];
    bool cut;
    Rows r = decoding(32, 100);
    assert_int_equal(parts(&r, 2, rows, &cut), 2);
    assert_false(cut);
    assert_int_equal(rows[1], 16);
    assert_int_equal(rows[2], 32);
    assert_int_equal(parts(&r, 1, rows, &cut), 1);
    r = decoding(24, 100); // two unfinished tiles cost little
    assert_int_equal(parts(&r, 2, rows, &cut), 2);
    assert_int_equal(rows[1], 12);
}

// Kernels that need more rows to be limited by arithmetic share them out later.
static void test_fast_kernels(void **state) {
    (void)state;
    int32_t rows[MOST_WORKERS + 1];
    bool cut;
    Rows r = decoding(32, 100), more = decoding(64, 100);
    assert_int_equal(parts_of(&r, 2, 16, rows, &cut), 1);
    assert_int_equal(parts_of(&more, 2, 16, rows, &cut), 2);
    assert_int_equal(rows[1], 32);
}

// Too few rows for each worker to read all weights, or no cut that is even.
static void test_stays_whole(void **state) {
    (void)state;
    int32_t rows[MOST_WORKERS + 1];
    bool cut;
    Rows few = decoding(8, 100), odd = decoding(17, 100), many_workers = decoding(64, 100);
    assert_int_equal(parts(&few, 2, rows, &cut), 1);
    assert_int_equal(parts(&odd, 2, rows, &cut), 1);
    assert_int_equal(parts(&many_workers, 8, rows, &cut), 1);
    Rows long_one = decoding(31, 50); // the longest alone costs more than half
    add(&long_one, 100000, 1);
    assert_int_equal(parts(&long_one, 2, rows, &cut), 1);
    assert_int_equal(rows[0], 0);
    assert_int_equal(rows[1], 32);
}

static void test_prompt_is_cut(void **state) {
    (void)state;
    int32_t rows[MOST_WORKERS + 1];
    bool cut;
    Rows r = {0};
    add(&r, 0, 128);
    assert_int_equal(parts(&r, 2, rows, &cut), 2);
    assert_true(cut);
    assert_int_equal(rows[1], 64);
    Rows two = {0};
    add(&two, 0, 64);
    add(&two, 0, 64);
    assert_int_equal(parts(&two, 2, rows, &cut), 2);
    assert_false(cut);
    assert_int_equal(rows[1], 64);
}

// Long contexts move the border.
static void test_contexts_count(void **state) {
    (void)state;
    int32_t rows[MOST_WORKERS + 1];
    bool cut;
    Rows r = decoding(8, 3000);
    for (int i = 0; i < 38; i++) add(&r, 0, 1);
    assert_int_equal(parts(&r, 2, rows, &cut), 2);
    assert_true(rows[1] < 20);
}

// Whatever comes: the parts follow one another, none is empty, and `cut` is true.
static void test_random(void **state) {
    (void)state;
    Rng rng = {3};
    int n_split = 0;
    for (int round = 0; round < 20000; round++) {
        Rows r = {0};
        int n = 1 + (int)(rng_next(&rng) % MOST_SEQS), n_workers = 1 + (int)(rng_next(&rng) % MOST_WORKERS);
        for (int i = 0; i < n; i++)
            add(&r, (int32_t)(rng_next(&rng) % 500),
                rng_next(&rng) % 4 ? 1 : 1 + (int32_t)(rng_next(&rng) % 200));
        int32_t rows[MOST_WORKERS + 1];
        bool cut, is_cut = false;
        int n_parts = parts(&r, n_workers, rows, &cut);
        assert_true(n_parts == 1 || n_parts == n_workers);
        assert_int_equal(rows[0], 0);
        assert_int_equal(rows[n_parts], r.batch.n_rows);
        for (int i = 0; i < n_parts; i++) assert_true(rows[i] < rows[i + 1]);
        for (int i = 1; i < n_parts; i++)
            for (int s = 0; s < n; s++)
                is_cut |= rows[i] > r.seqs[s].first_row && rows[i] < r.seqs[s].first_row + r.seqs[s].n_rows;
        assert_int_equal(cut, is_cut);
        n_split += n_parts > 1;
    }
    assert_true(n_split > 1000);
}

SUITE(model_split, cmocka_unit_test(test_even_decoding), cmocka_unit_test(test_fast_kernels),
      cmocka_unit_test(test_stays_whole), cmocka_unit_test(test_prompt_is_cut),
      cmocka_unit_test(test_contexts_count), cmocka_unit_test(test_random))
