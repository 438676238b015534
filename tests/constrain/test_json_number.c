#include "harness.h"

#include "base/rng.h"
#include "constrain/json_number.h"
#include "grammar_kit.h"

#include <inttypes.h>
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

static Automaton *compile(RxId (*rx)(Rules *r, const NumberBounds *b), const NumberBounds *b) {
    Rules *r = rules_new(NULL);
    int32_t root = rules_add(r, STR("root"));
    RxId id = rx(r, b);
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

static NumberBounds random_bounds(Rng *rng, bool exclusive) {
    NumberBounds b = {.has_min = rng_next(rng) % 4 > 0, .has_max = rng_next(rng) % 4 > 0};
    if (b.has_min) b.min = pick(rng);
    if (b.has_max) b.max = b.has_min ? b.min + llabs(pick(rng)) : pick(rng);
    b.above_min = exclusive && b.has_min && rng_next(rng) % 2;
    b.below_max = exclusive && b.has_max && rng_next(rng) % 2;
    return b;
}

static bool within(const NumberBounds *b, double v) {
    if (b->has_min && (b->above_min ? v <= (double)b->min : v < (double)b->min)) return false;
    return !b->has_max || (b->below_max ? v < (double)b->max : v <= (double)b->max);
}

static void check(Automaton *a, const char *text, bool wanted, const NumberBounds *b) {
    if ((a && automaton_fit(a, str_from(text)) == FIT_WHOLE) != wanted)
        fail_msg("%s should%s be within %" PRId64 " (%d%d) … %" PRId64 " (%d%d)", text, wanted ? "" : " not",
                 b->min, b->has_min, b->above_min, b->max, b->has_max, b->below_max);
}

static void test_whole(void **state) {
    (void)state;
    Rng rng = {5};
    for (int round = 0; round < 60; round++) {
        NumberBounds b = random_bounds(&rng, false);
        Automaton *a = compile(json_number_whole, &b);
        for (int64_t v = -1250; v <= 2500; v += v > -160 && v < 160 ? 1 : 7) {
            char text[32];
            snprintf(text, sizeof text, "%" PRId64, v);
            check(a, text, within(&b, (double)v), &b);
        }
        check(a, "-0", false, &b);
        check(a, "007", false, &b);
        check(a, "-", false, &b);
        close_automaton(a);
    }
}

static void test_large(void **state) {
    (void)state;
    NumberBounds b = {true, true, -99999999999999999, 100000000000000000, false, false};
    Automaton *a = compile(json_number_whole, &b);
    check(a, "100000000000000000", true, &b);
    check(a, "100000000000000001", false, &b);
    check(a, "-99999999999999999", true, &b);
    check(a, "-100000000000000000", false, &b);
    close_automaton(a);
}

static void test_decimals(void **state) {
    (void)state;
    Rng rng = {6};
    for (int round = 0; round < 60; round++) {
        NumberBounds b = random_bounds(&rng, true);
        Automaton *a = compile(json_number_within, &b);
        for (int i = 0; i < 120; i++) {
            char text[40];
            int64_t near = rng_next(&rng) % 2 ? b.min : b.max;
            double v = (double)(near + (int64_t)(rng_next(&rng) % 5) - 2);
            static const char *const tails[] = {"", ".0", ".5", ".000000001", ".999999999", ".25"};
            snprintf(text, sizeof text, "%s%" PRId64 "%s", v == 0 && rng_next(&rng) % 2 ? "-" : "",
                     (int64_t)v, tails[rng_next(&rng) % 6]);
            if (text[0] == '-' && atof(text) == 0) continue; // there is no negative zero
            check(a, text, within(&b, atof(text)), &b);
        }
        close_automaton(a);
    }
}

// Next to an excluded bound that doubles are too coarse for: nothing that rounds to it.
static void test_coarse(void **state) {
    (void)state;
    NumberBounds b = {true, true, 0, 900719925474099, false, true};
    Automaton *a = compile(json_number_within, &b);
    check(a, "900719925474098.999999999", false, &b);
    check(a, "900719925474098", true, &b);
    check(a, "900719925474098.0", true, &b);
    check(a, "12.5", true, &b);
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
                check(a, text, v % ms[i] == 0 && within(&b, (double)v), &b);
            }
            close_automaton(a);
        }
}

SUITE(json_number, cmocka_unit_test(test_whole), cmocka_unit_test(test_large),
      cmocka_unit_test(test_decimals), cmocka_unit_test(test_coarse), cmocka_unit_test(test_multiples))
