// What the handlers share: the models, the live requests, the measured rate and the metrics.
// One per server; the loop's thread only.
#ifndef CLLM_SERVER_APP_H
#define CLLM_SERVER_APP_H

#include "server/keys.h"
#include "server/metrics.h"
#include "server/models.h"
#include "server/preparer.h"

#include <time.h>

struct event;
struct event_base;

typedef enum AppState { APP_LOADING, APP_READY, APP_DRAINING } AppState;

enum { APP_RATE_WINDOW = 64 };

typedef struct App {
    const ServerConfig *config;
    struct event_base *base; // the server's loop
    Keys *keys;              // owned; NULL: none are required
    AppState state;
    time_t started; // wall time, for `created`
    int64_t started_ns;
    bool attached; // the first model has been there
    Models models;
    Preparer *preparer;       // the server's
    struct Request *requests; // live ones: accepted by an engine and without END
    int n_requests;
    int64_t ended_ns[APP_RATE_WINDOW]; // when the last requests ended (ring)
    uint64_t n_ended;
    ReplyMetrics replies;
} App;

void app_init(App *app, const ServerConfig *config); // without keys, models and preparer
void app_free(App *app);

// May a request that needs the model come in? Otherwise *e says 503 with the state.
bool app_admits(const App *app, ApiError *e);

// When a request is too late that was received then; timeout_ms: as it says, 0: not at all. 0: never.
int64_t app_deadline_ns(const App *app, int64_t timeout_ms, int64_t received_ns);

// A timer of the loop fires once: in ns, or a little later; below 0: at once.
void app_start_timer(struct event *timer, int64_t ns);

void app_note_end(App *app, int64_t now_ns); // a request ended
// Seconds after which a place in the queue is likely: what waits, divided by the measured rate of
// ends; 1 … 600.
int app_retry_after(const App *app, int32_t n_waiting, int64_t now_ns);

#endif
