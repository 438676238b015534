// The engine without threads: sequences in, events out, one step at a time.
//
// engine.c drives it from the engine thread; the tests drive it directly, under a virtual clock
// and with every invariant checked after every step. A step allocates and frees nothing.
// Thread: whoever drives it; one at a time.
#ifndef CLLM_ENGINE_ENGINE_CORE_H
#define CLLM_ENGINE_ENGINE_CORE_H

#include "engine/engine.h"
#include "engine/sched.h"

typedef struct EngineCore EngineCore;

// Where the core's time comes from and its events go.
typedef struct EngineSink {
    void *ctx;
    int64_t (*now)(void *ctx); // ns, never 0, never goes back
    // `ended` is NULL with TOKEN. With END it is the sequence itself, out of the line and without
    // blocks; the receiver owns it from here.
    void (*event)(void *ctx, const EngineEvent *event, Seq *ended);
} EngineSink;

// Also checks the config against the model. Model and workers are borrowed.
EngineCore *engine_core_new(const EngineConfig *config, const StepModel *model, Workers *workers,
                            const EngineSink *sink, Err *err);
void engine_core_free(EngineCore *c); // every sequence must have ended; NULL is allowed

void engine_core_add(EngineCore *c, Seq *s);         // takes ownership until END; ids are unique
void engine_core_cancel(EngineCore *c, SeqPlace at); // ends it now; who is not there does nothing
void engine_core_end_all(EngineCore *c, FinishReason reason);
void engine_core_expire(EngineCore *c);                 // ends every sequence whose deadline has passed
int64_t engine_core_next_deadline(const EngineCore *c); // 0: none

// Plans, computes and samples one step; one in which all wait for their masks has no rows. false: there is
// nobody to work for. At most max_running or
// spec_rows TOKEN events, whichever is more, and no more END events than there are sequences.
bool engine_core_step(EngineCore *c);

// Counts and gauges as of now (the plain values behind engine_stats).
const EngineStats *engine_core_stats(EngineCore *c);
const Sched *engine_core_sched(const EngineCore *c); // for sched_check

#endif
