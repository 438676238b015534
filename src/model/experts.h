// A feed-forward of experts: a router gives each row to a few of many, and adds up what they make of it.
//
// Thread: the engine thread; the team computes.
#ifndef CLLM_MODEL_EXPERTS_H
#define CLLM_MODEL_EXPERTS_H

#include "model/share.h"

// The layer's feed-forward for all rows of the share, which is the whole step; adds to c->x.
void run_experts(Share *s);

#endif
