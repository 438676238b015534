// Drives an EngineCore step by step under a virtual clock; every invariant is checked after every
// step and every intervention.
#ifndef CLLM_TESTS_CORE_RIG_H
#define CLLM_TESTS_CORE_RIG_H

#include "engine/engine_core.h"
#include "fake_model.h"
#include "request_kit.h"

enum { RIG_MAX_ENDED = 1000 };

typedef struct CoreRig {
    FakeModel *model;
    Workers *workers;
    EngineCore *core;
    int64_t clock; // ns; a forward pass takes step_ns, and row_ns for each row
    int64_t step_ns, row_ns;
    SeqTraits traits;
    uint64_t last_id;
    int32_t n_live;
    Seq *ended[RIG_MAX_ENDED]; // out of the engine, not yet freed
    int32_t n_ended;
} CoreRig;

typedef struct CoreShape {
    EngineConfig config;
    int32_t n_vocab, n_blocks, max_context;
    int32_t max_logits; // 0: as many as rows
} CoreShape;

void rig_init(CoreRig *rig, const CoreShape *shape);
void rig_destroy(CoreRig *rig); // nobody may live any more; the pool must be whole

void rig_submit(CoreRig *rig, Case *c);
void rig_cancel(CoreRig *rig, const Case *c);
bool rig_step(CoreRig *rig);
void rig_bury(CoreRig *rig); // frees what has ended; rig_step does it after each step
void rig_run(CoreRig *rig);  // steps until nobody lives
void rig_check(CoreRig *rig);
const Seq *rig_seq(const CoreRig *rig, const Case *c); // NULL: ended

#endif
