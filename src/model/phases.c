#include "model/phases.h"

#include "base/clock.h"

void phases_begin(ModelPhases *p) {
    p->since = clock_now_ns();
}

void phases_end(ModelPhases *p, ModelPhase phase) {
    int64_t now = clock_now_ns(), sum = phases_ns(p, phase) + now - p->since;
    atomic_store_explicit(&p->ns[phase], sum, memory_order_relaxed); // there is one writer
    p->since = now;
}

int64_t phases_ns(const ModelPhases *p, ModelPhase phase) {
    return atomic_load_explicit(&p->ns[phase], memory_order_relaxed);
}
