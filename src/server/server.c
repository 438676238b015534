#include "server/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/app.h"
#include "server/http.h"
#include "server/request.h"
#include "server/router.h"
#include "server/tls.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

typedef enum News { NO_NEWS, NEWS_ATTACHED, NEWS_FAILED, NEWS_DETACHED } News;

// What the host says of a model: one thing at a time, since it is asked one thing at a time.
typedef struct Letter {
    Service service; // ATTACHED
    Err failure;     // FAILED
    _Atomic int news; // set behind these
} Letter;

// Other threads (and signal handlers) reach the loop through a pipe: they set an atomic and write a
// byte; everything else happens on the loop.
struct Server {
    ServerConfig config;
    App app;
    struct event_base *base;
    Http *http;
    Tls *tls; // NULL: none
    struct event *wake, *tick;
    int pipe[2];
    Letter *letters; // [n_models]
    Err failure;     // why the first model is not there
    _Atomic int n_stops, must_reload, level_change;
    bool stopped_now, failed;
    int64_t drain_until_ns; // then what still runs is ended
    int64_t flush_until_ns; // after the last END: how long replies may take to reach their readers
};

enum { SERVER_FLUSH_MS = 2000, SERVER_TICK_MS = 20 };

static void wake(Server *s) {
    int saved = errno;
    ssize_t n = write(s->pipe[1], "", 1); // a full pipe wakes as well
    (void)n;
    errno = saved;
}

static void deliver(Server *s, Letter *letter, News news) {
    atomic_store(&letter->news, news);
    wake(s);
}

void server_attach(Server *s, int32_t model, const Service *service) {
    s->letters[model].service = *service;
    deliver(s, &s->letters[model], NEWS_ATTACHED);
}

void server_fail(Server *s, int32_t model, const char *message) {
    err_set(&s->letters[model].failure, ERR_IO, "%s", message);
    deliver(s, &s->letters[model], NEWS_FAILED);
}

void server_detach(Server *s, int32_t model) {
    deliver(s, &s->letters[model], NEWS_DETACHED);
}

void server_stop(Server *s) {
    atomic_fetch_add(&s->n_stops, 1);
    wake(s);
}

void server_reload(Server *s) {
    atomic_store(&s->must_reload, 1);
    wake(s);
}

void server_change_log_level(Server *s, int by) {
    atomic_fetch_add(&s->level_change, by);
    wake(s);
}

// ---- what signals ask for

static void reopen_log(void) {
    Err err;
    if (log_reopen(&err))
        log_event(LOG_INFO, "log_reopened", NULL);
    else
        log_event(LOG_ERROR, "log_not_reopened", "error", err.msg, NULL);
}

// The line is written by the more talkative of the two levels, so that it also says that less follows.
static void change_log_level(int by) {
    LogLevel old = log_level();
    int wanted = (int)old + by;
    LogLevel level = wanted < LOG_ERROR ? LOG_ERROR : wanted > LOG_DEBUG ? LOG_DEBUG : (LogLevel)wanted;
    if (level > old) log_set_level(level);
    log_event(LOG_INFO, "log_level", "level", log_level_name(level), NULL);
    log_set_level(level);
}

static void reload_keys(Keys *keys) {
    Err err;
    if (!keys_reload(keys, &err))
        log_event(LOG_ERROR, "keys_not_reloaded", "error", err.msg, NULL);
    else if (keys_required(keys))
        log_f(LOG_INFO, "keys_reloaded", "keys=%zu", keys_count(keys));
}

static void reload_certificate(Tls *tls) {
    Err err;
    if (!tls) return;
    if (tls_reload(tls, &err))
        tls_log_certificate(tls);
    else
        log_event(LOG_ERROR, "certificate_not_reloaded", "error", err.msg, NULL);
}

static void obey_signals(Server *s) {
    int by = atomic_exchange(&s->level_change, 0);
    if (atomic_exchange(&s->must_reload, 0)) {
        reopen_log();
        reload_keys(s->app.keys);
        reload_certificate(s->tls);
    }
    if (by) change_log_level(by);
}

// ---- what the host says

// Without the first model, at the start, there is no server.
static void take_failure(Server *s, int32_t model, const Err *why, bool loaded) {
    if (s->app.attached) {
        models_failed(&s->app.models, model, why->msg, loaded);
        return;
    }
    s->failure = *why;
    s->failed = true;
}

static void attach(Server *s, int32_t model, const Service *service) {
    Err err;
    App *app = &s->app;
    bool ok = app->preparer || (app->preparer = preparer_new(s->base, &err));
    if (!ok || !models_loaded(&app->models, model, service, &err)) {
        take_failure(s, model, &err, true);
        return;
    }
    app->attached = true;
    if (app->state == APP_LOADING) app->state = APP_READY;
}

static void read_letters(Server *s) {
    for (int32_t i = 0; i < s->config.n_models; i++) {
        Letter *letter = &s->letters[i];
        switch (atomic_exchange(&letter->news, NO_NEWS)) {
        case NEWS_ATTACHED: attach(s, i, &letter->service); break;
        case NEWS_FAILED: take_failure(s, i, &letter->failure, false); break;
        case NEWS_DETACHED: models_unloaded(&s->app.models, i); break;
        default: break;
        }
    }
}

// ---- draining

