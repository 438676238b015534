#include "harness.h"

#include "base/rng.h"
#include "constrain/json_number.h"
#include "grammar_kit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static Automaton *automaton_of(Rules *r) {
    Err err = {0};
    Grammar *g = grammar_of_rules(r, &err);
    if (!g) fail_msg("%s", err.msg);
    Automaton *a = automaton_new(g, &err);
    assert_non_null(a);
    return a;
}

static Automaton *compile(const NumberBounds *b) {
    Rules *r = rules_new(NULL);
    int32_t root = rules_add(r, STR("root"));
    RxId id = json_number_whole(r, b);
    if (id == JSON_NO_NUMBER) {
        rules_free(r);
        return NULL;
    }
    rules_define(r, root, id);
    return automaton_of(r);
}

static void close_automaton(Automaton *a) {
    if (!a) return;
    grammar_free((Grammar *)a->g);
    automaton_free(a);
}

static int64_t pick(Rng *rng) {
    static const int64_t sizes[] = {3, 20, 150, 1200};
    int64_t size = sizes[rng_next(rng) % 4];
    return (int64_t)(rng_next(rng) % (uint64_t)(2 * size)) - size;
}

static NumberBounds random_bounds(Rng *rng) {
    NumberBounds b = {.has_min = rng_next(rng) % 4 > 0, .has_max = rng_next(rng) % 4 > 0};
    if (b.has_min) b.min = pick(rng);
    if (b.has_max) b.max = b.has_min ? b.min + llabs(pick(rng)) : pick(rng);
    return b;
}

static bool within(const NumberBounds *b, int64_t v) {
    return !(b->has_min && v < b->min) && !(b->has_max && v > b->max);
}

static void check(Automaton *a, const char *text, bool wanted) {
    if ((a && automaton_fit(a, str_from(text)) == FIT_WHOLE) != wanted)
        fail_msg("%s should%s be within", text, wanted ? "" : " not");
}

static void test_whole(void **state) {
    (void)state;
    Rng rng = {5};
    for (int round = 0; round < 60; round++) {
        NumberBounds b = random_bounds(&rng);
        Automaton *a = compile(&b);
        for (int64_t v = -1250; v <= 2500; v += v > -160 && v < 160 ? 1 : 7) {
            char text[32];
            snprintf(text, sizeof text, "%" PRId64, v);
            check(a, text, within(&b, v));
        }
        check(a, "-0", false);
        check(a, "007", false);
        check(a, "-", false);
        close_automaton(a);
    }
}

static void test_large(void **state) {
    (void)state;
    NumberBounds b = {true, true, -99999999999999999, 100000000000000000};
    Automaton *a = compile(&b);
    check(a, "100000000000000000", true);
    check(a, "100000000000000001", false);
    check(a, "-99999999999999999", true);
    check(a, "-100000000000000000", false);
    close_automaton(a);
}

static Automaton *compile_within(const DecimalBounds *b) {
    Rules *r = rules_new(NULL);
    int32_t root = rules_add(r, STR("root"));
    RxId id = json_number_within(r, b);
    if (id == JSON_NO_NUMBER) {
        rules_free(r);
        return NULL;
    }
    rules_define(r, root, id);
    return automaton_of(r);
}

// A number as text, mostly near another: a few of its last digits, or how many there are, changed.
static void write_near(Rng *rng, double v, char *text, size_t size) {
    static const double steps[] = {0, 1, 0.1, 0.5, 0.01, 0.001, 0.0001, 1e-9, 10, 0.9999};
    double step = steps[rng_next(rng) % 10];
    v += rng_next(rng) % 2 ? step : -step;
    snprintf(text, size, "%.*f", (int)(rng_next(rng) % 10), v);
}

static bool lies_within(double min, double max, const DecimalBounds *b, double v) {
    if (b->min.given && (b->min.excluded ? v <= min : v < min)) return false;
    return !b->max.given || (b->max.excluded ? v < max : v <= max);
}

