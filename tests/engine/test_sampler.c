// The sampler against a plain reference: everything in double, everything sorted.
#include "base/rng.h"
#include "engine/kept.h"
#include "engine/logits.h"
#include "fake_model.h"
#include "harness.h"
#include "request_kit.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 151936 };

typedef struct Ranked {
    double logit;
    int32_t id;
} Ranked;

static int by_rank(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

typedef struct Reference {
    bool kept[MOST];
    double p[MOST]; // of the kept ones, sum 1
    int32_t n;
    bool ambiguous; // a bound is hit so closely that float arithmetic may fall on either side
} Reference;

static double clean(float logit) {
    if (isnan(logit)) return -INFINITY;
    return (double)(logit > FLT_MAX ? FLT_MAX : logit);
}

static void reference(Reference *ref, const float *logits, int32_t n, const SamplingParams *p) {
    static Ranked order[MOST];
    static double w[MOST];
    const double close = 3e-6;
    memset(ref->kept, 0, (size_t)n);
    ref->ambiguous = false;
    for (int32_t i = 0; i < n; i++) order[i] = (Ranked){clean(logits[i]), i};
    qsort(order, (size_t)n, sizeof order[0], by_rank);
    int32_t left = p->top_k > 0 && p->top_k < n ? p->top_k : n;
    double total = 0, sum = 0;
    for (int32_t i = 0; i < left; i++) {
        double t = (order[i].logit - order[0].logit) / (double)p->temperature;
        w[i] = t < -40 ? 0 : exp(t);
        total += w[i];
        if (fabs(t + 40) < 1e-3) ref->ambiguous = true;
    }
    if (p->top_p < 1) {
        for (int32_t i = 0; i < left; i++) {
            sum += w[i];
            // With whole-number weights (ties with the largest) the sums are exact in both.
            bool exact = w[i] == 1 && total == (double)(int64_t)total;
            if (!exact && fabs(sum - (double)p->top_p * total) < close * total) ref->ambiguous = true;
            if (sum >= (double)p->top_p * total) left = i + 1;
        }
    }
    while (left > 0 && w[left - 1] == 0) left--;
    for (int32_t i = 0; i < left; i++) {
        if (p->min_p > 0 && fabs(w[i] - (double)p->min_p) < close && w[i] != 1) ref->ambiguous = true;
        if (p->min_p > 0 && w[i] < (double)p->min_p) left = i;
    }
    for (sum = 0, ref->n = 0; ref->n < left; ref->n++) sum += w[ref->n];
    for (int32_t i = 0; i < left; i++) {
        ref->kept[order[i].id] = true;
        ref->p[order[i].id] = w[i] / sum;
    }
}

typedef enum Shape { NORMAL, PEAKED, TIES, EQUAL, BANNED, HUGE_VALUES, BROKEN, NARROW, N_SHAPES } Shape;

static float normal(Rng *r) {
    double radius = sqrt(-2 * log(1 - rng_uniform(r)));
    return (float)(radius * cos(6.283185307179586 * rng_uniform(r)));
}

static void make_logits(float *x, int32_t n, Shape shape, Rng *r) {
    for (int32_t i = 0; i < n; i++) {
        float g = normal(r);
        switch (shape) {
        case NORMAL: x[i] = 3 * g; break;
        case PEAKED: x[i] = kit_below(r, n) < 4 ? 15 + g : 2 * g; break;
        case TIES: x[i] = (float)kit_below(r, 5) - 2; break;
        case EQUAL: x[i] = 1.25f; break;
        case BANNED: x[i] = kit_below(r, 3) ? -INFINITY : g; break;
        case HUGE_VALUES: x[i] = (float)ldexp((double)g, kit_below(r, 126)); break;
        case BROKEN: x[i] = (float[]){NAN, INFINITY, -INFINITY, g, -0.0f, 0.0f}[kit_below(r, 6)]; break;
        case NARROW: x[i] = 100 + 1e-4f * g; break;
        default: fail();
        }
    }
}

static SamplingParams random_filters(Rng *r, int32_t n) {
    SamplingParams p = SAMPLING_GREEDY;
    p.temperature = (float[]){0.7f, 1, 0.05f, 3, 1e-6f, 50}[kit_below(r, 6)];
    if (kit_below(r, 2)) p.top_p = (float[]){0.9f, 0.5f, 0.1f, 0.999f, 1e-6f, 0.25f}[kit_below(r, 6)];
    if (kit_below(r, 3) == 0) p.top_k = 1 + kit_below(r, kit_below(r, 2) ? n + 2 : 40);
    if (kit_below(r, 4) == 0) p.min_p = (float[]){0.05f, 1, 0.5f, 1e-4f}[kit_below(r, 4)];
    p.seed = rng_next(r);
    return p;
}

static int32_t n_kept(const SamplerScratch *s, bool *kept, double *total) {
    int32_t n = 0;
    memset(kept, 0, (size_t)s->n_vocab);
    *total = 0;
    for (int32_t i = 0; i < (s->all ? s->n_vocab : s->n); i++) {
        float w = s->all ? s->w[i] : s->weights[i];
        if (w == 0) continue;
        kept[s->all ? i : kept_id(s, i)] = true;
        *total += (double)w;
        n++;
    }
    return n;
}

static double weight_at(const SamplerScratch *s, int32_t id) {
    for (int32_t i = 0; !s->all && i < s->n; i++)
        if (kept_id(s, i) == id) return (double)s->weights[i];
    return (double)s->w[id];
}

static bool compare_once(SamplerScratch *s, int32_t n, Shape shape, Rng *r) {
    static float x[MOST];
    static Reference ref;
    static bool kept[MOST];
    double total;
    SamplingParams p = random_filters(r, n);
    make_logits(x, n, shape, r);
    kept_load(s, &(LogitsRow){.all = x});
    if (s->max == -INFINITY) return false;
    kept_filter(s, &p);
    reference(&ref, x, n, &p);
    if (ref.ambiguous) return false;
    assert_int_equal(n_kept(s, kept, &total), ref.n);
    assert_memory_equal(kept, ref.kept, (size_t)n);
    for (int32_t i = 0; i < n; i += 1 + n / 50)
        if (kept[i]) assert_true(fabs(weight_at(s, i) / total / ref.p[i] - 1) < 1e-5);
    for (int k = 0; k < 3; k++)
        assert_true(ref.kept[kept_draw(s, (double[]){0, rng_uniform(r), 1 - 0x1p-53}[k])]);
    return true;
}

static void test_kept_sets_equal_the_reference(void **state) {
    (void)state;
    static const int32_t SIZES[] = {1, 2, 3, 63, 64, 65, 127, 200, 1000, 2999};
    Rng r = {kit_seed("sampler", 20240601)};
    int compared = 0, tried = 0;
    for (size_t k = 0; k < sizeof SIZES / sizeof SIZES[0]; k++) {
        SamplerScratch *s = sampler_scratch_new(SIZES[k], NULL);
        for (int i = 0; i < 1000; i++, tried++)
            compared += compare_once(s, SIZES[k], (Shape)(i % N_SHAPES), &r);
        sampler_scratch_free(s);
    }
    assert_true(compared > tried * 9 / 10);
}

static void test_kept_sets_of_a_real_vocabulary(void **state) {
    (void)state;
    Rng r = {kit_seed("sampler_large", 3)};
    SamplerScratch *s = sampler_scratch_new(MOST, NULL);
    int compared = 0;
    for (int i = 0; i < 3 * N_SHAPES; i++) compared += compare_once(s, MOST, (Shape)(i % N_SHAPES), &r);
    assert_true(compared > N_SHAPES);
    sampler_scratch_free(s);
}

static void test_weights_are_exact_enough(void **state) {
    (void)state;
    double worst = 0;
    for (float t = 0; t > -57.7f; t -= 1.1e-4f) {
        double error = fabs((double)logits_weight(t) / exp2((double)t) - 1);
        if (error > worst) worst = error;
    }
    assert_true(worst < 3e-7);
    assert_true(logits_weight(0) == 1.0f);
    assert_true(logits_weight(-58) == 0.0f && logits_weight(-INFINITY) == 0.0f);
}

// ---- Greedy

static void test_temperature_zero_is_the_largest_lowest_id_first(void **state) {
    (void)state;
    Rng r = {7};
    SamplerScratch *s = sampler_scratch_new(200, NULL);
    SamplingParams p = SAMPLING_GREEDY;
    p.top_p = 0.3f; // without influence
    p.top_k = 5;
    SamplerState *state_ = sampler_new(&p, NULL, 0, 1, 200, NULL);
    for (int i = 0; i < 2000; i++) {
        float x[200];
        make_logits(x, 200, (Shape)(i % N_SHAPES), &r);
        int32_t best = 0;
        for (int32_t v = 1; v < 200; v++)
            if (clean(x[v]) > clean(x[best])) best = v;
        assert_int_equal(sampler_next(state_, &(LogitsRow){.all = x}, s), best);
    }
    sampler_free(state_);
    sampler_scratch_free(s);
}

static void test_nothing_above_minus_infinity_gives_token_0(void **state) {
    (void)state;
    float x[3] = {-INFINITY, NAN, -INFINITY};
    SamplerScratch *s = sampler_scratch_new(3, NULL);
    SamplingParams p = SAMPLING_GREEDY;
    p.temperature = 1;
    SamplerState *sampler = sampler_new(&p, NULL, 0, 1, 3, NULL);
    assert_int_equal(sampler_next(sampler, &(LogitsRow){.all = x}, s), 0);
    sampler_free(sampler);
    sampler_scratch_free(s);
}

// ---- Draws

static double chi_square(const SamplingParams *p, int n_draws, int *freedom) {
    enum { V = 100 };
    float fixed[V], x[V];
    int counts[V] = {0};
    static Reference ref;
    Rng r = {5};
    make_logits(fixed, V, NORMAL, &r);
    for (int v = 0; v < V; v++) fixed[v] *= 0.3f;
    reference(&ref, fixed, V, p);
    SamplerScratch *s = sampler_scratch_new(V, NULL);
    SamplerState *sampler = sampler_new(p, NULL, 0, 1, V, NULL);
    for (int i = 0; i < n_draws; i++) {
        memcpy(x, fixed, sizeof x);
        counts[sampler_next(sampler, &(LogitsRow){.all = x}, s)]++;
    }
    double chi = 0;
    *freedom = -1;
    for (int v = 0; v < V; v++) {
        double expected = ref.p[v] * n_draws;
        if (!ref.kept[v]) assert_int_equal(counts[v], 0);
        if (ref.kept[v]) chi += (counts[v] - expected) * (counts[v] - expected) / expected;
        *freedom += ref.kept[v];
    }
    sampler_free(sampler);
    sampler_scratch_free(s);
    return chi;
}

static void test_draws_follow_the_distribution(void **state) {
    (void)state;
    enum { N = 7 };
    SamplingParams p[N];
    for (int i = 0; i < N; i++) p[i] = SAMPLING_GREEDY;
    p[1].top_p = 0.7f;
    p[2].top_k = 20;
    p[3].min_p = 0.1f;
    p[4].top_p = 0.95f;
    p[4].min_p = 0.05f;
    p[5].top_p = 0.3f; // mostly drawn from outside
    p[6].top_p = 0.8f;
    p[6].top_k = 30;
    for (int i = 0; i < N; i++) {
        int freedom;
        p[i].temperature = 0.8f;
        p[i].seed = 11 + (uint64_t)i;
        double chi = chi_square(&p[i], 60000, &freedom);
        // Chi-square has mean f and variance 2f: five deviations above is beyond chance.
        assert_true(freedom > 3 && chi < freedom + 5 * sqrt(2.0 * freedom));
    }
}

static void run_seed(uint64_t seed, int32_t *out, int n) {
    Rng r = {3};
    SamplingParams p = SAMPLING_GREEDY;
    p.temperature = 1;
    p.top_p = 0.95f;
    p.seed = seed;
    SamplerScratch *s = sampler_scratch_new(500, NULL);
    SamplerState *sampler = sampler_new(&p, NULL, 0, n, 500, NULL);
    for (int i = 0; i < n; i++) {
        float x[500];
        make_logits(x, 500, NORMAL, &r);
        out[i] = sampler_next(sampler, &(LogitsRow){.all = x}, s);
    }
    sampler_free(sampler);
    sampler_scratch_free(s);
}

static void test_a_seed_repeats_its_draws(void **state) {
    (void)state;
    int32_t a[50], b[50], c[50];
    run_seed(42, a, 50);
    run_seed(42, b, 50);
    run_seed(43, c, 50);
    assert_memory_equal(a, b, sizeof a);
    assert_memory_not_equal(a, c, sizeof a);
}

// ---- Bias and penalties

// Chooses greedily from x after `history` was generated; returns the token.
static int32_t after(const SamplingParams *p, const int32_t *prompt, int n_prompt, const int32_t *history,
                     int n, const float *x, int n_vocab) {
    float row[16];
    SamplerScratch *s = sampler_scratch_new(n_vocab, NULL);
    SamplerState *sampler = sampler_new(p, prompt, n_prompt, n + 1, n_vocab, NULL);
    assert_non_null(sampler);
    for (int i = 0; i < n; i++) {
        for (int v = 0; v < n_vocab; v++) row[v] = v == history[i] ? 1e6f : 0;
        assert_int_equal(sampler_next(sampler, &(LogitsRow){.all = row}, s), history[i]);
    }
    memcpy(row, x, (size_t)n_vocab * sizeof row[0]);
    int32_t token = sampler_next(sampler, &(LogitsRow){.all = row}, s);
    sampler_free(sampler);
    sampler_scratch_free(s);
    return token;
}

static void test_repetition_penalty_divides_and_multiplies(void **state) {
    (void)state;
    SamplingParams p = SAMPLING_GREEDY;
    p.repetition_penalty = 2;
    int32_t prompt[] = {1}, history[] = {2};
    // Prompt and text alike: 4/2 = 2; untouched ones decide on either side of it.
    assert_int_equal(after(&p, prompt, 1, NULL, 0, (float[]){2.1f, 4, 0}, 3), 0);
    assert_int_equal(after(&p, prompt, 1, NULL, 0, (float[]){1.9f, 4, 0}, 3), 1);
    assert_int_equal(after(&p, prompt, 1, history, 1, (float[]){2.1f, 0, 4}, 3), 0);
    assert_int_equal(after(&p, prompt, 1, history, 1, (float[]){1.9f, 0, 4}, 3), 2);
    // Negative: -1 * 2 = -2.
    assert_int_equal(after(&p, prompt, 1, NULL, 0, (float[]){-1.9f, -1, -9}, 3), 0);
    assert_int_equal(after(&p, prompt, 1, NULL, 0, (float[]){-2.1f, -1, -9}, 3), 1);
}

static void test_presence_and_frequency_count_generated_text_only(void **state) {
    (void)state;
    SamplingParams p = SAMPLING_GREEDY;
    p.presence_penalty = 1;
    p.frequency_penalty = 0.5f;
    int32_t prompt[] = {1, 1, 1}, history[] = {1, 2, 1};
    assert_int_equal(after(&p, prompt, 3, NULL, 0, (float[]){4.9f, 5, 0}, 3), 1);
    // Token 1 twice: 5 - 1 - 2 * 0.5 = 3. Token 2 once: 5 - 1.5 = 3.5.
    assert_int_equal(after(&p, prompt, 3, history, 3, (float[]){2.9f, 5, 0}, 3), 1);
    assert_int_equal(after(&p, prompt, 3, history, 3, (float[]){3.1f, 5, 0}, 3), 0);
    assert_int_equal(after(&p, prompt, 3, history, 3, (float[]){3.4f, 0, 5}, 3), 2);
    assert_int_equal(after(&p, prompt, 3, history, 3, (float[]){3.6f, 0, 5}, 3), 0);
}

static void test_logit_bias_adds_and_bans(void **state) {
    (void)state;
    LogitBias bias[] = {{1, 2.5f}, {2, -100}};
    SamplingParams p = SAMPLING_GREEDY;
    p.logit_bias = bias;
    p.n_logit_bias = 2;
    assert_int_equal(after(&p, NULL, 0, NULL, 0, (float[]){2.4f, 0, 1000}, 3), 1);
    assert_int_equal(after(&p, NULL, 0, NULL, 0, (float[]){2.6f, 0, 1000}, 3), 0);
}

// ---- Rows with candidates

// A request whose steps need candidates alone: greedy or with top_k; bias, also twice for a token, and
// penalties.
static SamplingParams random_request(Rng *r, int32_t n, LogitBias bias[3]) {
    SamplingParams p = random_filters(r, n);
    p.top_k = 1 + kit_below(r, n - 1 < MOST_CANDIDATES ? n - 1 : MOST_CANDIDATES);
    if (kit_below(r, 4) == 0) p.temperature = 0;
    if (kit_below(r, 2)) p.repetition_penalty = (float[]){1.3f, 0.5f, 100}[kit_below(r, 3)];
    if (kit_below(r, 3) == 0) p.presence_penalty = (float[]){2, -2}[kit_below(r, 2)];
    if (kit_below(r, 3) == 0) p.frequency_penalty = (float[]){0.5f, -0.5f}[kit_below(r, 2)];
    p.logit_bias = bias;
    p.n_logit_bias = kit_below(r, 4);
    for (int i = 0; i < p.n_logit_bias; i++)
        bias[i] = (LogitBias){kit_below(r, n), (float[]){3.3f, -4.7f, -100, 50}[kit_below(r, 4)]};
    return p;
}

// Both forms of the same rows, one token after another; the row may list more than is asked for.
static void compare_forms(SamplerScratch *s, Rng *r, Shape shape) {
    enum { N_TOKENS = 30 };
    static float all[MOST], same[MOST], listed_logits[MOST];
    static Candidate candidates[MOST_CANDIDATES];
    LogitBias bias[3];
    int32_t n = s->n_vocab, prompt[20], listed[100];
    for (int i = 0; i < 20; i++) prompt[i] = kit_below(r, n);
    SamplingParams p = random_request(r, n, bias);
    SamplerState *a = sampler_new(&p, prompt, 20, N_TOKENS, n, NULL);
    SamplerState *b = sampler_new(&p, prompt, 20, N_TOKENS, n, NULL);
    for (int i = 0; i < N_TOKENS; i++) {
        make_logits(all, n, shape, r);
        memcpy(same, all, (size_t)n * sizeof same[0]);
        LogitsWant want = sampler_want(b);
        assert_int_equal(want.n_candidates, p.temperature > 0 ? p.top_k : 1);
        for (int k = 0; k < want.n_listed; k++) listed[k] = want.listed[k];
        if (i % 2 && (want.n_listed == 0 || listed[want.n_listed - 1] < n - 1))
            listed[want.n_listed++] = n - 1;
        want.listed = listed;
        LogitsRow few = fake_row(same, n, &want, listed_logits, candidates);
        int32_t token = sampler_next(a, &(LogitsRow){.all = all}, s);
        assert_int_equal(sampler_next(b, &few, s), token);
    }
    sampler_free(a);
    sampler_free(b);
}

static void test_both_forms_of_a_row_give_the_same_token(void **state) {
    (void)state;
    static const int32_t SIZES[] = {2, 3, 64, 65, 500, 3000};
    Rng r = {kit_seed("sampler_forms", 11)};
    for (size_t k = 0; k < sizeof SIZES / sizeof SIZES[0]; k++) {
        SamplerScratch *s = sampler_scratch_new(SIZES[k], NULL);
        for (int i = 0; i < (SIZES[k] < 500 ? 30 : 2) * N_SHAPES; i++)
            compare_forms(s, &r, (Shape)(i % N_SHAPES));
        sampler_scratch_free(s);
    }
}

static void test_the_whole_row_is_wanted_where_few_tokens_are_not_enough(void **state) {
    (void)state;
    static const struct {
        float temperature, top_p, min_p;
        int32_t top_k, candidates;
    } cases[] = {
        {0, 1, 0, 0, 1},
        {0, 0.5f, 0, 7, 1},
        {1, 1, 0, 0, 0},
        {1, 0.9f, 0, 0, 0},
        {1, 1, 0.1f, 0, 0},
        {1, 1, 0, 1, 1},
        {1, 0.9f, 0, 40, 40},
        {1, 1, 0, MOST_CANDIDATES, MOST_CANDIDATES},
        {1, 1, 0, MOST_CANDIDATES + 1, 0},
        {1, 1, 0, 1000, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SamplingParams p = SAMPLING_GREEDY;
        p.temperature = cases[i].temperature, p.top_p = cases[i].top_p;
        p.min_p = cases[i].min_p, p.top_k = cases[i].top_k;
        SamplerState *s = sampler_new(&p, NULL, 0, 1, 1000, NULL);
        assert_int_equal(sampler_want(s).n_candidates, cases[i].candidates);
        assert_int_equal(sampler_want(s).n_listed, 0);
        sampler_free(s);
    }
}

static void test_parameters_are_checked(void **state) {
    (void)state;
    LogitBias bad[] = {{3, 1}};
    SamplingParams good = SAMPLING_GREEDY;
    assert_true(sampling_params_check(&good, NULL));
    SamplingParams p[10];
    for (int i = 0; i < 10; i++) p[i] = good;
    p[0].temperature = -0.1f;
    p[1].temperature = NAN;
    p[2].top_p = 0;
    p[3].top_p = 1.01f;
    p[4].min_p = 1.5f;
    p[5].top_k = -1;
    p[6].repetition_penalty = 0;
    p[7].presence_penalty = NAN;
    p[8].frequency_penalty = INFINITY;
    p[9].logit_bias = &(LogitBias){-1, 0};
    p[9].n_logit_bias = 1;
    for (int i = 0; i < 10; i++) {
        Err err = {0};
        assert_false(sampling_params_check(&p[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(sampler_new(&p[i], NULL, 0, 1, 3, &err));
    }
    good.logit_bias = bad;
    good.n_logit_bias = 1;
    assert_null(sampler_new(&good, NULL, 0, 1, 3, NULL)); // token 3 of 3
}

SUITE(sampler, cmocka_unit_test(test_kept_sets_equal_the_reference),
      cmocka_unit_test(test_kept_sets_of_a_real_vocabulary), cmocka_unit_test(test_weights_are_exact_enough),
      cmocka_unit_test(test_temperature_zero_is_the_largest_lowest_id_first),
      cmocka_unit_test(test_nothing_above_minus_infinity_gives_token_0),
      cmocka_unit_test(test_draws_follow_the_distribution), cmocka_unit_test(test_a_seed_repeats_its_draws),
      cmocka_unit_test(test_repetition_penalty_divides_and_multiplies),
      cmocka_unit_test(test_presence_and_frequency_count_generated_text_only),
      cmocka_unit_test(test_logit_bias_adds_and_bans),
      cmocka_unit_test(test_both_forms_of_a_row_give_the_same_token),
      cmocka_unit_test(test_the_whole_row_is_wanted_where_few_tokens_are_not_enough),
      cmocka_unit_test(test_parameters_are_checked))