static void end_everything(Server *s) {
    if (s->stopped_now) return;
    s->stopped_now = true;
    log_f(LOG_INFO, "stopping_now", "requests=%d", s->app.n_requests);
    models_stop(&s->app.models, true);
}

static void begin_drain(Server *s) {
    s->app.state = APP_DRAINING;
    log_f(LOG_INFO, "draining", "requests=%d timeout_s=%d", s->app.n_requests, s->config.drain_timeout_s);
    models_stop(&s->app.models, false);
    struct timeval tick = {0, SERVER_TICK_MS * 1000};
    s->drain_until_ns = clock_now_ns() + (int64_t)s->config.drain_timeout_s * 1000000000;
    event_add(s->tick, &tick);
}

// Only while draining: the end is many conditions, and none is in a hurry. The last replies get
// some time to reach their readers.
static void on_tick(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    Server *s = arg;
    int64_t now = clock_now_ns();
    if (now >= s->drain_until_ns) end_everything(s);
    if (s->app.n_requests > 0 || preparer_n_jobs(s->app.preparer) > 0) return;
    if (s->flush_until_ns == 0) s->flush_until_ns = now + SERVER_FLUSH_MS * 1000000LL;
    if (http_n_busy(s->http) == 0 || now >= s->flush_until_ns) event_base_loopbreak(s->base);
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    Server *s = arg;
    char drop[64];
    while (read(fd, drop, sizeof drop) > 0) continue;
    obey_signals(s);
    read_letters(s);
    if (s->failed) event_base_loopbreak(s->base);
    int n_stops = atomic_load(&s->n_stops);
    if (n_stops > 0 && s->app.state != APP_DRAINING) begin_drain(s);
    if (n_stops > 1) end_everything(s);
}

// ---- life

static bool open_pipe(Server *s, Err *err) {
    if (pipe(s->pipe) != 0) {
        s->pipe[0] = s->pipe[1] = -1;
        return err_set(err, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        fcntl(s->pipe[i], F_SETFL, O_NONBLOCK);
        fcntl(s->pipe[i], F_SETFD, FD_CLOEXEC);
    }
    return true;
}

static bool open_events(Server *s, Err *err) {
    s->base = event_base_new();
    if (!s->base) return err_set(err, ERR_NOMEM, "cannot make an event loop");
    s->wake = event_new(s->base, s->pipe[0], EV_READ | EV_PERSIST, on_wake, s);
    s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
    s->app.base = s->base;
    if (s->wake && s->tick && event_add(s->wake, NULL) == 0) return true;
    return err_set(err, ERR_NOMEM, "out of memory");
}

static bool open_letters(Server *s, Err *err) {
    s->letters = calloc((size_t)s->config.n_models, sizeof *s->letters);
    return s->letters || err_set(err, ERR_NOMEM, "out of memory");
}

static bool open_tls(Server *s, Err *err) {
    const char *cert = s->config.tls_cert, *key = s->config.tls_key;
    bool has_cert = cert && *cert, has_key = key && *key;
    if (has_cert != has_key) return err_set(err, ERR_INVALID, "--tls-cert and --tls-key belong together");
    if (!has_cert) return true;
    s->tls = tls_new(cert, key, err);
    if (s->tls) tls_log_certificate(s->tls);
    return s->tls != NULL;
}

static bool open_http(Server *s, Err *err) {
    HttpCalls calls = router_calls(&s->app);
    HttpConfig http = {
        .host = s->config.host,
        .port = s->config.port,
        .limits = s->config.limits,
        .max_pending_bytes = s->config.max_pending_bytes,
        .tls = s->tls,
        .cors_origin = s->config.cors_origin,
    };
    s->http = http_new(s->base, &http, &calls, err);
    return s->http != NULL;
}

Server *server_new(const ServerConfig *config, Err *err) {
    Server *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    s->config = *config;
    s->pipe[0] = s->pipe[1] = -1;
    app_init(&s->app, &s->config);
    if (open_letters(s, err) && (s->app.keys = keys_new(config->api_key, config->api_key_file, err)) && open_tls(s, err) &&
        open_pipe(s, err) && open_events(s, err) && models_init(&s->app.models, &s->app, &s->config, err) &&
        open_http(s, err))
        return s;
    server_free(s);
    return NULL;
}

int server_port(const Server *s) {
    return http_port(s->http);
}

static void free_event(struct event *e) {
    if (e) event_free(e);
}

bool server_run(Server *s, Err *err) {
    log_f(LOG_INFO, "listening", "port=%d", server_port(s));
    bool looped = event_base_dispatch(s->base) >= 0;
    models_deafen(&s->app.models);  // the engines may be freed before the server
    preparer_stop(s->app.preparer); // and so may what it reads
    if (!looped) return err_set(err, ERR_IO, "the event loop failed");
    if (!s->failed) {
        log_f(LOG_INFO, "stopped", "requests=%d", s->app.n_requests);
        return true;
    }
    *err = s->failure;
    return false;
}

void server_free(Server *s) {
    if (!s) return;
    http_free(s->http); // tells the last clients' requests that they have gone
    preparer_free(s->app.preparer);
    free_event(s->wake);
    free_event(s->tick);
    app_free(&s->app);
    if (s->base) event_base_free(s->base); // what libevent frees later has been freed now
    tls_free(s->tls);
    free(s->letters);
    for (int i = 0; i < 2; i++)
        if (s->pipe[i] >= 0) close(s->pipe[i]);
    free(s);
}
