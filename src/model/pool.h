// Pooling: the hidden states of a sequence's rows become one vector (batch.h). In double precision and in
// the order of the positions, so that neither chunks nor threads change a bit of it.
//
// Thread: engine thread.
#ifndef CLLM_MODEL_POOL_H
#define CLLM_MODEL_POOL_H

#include "model/batch.h"

struct ModelContext;

// For the sequences that want it, once all layers have been computed.
void pool_run(struct ModelContext *c, const Batch *b);

#endif
