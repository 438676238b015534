// Where the time of the forward pass goes: nanoseconds per phase, summed over steps and layers.
//
// The engine thread reads the clock at the end of each phase and adds the time since the last reading
// to it; four readings a layer cost some microseconds a step, so the clock always runs. Anybody may read
// the sums at any time.
#ifndef CLLM_MODEL_PHASES_H
#define CLLM_MODEL_PHASES_H

#include <stdatomic.h>
#include <stdint.h>

typedef enum ModelPhase {
    PHASE_QKV,       // norm, quantise, the product of queries, keys and values
    PHASE_ATTENTION, // rotate and store, attend
    PHASE_OUTPUT,    // quantise, the output product of attention
    PHASE_FFN,       // the feed-forward block
    PHASE_HEAD,      // the last norm and the output matrix
    PHASE_OTHER,     // laying out the step, embeddings
    N_MODEL_PHASES
} ModelPhase;

typedef struct ModelPhases {
    _Atomic int64_t ns[N_MODEL_PHASES];
    int64_t since; // the last reading; the engine thread's own
} ModelPhases;

// Engine thread.
void phases_begin(ModelPhases *p);
void phases_end(ModelPhases *p, ModelPhase phase); // begins the next one too

int64_t phases_ns(const ModelPhases *p, ModelPhase phase); // any thread

#endif
