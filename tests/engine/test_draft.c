// What is guessed behind a text, and when a drafter rests.
#include "alloc_hook.h"
#include "engine/draft.h"
#include "harness.h"

#include <stdlib.h>

enum { CAPACITY = 4000 };

typedef struct Text {
    int32_t tokens[CAPACITY];
    int32_t len;
} Text;

static void add(Text *t, int32_t from, int32_t n) {
    for (int32_t i = 0; i < n; i++) t->tokens[t->len++] = from + i;
}

static void expect(Drafter *d, Text *t, int32_t n, const int32_t *guesses) {
    assert_int_equal(draft_propose(d, t->tokens, t->len, n), n);
    for (int32_t i = 0; i < n; i++) assert_int_equal(t->tokens[t->len + i], guesses[i]);
}

static void test_nothing_repeats_nothing_is_guessed(void **state) {
    (void)state;
    Text t = {0};
    Drafter *d = draft_new(CAPACITY, NULL);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(draft_propose(d, t.tokens, t.len, 3), 0);
        add(&t, 7 * i, 1);
    }
    add(&t, 7, 1); // one token alone is no occurrence
    assert_int_equal(draft_propose(d, t.tokens, t.len, 3), 0);
    draft_free(d);
    draft_free(NULL);
}

static void test_what_followed_is_guessed(void **state) {
    (void)state;
    Text t = {0};
    Drafter *d = draft_new(CAPACITY, NULL);
    add(&t, 10, 8);
    add(&t, 50, 5);
    add(&t, 12, 2);
    expect(d, &t, 3, (const int32_t[]){14, 15, 16});
    expect(d, &t, 5, (const int32_t[]){14, 15, 16, 17, 50});
    draft_free(d);
}

static void test_the_longest_agreement_wins_then_the_latest(void **state) {
    (void)state;
    Text t = {0};
    Drafter *d = draft_new(CAPACITY, NULL);
    add(&t, 1, 5);  // 1 2 3 4 5
    add(&t, 3, 2);  // 3 4
    add(&t, 90, 1); // 90
    add(&t, 3, 2);  // 3 4: two tokens agree at both places
    expect(d, &t, 1, (const int32_t[]){90});
    add(&t, 70, 1);
    add(&t, 2, 3); // 2 3 4: three tokens agree at the first only
    expect(d, &t, 1, (const int32_t[]){5});
    draft_free(d);
}

static void test_a_period_goes_on(void **state) {
    (void)state;
    Text t = {0};
    Drafter *d = draft_new(CAPACITY, NULL);
    add(&t, 1, 2);
    add(&t, 1, 2);
    expect(d, &t, 7, (const int32_t[]){1, 2, 1, 2, 1, 2, 1});
    for (int i = 0; i < 3000; i++) add(&t, 5, 1);
    expect(d, &t, 3, (const int32_t[]){5, 5, 5});
    draft_free(d);
}

// Every text, however its pairs fall into slots, gives guesses that have followed its last pair.
static void test_small_capacity_and_every_length(void **state) {
    (void)state;
    for (int32_t capacity = 1; capacity < 70; capacity++) {
        int32_t *tokens = malloc((size_t)capacity * sizeof *tokens); // a sanitizer sees its end
        Drafter *d = draft_new(capacity, NULL);
        assert_true(tokens && d);
        for (int32_t len = 0; len < capacity; len++) {
            int32_t room = capacity - len < 3 ? capacity - len : 3;
            int32_t n = draft_propose(d, tokens, len, room);
            assert_true(n == 0 || (n == room && len > 2));
            for (int32_t i = 0; i < n; i++) assert_true(tokens[len + i] >= 0 && tokens[len + i] < 3);
            tokens[len] = len * len % 3;
        }
        draft_free(d);
        free(tokens);
    }
}

// The part of 1,000 tokens behind which it guesses, when so many of three guesses come true.
static double willingness(int32_t n_accepted, float price) {
    Text t = {0};
    Drafter *d = draft_new(CAPACITY, NULL);
    int asked = 0;
    add(&t, 1, 2);
    for (int i = 0; i < 1000; i++) {
        add(&t, 1 + i % 2, 1);
        if (draft_propose(d, t.tokens, t.len, 3) == 0) continue;
        draft_judge(d, t.len, 3, n_accepted, price);
        asked++;
    }
    draft_free(d);
    return asked / 1000.0;
}

static void test_who_is_never_right_rests_and_tries_again(void **state) {
    (void)state;
    double never = willingness(0, 0.05f);
    assert_true(never > 0.004 && never < 0.02);
    assert_true(willingness(1, 0.05f) > 0.99);
    assert_true(willingness(3, 0.05f) > 0.99);
}

static void test_rows_that_cost_too_much_are_not_wanted(void **state) {
    (void)state;
    assert_true(willingness(1, 0.5f) < 0.02);
    assert_true(willingness(3, 0.5f) > 0.97); // once it is known
    assert_true(willingness(3, 1.0f) < 0.2);
}

static void test_success_after_a_rest_counts(void **state) {
    (void)state;
    Text t = {0};
    Drafter *d = draft_new(CAPACITY, NULL);
    int rests = 0;
    for (int i = 0; i < 1000; i++) {
        add(&t, 5, 1);
        if (draft_propose(d, t.tokens, t.len, 3))
            draft_judge(d, t.len, 3, i < 500 ? 0 : 3, 0.1f);
        else if (i > 800)
            rests++;
    }
    assert_int_equal(rests, 0);
    draft_free(d);
}

static void test_no_memory(void **state) {
    (void)state;
    if (!alloc_hook_works()) skip();
    Err err = {0};
    alloc_hook_fail_at(1);
    assert_null(draft_new(100, &err));
    assert_true(alloc_hook_fail_at(0));
    assert_int_equal(err.code, ERR_NOMEM);
}

SUITE(draft, cmocka_unit_test(test_nothing_repeats_nothing_is_guessed),
      cmocka_unit_test(test_what_followed_is_guessed),
      cmocka_unit_test(test_the_longest_agreement_wins_then_the_latest),
      cmocka_unit_test(test_a_period_goes_on), cmocka_unit_test(test_small_capacity_and_every_length),
      cmocka_unit_test(test_who_is_never_right_rests_and_tries_again),
      cmocka_unit_test(test_rows_that_cost_too_much_are_not_wanted),
      cmocka_unit_test(test_success_after_a_rest_counts), cmocka_unit_test(test_no_memory))
