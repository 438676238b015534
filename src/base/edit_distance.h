// How many bytes must be changed, put in or taken out to make one name of another (Levenshtein):
// for "did you mean".
#ifndef CLLM_BASE_EDIT_DISTANCE_H
#define CLLM_BASE_EDIT_DISTANCE_H

#include <stddef.h>

enum { EDIT_MAX_NAME = 64 };

// Names longer than EDIT_MAX_NAME - 1 bytes are cut.
size_t edit_distance(const char *a, const char *b);

#endif
