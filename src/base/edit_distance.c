#include "base/edit_distance.h"

#include <string.h>

static size_t min3(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

size_t edit_distance(const char *a, const char *b) {
    size_t row[EDIT_MAX_NAME];
    size_t n = strnlen(b, EDIT_MAX_NAME - 1);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; i < EDIT_MAX_NAME && a[i - 1]; i++) {
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
