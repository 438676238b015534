#include "server/app.h"

#include "base/clock.h"
#include "base/num.h"
#include "server/json_memory.h"

#include <event2/event.h>

void app_init(App *app, const ServerConfig *config) {
    json_memory_watch();
    *app = (App){.config = config, .started = time(NULL), .started_ns = clock_now_ns()};
}

void app_free(App *app) {
    CHECK(app->n_requests == 0);
    models_free(&app->models);
    keys_free(app->keys);
}

bool app_admits(const App *app, ApiError *e) {
    if (app->state == APP_READY) return true;
    if (app->state == APP_LOADING) {
        api_error_set(e, 503, "loading", NULL, "the model is still loading; try again in a moment");
        e->retry_after_s = 1;
    } else {
        api_error_set(e, 503, "draining", NULL, "the server is shutting down and takes no new requests");
    }
    return false;
}

int64_t app_deadline_ns(const App *app, int64_t timeout_ms, int64_t received_ns) {
    if (!timeout_ms) timeout_ms = app->config->default_timeout_ms;
    return timeout_ms ? received_ns + timeout_ms * 1000000 : 0;
}

void app_start_timer(struct event *timer, int64_t ns) {
    int64_t us = ns > 0 ? ns / 1000 + 1 : 0;
    struct timeval wait = {us / 1000000, us % 1000000};
    event_add(timer, &wait);
}

void app_note_end(App *app, int64_t now_ns) {
    app->ended_ns[app->n_ended++ % APP_RATE_WINDOW] = now_ns;
}

int app_retry_after(const App *app, int32_t n_waiting, int64_t now_ns) {
    size_t n = num_min(app->n_ended, APP_RATE_WINDOW);
    if (n == 0) return 1;
    int64_t oldest = app->ended_ns[(app->n_ended - n) % APP_RATE_WINDOW];
    double window = clock_seconds(now_ns - oldest);
    double wait = window / (double)n * (double)(n_waiting + 1);
    if (wait < 1) return 1;
    return wait > 600 ? 600 : (int)(wait + 0.999);
}
