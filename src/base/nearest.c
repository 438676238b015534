#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

enum { ABBREVIATION_MIN = 3 }; // shorter ones stand for too many names

static size_t min3(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

// How many bytes must be changed, put in or taken out to make one name of the other.
static size_t edit_distance(const char *a, const char *b) {
    size_t row[NEAREST_MAX_NAME];
    size_t n = strnlen(b, NEAREST_MAX_NAME - 1);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; i < NEAREST_MAX_NAME && a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

Nearest nearest_to(const char *written) {
    return (Nearest){written, SIZE_MAX};
}

bool nearest_take(Nearest *n, const char *candidate, size_t handicap) {
    size_t length = strnlen(n->written, NEAREST_MAX_NAME - 1),
           other = strnlen(candidate, NEAREST_MAX_NAME - 1);
    size_t d = edit_distance(n->written, candidate);
    bool abbreviation = length >= ABBREVIATION_MIN && other > length && d == other - length;
    if ((d > length / 2 && !abbreviation) || d + handicap >= n->distance) return false;
    n->distance = d + handicap;
    return true;
}
