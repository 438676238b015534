// What the loop counts about requests and replies, for GET /metrics and GET /stats.
//
// The engine's own figures come from engine_stats; these are the ones that only the front knows: how
// HTTP requests were answered, how generating requests ended and how long their clients waited.
//
// Thread: the loop's.
#ifndef CLLM_SERVER_METRICS_H
#define CLLM_SERVER_METRICS_H

#include "engine/engine.h"

// How a generating request ended: as the engine says, or because nobody was left to be answered.
typedef enum Outcome {
    OUTCOME_NONE = FINISH_NONE,
    OUTCOME_STOP = FINISH_STOP,
    OUTCOME_LENGTH = FINISH_LENGTH,
    OUTCOME_CANCELLED = FINISH_CANCELLED,
    OUTCOME_TIMEOUT = FINISH_TIMEOUT,
    OUTCOME_NO_TOKEN = FINISH_NO_TOKEN,
    OUTCOME_SHUTDOWN = FINISH_SHUTDOWN,
    OUTCOME_CLIENT_GONE,
    OUTCOME_SLOW_READER,
    N_OUTCOMES
} Outcome;

enum { METRICS_MAX_ROUTES = 64, METRICS_FIRST_STATUS = 200, METRICS_N_STATUSES = 400 };

// Replies, by place in the routes' table (its length: no route) and by status, from METRICS_FIRST_STATUS on.
typedef struct ReplyMetrics {
    uint64_t n[METRICS_MAX_ROUTES + 1][METRICS_N_STATUSES];
} ReplyMetrics;

// The generating requests of one model.
typedef struct RequestMetrics {
    uint64_t outcomes[N_OUTCOMES];
    Histogram queue_ns;       // submitted to first row computed, of every request that ended
    Histogram first_token_ns; // received to first token
    Histogram next_token_ns;  // token to token; guesses that came true arrive together
    Histogram request_ns;     // received to answered or given up, of every request that ended
} RequestMetrics;

extern const HistogramScale metrics_gap_scale, metrics_wait_scale; // of next_token_ns, of the others

const char *metrics_outcome_word(Outcome outcome); // "stop", "length", …, "client_gone"

void metrics_note_reply(ReplyMetrics *m, size_t route, int status);
void metrics_note_first_token(RequestMetrics *m, int64_t ns);
void metrics_note_next_token(RequestMetrics *m, int64_t ns);
void metrics_note_end(RequestMetrics *m, Outcome outcome, int64_t queue_ns, int64_t request_ns);

#endif
