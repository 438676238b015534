// The price of a row, from steps with and without guesses.
#include "engine/row_price.h"
#include "harness.h"

static void learn(RowPrice *p, int32_t n_seqs, int32_t n_guesses, int64_t ns) {
    int32_t rows = n_seqs + n_guesses;
    row_price_learn(p, &(Batch){.n_seqs = n_seqs, .n_rows = rows, .n_logits = rows}, ns);
}

static void test_it_is_learnt_from_neighbours(void **state) {
    (void)state;
    RowPrice p;
    row_price_init(&p);
    for (int i = 0; i < 100; i++) { // the machine slows down all the time
        learn(&p, 1, 0, 1000 + 1000 * i);
        learn(&p, 1, 3, 1600 + 1600 * i);
    }
    assert_true(p.value > 0.18f && p.value < 0.22f);
    for (int i = 0; i < 100; i++) {
        learn(&p, 2, 0, 1000);
        learn(&p, 2, 1, 1010);
    }
    assert_true(p.value > 0.009f && p.value < 0.011f);
}

static void test_other_steps_do_not_count(void **state) {
    (void)state;
    RowPrice p;
    row_price_init(&p);
    float before = p.value;
    for (int i = 0; i < 10; i++) {
        learn(&p, 1, 3, 5000); // the same kind twice, then another number of sequences
        learn(&p, 1, 3, 1000);
        learn(&p, 2, 0, 9000);
        row_price_learn(&p, &(Batch){.n_seqs = 2, .n_rows = 9, .n_logits = 2}, 100); // a prompt
        row_price_learn(&p, &(Batch){.n_seqs = 1, .n_rows = 8, .n_logits = 0}, 100);
    }
    assert_true(p.value == before);
}

static void test_it_stays_within_bounds(void **state) {
    (void)state;
    RowPrice p;
    row_price_init(&p);
    for (int i = 0; i < 100; i++) {
        learn(&p, 1, 0, i % 2); // a clock that stands still
        learn(&p, 1, 1, INT64_MAX);
        assert_true(p.value >= 0 && p.value <= 1);
    }
    for (int i = 0; i < 100; i++) {
        learn(&p, 1, 0, INT64_MAX);
        learn(&p, 1, 1, 1);
        assert_true(p.value >= 0 && p.value <= 1);
    }
    assert_true(p.value < 0.01f);
}

SUITE(row_price, cmocka_unit_test(test_it_is_learnt_from_neighbours),
      cmocka_unit_test(test_other_steps_do_not_count), cmocka_unit_test(test_it_stays_within_bounds))
