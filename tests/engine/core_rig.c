#include "core_rig.h"

#include "harness.h"

static int64_t rig_now(void *ctx) {
    return ((CoreRig *)ctx)->clock;
}

static void tick(void *ctx) {
    CoreRig *rig = ctx;
    rig->clock += rig->step_ns + rig->row_ns * rig->model->n_rows;
}

static void rig_event(void *ctx, const EngineEvent *event, Seq *ended) {
    CoreRig *rig = ctx;
    kit_take_event(event);
    assert_int_equal(event->kind == ENGINE_END, ended != NULL);
    if (!ended) return;
    assert_true(ended->id == event->id);
    assert_int_equal(ended->n_blocks, 0);
    assert_true(rig->n_ended < RIG_MAX_ENDED);
    rig->ended[rig->n_ended++] = ended;
    rig->n_live--;
}

void rig_init(CoreRig *rig, const CoreShape *shape) {
    Err err = {0};
    *rig = (CoreRig){.clock = 1000, .step_ns = 10};
    rig->traits = (SeqTraits){shape->n_vocab, true, shape->config.priority_step_ns};
    rig->model =
        fake_model_new(shape->n_vocab, shape->max_context, shape->n_blocks, shape->config.row_budget);
    if (shape->max_logits) rig->model->step.max_logits = shape->max_logits;
    rig->model->called = tick;
    rig->model->ctx = rig;
    rig->workers = workers_new(1, &err);
    assert_non_null(rig->workers);
    EngineSink sink = {rig, rig_now, rig_event};
    rig->core = engine_core_new(&shape->config, &rig->model->step, rig->workers, &sink, &err);
    if (!rig->core) fail_msg("%s", err.msg);
}

void rig_bury(CoreRig *rig) {
    while (rig->n_ended > 0) seq_free(rig->ended[--rig->n_ended]);
}

void rig_check(CoreRig *rig) {
    sched_check(engine_core_sched(rig->core));
    const EngineStats *stats = engine_core_stats(rig->core);
    assert_int_equal(stats->running + stats->waiting, rig->n_live);
    if (rig->n_live == 0) assert_int_equal(stats->blocks_used, 0);
}

void rig_destroy(CoreRig *rig) {
    assert_int_equal(rig->n_live, 0);
    rig_check(rig);
    rig_bury(rig);
    engine_core_free(rig->core);
    workers_free(rig->workers);
    fake_model_free(rig->model);
}

void rig_submit(CoreRig *rig, Case *c) {
    Seq *s = seq_new(&c->request, ++rig->last_id, &rig->traits, rig->clock, NULL);
    assert_non_null(s);
    c->id = s->id;
    c->rank = s->rank;
    rig->n_live++;
    engine_core_add(rig->core, s);
    rig_check(rig);
}

void rig_cancel(CoreRig *rig, const Case *c) {
    bool lived = c->n_ends == 0;
    engine_core_cancel(rig->core, (SeqPlace){c->rank, c->id});
    assert_int_equal(c->n_ends, 1);
    if (lived) assert_int_equal(c->end.reason, FINISH_CANCELLED);
    rig_check(rig);
}

bool rig_step(CoreRig *rig) {
    bool worked = engine_core_step(rig->core);
    rig_check(rig);
    rig_bury(rig);
    return worked;
}

void rig_run(CoreRig *rig) {
    while (rig->n_live > 0) assert_true(rig_step(rig));
    assert_false(rig_step(rig));
}

const Seq *rig_seq(const CoreRig *rig, const Case *c) {
    return sched_find(engine_core_sched(rig->core), (SeqPlace){c->rank, c->id});
}
