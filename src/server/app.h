// What the handlers share: the configuration, the model's parts once they are there, the live
// requests, the measured rate and the metrics. One per server; the loop's thread only.
#ifndef CLLM_SERVER_APP_H
#define CLLM_SERVER_APP_H

#include "server/api_error.h"
#include "server/keys.h"
#include "server/metrics.h"
#include "server/prompt.h"
#include "server/server.h"

#include <time.h>

typedef enum AppState { APP_LOADING, APP_READY, APP_DRAINING } AppState;

enum { APP_RATE_WINDOW = 64 };

typedef struct App {
    const ServerConfig *config;
    Keys *keys; // owned; NULL: none are required
    AppState state;
    time_t started; // wall time, for `created`
    int64_t started_ns;
    char model_id[128]; // `model` in replies
    // From APP_READY on:
    bool attached;
    Service service;
    ModelInfo model; // zeroed when the service names no model (tests)
    PromptEncoder *prompts;
    struct Request *requests; // live ones: accepted by the engine and without END
    int n_requests;
    int64_t ended_ns[APP_RATE_WINDOW]; // when the last requests ended (ring)
    uint64_t n_ended;
    Metrics metrics;
} App;

void app_init(App *app, const ServerConfig *config);
bool app_attach(App *app, const Service *service, Err *err);
void app_free(App *app);

// May a request that needs the model come in? Otherwise *e says 503 with the state.
bool app_admits(const App *app, ApiError *e);

// Could a text of so many bytes be a prompt at all? Asked before it is rendered or encoded, which
// takes the loop's time: *e says 400 with both numbers when it has surely more tokens than a request
// may have. `what` names it in the message and is the error's param.
bool app_admits_text(const App *app, const char *what, size_t n_bytes, ApiError *e);

void app_note_end(App *app, int64_t now_ns); // a request ended
// Seconds after which a place in the queue is likely: what waits, divided by the measured rate of
// ends; 1 … 600.
int app_retry_after(const App *app, int32_t n_waiting, int64_t now_ns);

// Does a client's `model` field mean the model that is served? Its id, name or file name.
bool app_knows_model(const App *app, Str name);

#endif
