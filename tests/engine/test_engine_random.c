// Model-based: random requests of all priorities, salts and deadlines, and cancellations, on random machines.
// After each step every invariant is checked, and that the first in line has come nearer to its end; at the
// end every request has ended exactly once with its lone run's tokens, and the pool is whole.
// CLLM_TEST_SEED replays a run.
#include "alloc_hook.h"
#include "core_rig.h"
#include "harness.h"

#include <stdlib.h>

enum { N_CASES = 60, N_MACHINES = 260 };

static CoreShape random_shape(Rng *r) {
    CoreShape s;
    s.config.max_running = 1 + kit_below(r, 12);
    s.config.max_queue = N_CASES;
    s.config.row_budget = s.config.max_running + kit_below(r, 40);
    s.config.prefill_chunk = 1 + kit_below(r, 40);
    s.config.spec_rows = kit_below(r, 2) ? 0 : kit_below(r, 16);
    s.config.decode_share = kit_below(r, 2) ? 0 : 1 + kit_below(r, 100);
    s.config.prefix_cache = kit_below(r, 4) > 0;
    s.config.priority_step_ns = kit_below(r, 3) * kit_below(r, 100);
    s.n_vocab = 20 + kit_below(r, 60);
    s.n_blocks = 10 + kit_below(r, kit_below(r, 4) ? 20 : 60);
    s.config.prefix_blocks = kit_below(r, 2) ? s.n_blocks : kit_below(r, s.n_blocks);
    s.max_context = 512;
    return s;
}

static const char *const SALTS[] = {"", "", "", "a", "b"};

// Begins like an earlier case and its answer, or all of them alike.
static void begin_like(Case *c, Rng *r, const Case *other) {
    int32_t n = c->request.n_prompt, n_told = other->request.n_prompt;
    if (kit_below(r, 4) == 0) n = kit_below(r, n + 1);
    for (int32_t i = 0; i < n && i < n_told + other->n_got; i++)
        c->prompt[i] = i < n_told ? other->prompt[i] : other->got[i - n_told];
}

// What may happen between two steps.
static void disturb(CoreRig *rig, Rng *r, Case *cases, int *n_submitted) {
    int arrivals = kit_below(r, 8) == 0 ? kit_below(r, 10) : kit_below(r, 8) == 0;
    for (; arrivals > 0 && *n_submitted < N_CASES; arrivals--) {
        Case *c = &cases[(*n_submitted)++];
        kit_random(c, r, rig->model->step.n_vocab, 90, 70);
        if (*n_submitted > 1 && kit_below(r, 4)) begin_like(c, r, &cases[kit_below(r, *n_submitted - 1)]);
        c->request.cache_salt = str_from(SALTS[kit_below(r, 5)]);
        if (kit_below(r, 2))
            c->request.priority = kit_below(r, 2 * ENGINE_MAX_PRIORITY + 1) - ENGINE_MAX_PRIORITY;
        if (kit_below(r, 6) == 0) c->request.deadline_ns = rig->clock + kit_below(r, 600);
        rig_submit(rig, c);
    }
    if (*n_submitted > 0 && kit_below(r, 12) == 0) rig_cancel(rig, &cases[kit_below(r, *n_submitted)]);
}

// What all machines did.
typedef struct Deeds {
    uint64_t steps, preemptions, drafted, accepted, queried, found, evicted, late, cancelled;
    uint64_t overtaken; // steps that began with somebody running who came later than one who waits
} Deeds;

static bool is_overtaken(const Sched *s) {
    uint64_t latest = 0, earliest = UINT64_MAX;
    for (int32_t i = 0; i < s->line.n; i++) {
        uint64_t id = s->line.at[i]->id;
        if (i < s->n_running && id > latest) latest = id;
        if (i >= s->n_running && id < earliest) earliest = id;
    }
    return latest > earliest;
}

// A step, after which the first in line has more computed, or has ended.
static bool step(CoreRig *rig) {
    const Sched *s = engine_core_sched(rig->core);
    const Seq *first = s->line.n ? s->line.at[0] : NULL;
    int32_t computed = first ? first->computed : 0;
    uint64_t allocations = alloc_hook_count();
    bool worked = engine_core_step(rig->core);
    // A step allocates and frees nothing. The rig frees what has ended, but not inside a step.
    assert_true(alloc_hook_count() == allocations);
    if (s->line.n && s->line.at[0] == first) assert_true(first->computed > computed);
    return worked;
}

static void run_machine(Rng *r, Deeds *deeds) {
    CoreShape shape = random_shape(r);
    Case *cases = calloc(N_CASES, sizeof *cases);
    CoreRig rig;
    int n_submitted = 0;
    assert_non_null(cases);
    rig_init(&rig, &shape);
    rig.row_ns = kit_below(r, 3);
    while (n_submitted < N_CASES || rig.n_live > 0) {
        disturb(&rig, r, cases, &n_submitted);
        deeds->overtaken += is_overtaken(engine_core_sched(rig.core));
        bool worked = step(&rig);
        rig_bury(&rig);
        rig_check(&rig);
        if (!worked) assert_int_equal(rig.n_live, 0);
    }
    for (int i = 0; i < N_CASES; i++) kit_verify(&cases[i], shape.n_vocab);
    const EngineStats *stats = engine_core_stats(rig.core);
    uint64_t ended = 0;
    deeds->steps += stats->steps;
    deeds->preemptions += stats->preemptions;
    deeds->drafted += stats->drafted_tokens;
    deeds->accepted += stats->accepted_tokens;
    deeds->queried += stats->prefix_query_tokens;
    deeds->found += stats->prefix_hit_tokens;
    deeds->evicted += stats->prefix_evictions;
    deeds->late += stats->finished[FINISH_TIMEOUT];
    deeds->cancelled += stats->finished[FINISH_CANCELLED];
    assert_true(stats->prefix_hit_tokens <= stats->prefix_query_tokens);
    if (!shape.config.prefix_cache) assert_true(stats->prefix_query_tokens + stats->prefix_evictions == 0);
    if (shape.config.spec_rows < 2) assert_true(stats->drafted_tokens == 0);
    for (int i = 0; i <= FINISH_SHUTDOWN; i++) ended += stats->finished[i];
    assert_true(stats->requests == N_CASES && ended == N_CASES);
    rig_destroy(&rig);
    free(cases);
}

static void test_random_machines(void **state) {
    (void)state;
    Rng r = {kit_seed("engine_random", 1)};
    Deeds d = {0};
    for (int i = 0; i < N_MACHINES; i++) run_machine(&r, &d);
    print_message("%llu steps, %llu preemptions, %llu guesses, %llu of them true\n",
                  (unsigned long long)d.steps, (unsigned long long)d.preemptions,
                  (unsigned long long)d.drafted, (unsigned long long)d.accepted);
    print_message("%llu prompt tokens, %llu of them found, %llu blocks evicted\n",
                  (unsigned long long)d.queried, (unsigned long long)d.found, (unsigned long long)d.evicted);
    print_message("%llu steps with somebody overtaken, %llu requests too late, %llu cancelled\n",
                  (unsigned long long)d.overtaken, (unsigned long long)d.late,
                  (unsigned long long)d.cancelled);
    assert_true(d.found > 10000 && d.evicted > 1000);
    assert_true(d.overtaken > 1000 && d.late > 100 && d.cancelled > 100);
    assert_true(d.steps > 90000 && d.preemptions > 100 && d.accepted > 1000 && d.drafted > 2 * d.accepted);
}

SUITE(engine_random, cmocka_unit_test(test_random_machines))
