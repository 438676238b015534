// The name that a misspelt one may stand for: "did you mean".
//
//     Nearest near = nearest_to(written);
//     for (each candidate c) if (nearest_take(&near, c->name, 0)) best = c;
//
// Near is what differs in at most half of the written bytes (Levenshtein), or only lacks some of the
// candidate's ("temp" of "temperature"); a guess from further away says nothing.
#ifndef CLLM_BASE_NEAREST_H
#define CLLM_BASE_NEAREST_H

#include <stdbool.h>
#include <stddef.h>

enum { NEAREST_MAX_NAME = 64 };

typedef struct Nearest {
    const char *written; // borrowed
    size_t distance;     // of the nearest so far
} Nearest;

Nearest nearest_to(const char *written);

// Whether `candidate` is near and nearer than all before. `handicap` is added to its distance. Names longer
// than NEAREST_MAX_NAME - 1 bytes are cut.
bool nearest_take(Nearest *n, const char *candidate, size_t handicap);

#endif
