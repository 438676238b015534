// The log-probabilities of a text's tokens, and where in the text each of them begins.
//
// A token counts as shown when the text at its beginning is: what waits for the rest of a code point, or
// might belong to a stop string, is not told before it is shown, and what a stop string cuts off is
// never told. Places are in code points, as OpenAI's text_offset.
//
// Thread: one at a time.
#ifndef CLLM_SERVER_TOKEN_LOG_H
#define CLLM_SERVER_TOKEN_LOG_H

#include "engine/logprobs.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct TokenLog {
    int32_t width;      // TokenLogprobs of a row: the token's own and the likeliest; 0: nothing is kept
    int32_t n, n_shown; // tokens; those that count as shown
    int32_t n_told;     // of those, the ones that a stream has told: the reader's
    TokenLogprob *rows; // [n][width]
    size_t *starts;     // [n]
    size_t capacity;
} TokenLog;

void token_log_free(TokenLog *log);

// One more token, which begins at `start`. false: no memory.
bool token_log_add(TokenLog *log, const TokenLogprob *row, size_t start);
// So much of the text is shown now.
void token_log_show(TokenLog *log, size_t n_chars);

static inline const TokenLogprob *token_log_row(const TokenLog *log, int32_t i) {
    return log->rows + (size_t)i * (size_t)log->width;
}

#endif
