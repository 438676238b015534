#include "server/metrics.h"

enum { US = 1000, MS = 1000000 };

const HistogramScale metrics_gap_scale = {1e-9,
                                          15,
                                          {500 * US, 1 * MS, 2500 * US, 5 * MS, 10 * MS, 25 * MS, 50 * MS,
                                           75 * MS, 100 * MS, 150 * MS, 250 * MS, 500 * MS, 1000 * MS,
                                           2500ull * MS, 5000ull * MS}};
const HistogramScale metrics_wait_scale = {1e-9,
                                           16,
                                           {1 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS,
                                            500 * MS, 1000 * MS, 2500ull * MS, 5000ull * MS, 10000ull * MS,
                                            20000ull * MS, 40000ull * MS, 80000ull * MS, 160000ull * MS}};

const char *metrics_outcome_word(Outcome outcome) {
    static const char *const words[] = {
        [OUTCOME_NONE] = "none",
        [OUTCOME_STOP] = "stop",
        [OUTCOME_LENGTH] = "length",
        [OUTCOME_CANCELLED] = "cancelled",
        [OUTCOME_TIMEOUT] = "timeout",
        [OUTCOME_NO_TOKEN] = "no_token",
        [OUTCOME_SHUTDOWN] = "shutdown",
        [OUTCOME_CLIENT_GONE] = "client_gone",
        [OUTCOME_SLOW_READER] = "slow_reader",
    };
    return words[outcome];
}

void metrics_note_reply(ReplyMetrics *m, size_t route, int status) {
    int place = status - METRICS_FIRST_STATUS;
    CHECK(route <= METRICS_MAX_ROUTES && place >= 0 && place < METRICS_N_STATUSES);
    m->n[route][place]++;
}

void metrics_note_first_token(RequestMetrics *m, int64_t ns) {
    histogram_add(&m->first_token_ns, &metrics_wait_scale, (uint64_t)ns);
}

void metrics_note_next_token(RequestMetrics *m, int64_t ns) {
    histogram_add(&m->next_token_ns, &metrics_gap_scale, (uint64_t)ns);
}

void metrics_note_end(RequestMetrics *m, Outcome outcome, int64_t queue_ns, int64_t request_ns) {
    m->outcomes[outcome]++;
    histogram_add(&m->queue_ns, &metrics_wait_scale, (uint64_t)queue_ns);
    histogram_add(&m->request_ns, &metrics_wait_scale, (uint64_t)request_ns);
}
