#include "server/token_log.h"

#include <stdlib.h>
#include <string.h>

void token_log_free(TokenLog *log) {
    free(log->rows);
    free(log->starts);
}

static bool grow(TokenLog *log) {
    size_t capacity = log->capacity ? 2 * log->capacity : 16;
    TokenLogprob *rows = realloc(log->rows, capacity * (size_t)log->width * sizeof *rows);
    if (rows) log->rows = rows;
    size_t *starts = realloc(log->starts, capacity * sizeof *starts);
    if (starts) log->starts = starts;
    if (rows && starts) log->capacity = capacity;
    return rows && starts;
}

bool token_log_add(TokenLog *log, const TokenLogprob *row, size_t start) {
    if ((size_t)log->n == log->capacity && !grow(log)) return false;
    size_t width = (size_t)log->width;
    memcpy(log->rows + (size_t)log->n * width, row, width * sizeof *row);
    log->starts[log->n++] = start;
    return true;
}

void token_log_show(TokenLog *log, size_t n_chars) {
    while (log->n_shown < log->n && log->starts[log->n_shown] < n_chars) log->n_shown++;
}