static double random_decimal(Rng *rng) {
    static const double units[] = {1, 10, 1000, 100000};
    return (double)pick(rng) / units[rng_next(rng) % 4];
}

static void test_decimals(void **state) {
    (void)state;
    Rng rng = {6};
    for (int round = 0; round < 400; round++) {
        double min = random_decimal(&rng), max = min + fabs(random_decimal(&rng));
        DecimalBounds b = {0};
        if (rng_next(&rng) % 4) assert_true(decimal_of(min, &b.min));
        if (rng_next(&rng) % 4) (void)(decimal_of(max, &b.max) || (b.max.given = false));
        b.min.excluded = b.min.given && rng_next(&rng) % 2;
        b.max.excluded = b.max.given && rng_next(&rng) % 2;
        Automaton *a = compile_within(&b);
        for (int i = 0; i < 100; i++) {
            char text[64];
            write_near(&rng, rng_next(&rng) % 2 ? min : max, text, sizeof text);
            double v = strtod(text, NULL);
            if (v == 0 && text[0] == '-') continue; // there is no negative zero
            if ((a && automaton_fit(a, str_from(text)) == FIT_WHOLE) != lies_within(min, max, &b, v))
                fail_msg("%s and %.12g (%d%d) … %.12g (%d%d)", text, min, b.min.given, b.min.excluded, max,
                         b.max.given, b.max.excluded);
        }
        close_automaton(a);
    }
}

static void test_decimal_of(void **state) {
    (void)state;
    Decimal d;
    assert_true(decimal_of(-0.1, &d) && d.negative && d.whole == 0 && strcmp(d.fraction, "1") == 0);
    assert_true(decimal_of(1200, &d) && !d.negative && d.whole == 1200 && !d.fraction[0]);
    assert_true(decimal_of(99.999999999, &d) && strcmp(d.fraction, "999999999") == 0);
    assert_false(decimal_of(1e-10, &d));
    assert_false(decimal_of(1.0 / 3, &d));
    assert_false(decimal_of(12345678.5, &d));
}

// Next to an excluded bound that doubles are too coarse for: nothing that rounds to it.
static void test_coarse(void **state) {
    (void)state;
    DecimalBounds b = {0};
    assert_true(decimal_of(0, &b.min) && decimal_of(900719925474099, &b.max));
    b.max.excluded = true;
    Automaton *a = compile_within(&b);
    check(a, "900719925474098.999999999", false);
    check(a, "900719925474098", true);
    check(a, "900719925474097.5", true);
    check(a, "12.5", true);
    check(a, "900719925474099", false);
    close_automaton(a);
}

static void test_multiples(void **state) {
    (void)state;
    static const int64_t ms[] = {1, 2, 3, 7, 10, 64, 100};
    for (size_t i = 0; i < sizeof ms / sizeof ms[0]; i++)
        for (int kind = 0; kind < 3; kind++) {
            NumberBounds b = {
                .has_min = kind > 0, .has_max = kind == 2, .min = kind == 2 ? -50 : 0, .max = 333};
            bool unsupported;
            Rules *r = rules_new(NULL);
            int32_t root = rules_add(r, STR("root"));
            rules_define(r, root, json_number_multiples(r, ms[i], &b, &unsupported));
            assert_false(unsupported);
            Automaton *a = automaton_of(r);
            for (int64_t v = -400; v <= 800; v++) {
                char text[32];
                snprintf(text, sizeof text, "%" PRId64, v);
                check(a, text, v % ms[i] == 0 && within(&b, v));
            }
            close_automaton(a);
        }
}

SUITE(json_number, cmocka_unit_test(test_whole), cmocka_unit_test(test_large),
      cmocka_unit_test(test_decimals), cmocka_unit_test(test_decimal_of), cmocka_unit_test(test_coarse),
      cmocka_unit_test(test_multiples))
