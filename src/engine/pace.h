// How many rows of prompts a step may have, so that the sequences that decode beside them keep their pace.
//
// A step ends for all at once, so a chunk of somebody's prompt is what everybody else's next token waits
// for. How long that is depends on the machine, the model and how far into the prompt the chunk lies: from
// next to nothing to many times a step that only decodes. So both are measured, such a step and a row of a
// prompt, and prompts get as many rows as leave the decoding ones their share of the step's time. At least
// PACE_LEAST_ROWS, though: each chunk reads the keys and values before it, and small ones far into a prompt
// would do little else.
//
// A step's time is taken to be in proportion to the number of those that decode. Where reading the weights
// takes the time it is not: then the estimate for fewer is too short, and they wait less than their share
// would allow.
//
// Thread: the engine thread only.
#ifndef CLLM_ENGINE_PACE_H
#define CLLM_ENGINE_PACE_H

#include "model/batch.h"

enum { PACE_LEAST_ROWS = 16 };

typedef struct Pace {
    float seq_ns;   // of a step that only decodes, for each sequence; 0: not known yet
    int32_t n_seqs; // of the latest such step
    float row_ns;   // what a row of a prompt adds to a step; 0: not known yet
} Pace;

void pace_learn(Pace *p, const Batch *b, int64_t ns); // after each step, with the time it took

// Most rows of prompts, all together, beside n_decoding >= 1 sequences that are to keep `share` percent
// (1 … 100) of the step's time. INT32_MAX while too little is known.
int32_t pace_prompt_rows(const Pace *p, int32_t n_decoding, int32_t share);

#endif
