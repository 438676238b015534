#include "server/models.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "base/printable.h"
#include "server/app.h"
#include "server/request.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>

// ---- by name

// An id first: it may be the file's name of another one.
HostedModel *models_find(const Models *ms, Str name) {
    static const Str latest = STR(":latest");
    for (int32_t i = 0; i < ms->n; i++)
        if (str_eq(name, str_from(ms->at[i].served.model_id))) return &ms->at[i];
    for (int32_t i = 0; i < ms->n; i++)
        if (served_knows_model(&ms->at[i].served, name)) return &ms->at[i];
    if (name.len <= latest.len || !str_eq(str_skip(name, name.len - latest.len), latest)) return NULL;
    return models_find(ms, (Str){name.ptr, name.len - latest.len});
}

static bool unknown_model(const Models *ms, Str name, ApiError *e) {
    Buf names = {0};
    char shown[100];
    snprintf(shown, sizeof shown, "%.*s", (int)num_min(name.len, sizeof shown - 1), name.ptr);
    make_printable(shown); // it may be cut inside a letter, or be no text at all
    for (int32_t i = 0; i < ms->n; i++)
        buf_printf(&names, "%s\"%s\"", i ? ", " : "", ms->at[i].served.model_id);
    if (names.failed)
        api_error_set(e, 503, NULL, NULL, "out of memory");
    else
        api_error_set(e, 404, "model_not_found", "model", "the model \"%s\" is not served here; there is %s",
                      shown, names.ptr);
    buf_free(&names);
    return false;
}

HostedModel *models_pick(const Models *ms, Str name, ApiError *e) {
    if (name.len == 0) return &ms->at[0];
    HostedModel *m = models_find(ms, name);
    if (!m) unknown_model(ms, name, e);
    return m;
}

bool model_is_loaded(const HostedModel *m) {
    return m->state == MODEL_READY || m->state == MODEL_LEAVING;
}

const char *model_state_word(const HostedModel *m) {
    static const char *const words[N_MODEL_STATES] = {"unloaded", "waiting", "loading",
                                                      "ready",    "leaving", "unloading"};
    return words[m->state];
}

// ---- who wants it

// From the loop itself, behind what runs now: it may be an engine's events that are being read.
static void review_soon(Models *ms) {
    if (ms->n > 1) event_active(ms->review, EV_TIMEOUT, 0);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    ModelWaiter *w = arg;
    ApiError e;
    model_forget(w);
    api_error_late(&e);
    w->told(w, &e);
}

static bool watch_deadline(ModelWaiter *w, ApiError *e) {
    w->expiry = NULL;
    if (!w->deadline_ns) return true;
    w->expiry = evtimer_new(w->model->app->base, on_deadline, w);
    if (!w->expiry) return api_error_set(e, 503, NULL, NULL, "out of memory");
    app_start_timer(w->expiry, w->deadline_ns - clock_now_ns());
    return true;
}

static void enqueue(HostedModel *m, ModelWaiter *w) {
    TAILQ_INSERT_TAIL(&m->line, w, link);
    if (m->n_waiting++ == 0) m->wanted_ns = clock_now_ns();
}

static ModelWaiter *dequeue(HostedModel *m, ModelWaiter *w) {
    TAILQ_REMOVE(&m->line, w, link);
    m->n_waiting--;
    if (w->expiry) event_free(w->expiry);
    w->expiry = NULL;
    return w;
}

void model_hold(HostedModel *m) {
    m->n_holds++;
}

void model_release(HostedModel *m) {
    CHECK(m->n_holds > 0);
    if (--m->n_holds > 0) return;
    m->used_ns = clock_now_ns();
    review_soon(&m->app->models);
}

static void refuse_waiter(const HostedModel *m, ModelWaiter *w) {
    ApiError e;
    api_error_set(&e, 429, "queue_full", NULL, "%d requests wait already until \"%s\" is loaded",
                  (int)m->n_waiting, m->served.model_id);
    e.retry_after_s = app_retry_after(m->app, m->n_waiting, clock_now_ns());
    w->told(w, &e);
}

void model_want(HostedModel *m, ModelWaiter *w) {
    ApiError e;
    w->model = m;
    if (m->app->models.stopped && m->state != MODEL_READY) {
        app_admits(m->app, &e);
        w->told(w, &e);
        return;
    }
    if (m->state == MODEL_READY) {
        model_hold(m);
        w->told(w, NULL);
        return;
    }
    if (m->n_waiting >= m->app->models.max_live) {
        refuse_waiter(m, w);
        return;
    }
    if (!watch_deadline(w, &e)) {
        w->told(w, &e);
        return;
    }
    enqueue(m, w);
    if (m->state != MODEL_UNLOADED) return;
    m->state = MODEL_WAITING;
    review_soon(&m->app->models);
}

void model_forget(ModelWaiter *w) {
    HostedModel *m = w->model;
    dequeue(m, w);
    if (m->n_waiting > 0) return;
    if (m->state == MODEL_WAITING) m->state = MODEL_UNLOADED;
    review_soon(&m->app->models);
}

static void tell_line(HostedModel *m, const ApiError *e) {
    while (!TAILQ_EMPTY(&m->line)) {
        ModelWaiter *w = dequeue(m, TAILQ_FIRST(&m->line));
        if (!e) model_hold(m);
        w->told(w, e);
    }
}

// ---- what gives way to what

static void load(Models *ms, HostedModel *m) {
    m->state = MODEL_LOADING;
    ms->busy = true;
    log_event(LOG_INFO, "model_load", "model", m->served.model_id, NULL);
    ms->config->model_host.load(ms->config->model_host.ctx, m->index);
}

static void deafen(HostedModel *m) {
    if (m->engine_event) event_free(m->engine_event);
    m->engine_event = NULL;
}

static void let_go(HostedModel *m) {
    deafen(m);
    served_detach(&m->served);
}

static void unload(Models *ms, HostedModel *m) {
    m->state = MODEL_UNLOADING;
    ms->busy = true;
    log_event(LOG_INFO, "model_unload", "model", m->served.model_id, NULL);
    ms->config->model_host.unload(ms->config->model_host.ctx, m->index);
}

static void unload_attached(Models *ms, HostedModel *m) {
    let_go(m);
    unload(ms, m);
}

static HostedModel *longest_waiting(const Models *ms) {
    HostedModel *found = NULL;
    for (HostedModel *m = ms->at; m < ms->at + ms->n; m++)
        if (m->state == MODEL_WAITING && (!found || m->wanted_ns < found->wanted_ns)) found = m;
    return found;
}

static bool gives_way_before(const HostedModel *a, const HostedModel *b) {
    bool a_works = a->n_holds > 0, b_works = b->n_holds > 0;
    return a_works != b_works ? b_works : a->used_ns < b->used_ns;
}

// Among those that stay so far.
static HostedModel *next_to_leave(const Models *ms) {
    HostedModel *found = NULL;
    for (HostedModel *m = ms->at; m < ms->at + ms->n; m++)
        if (m->state == MODEL_READY && (!found || gives_way_before(m, found))) found = m;
    return found;
}

static size_t bytes_of(const Models *ms, ModelState state) {
    size_t sum = 0;
    for (const HostedModel *m = ms->at; m < ms->at + ms->n; m++) sum += m->state == state ? m->bytes : 0;
    return sum;
}

// Decides anew who has to leave for `wanted`, or, NULL, that nobody has.
static void choose_leavers(Models *ms, const HostedModel *wanted) {
    HostedModel *m;
    for (m = ms->at; m < ms->at + ms->n; m++)
        if (m->state == MODEL_LEAVING) m->state = MODEL_READY;
    while (wanted && bytes_of(ms, MODEL_READY) + wanted->bytes > ms->config->models_bytes &&
           (m = next_to_leave(ms)))
        m->state = MODEL_LEAVING;
    for (m = ms->at; m < ms->at + ms->n; m++)
        if (m->state == MODEL_READY) tell_line(m, NULL);
}

static HostedModel *free_to_leave(const Models *ms) {
    for (HostedModel *m = ms->at; m < ms->at + ms->n; m++)
        if (m->state == MODEL_LEAVING && m->n_holds == 0) return m;
    return NULL;
}

// The one that has rested for long enough; *wait_ns: until there may be one, 0: never.
static HostedModel *rested(const Models *ms, int64_t *wait_ns) {
    int64_t now = clock_now_ns();
    *wait_ns = 0;
    for (HostedModel *m = ms->at; m < ms->at + ms->n && ms->config->model_idle_ns; m++) {
        if (m->state != MODEL_READY || m->n_holds > 0) continue;
        int64_t left = m->used_ns + ms->config->model_idle_ns - now;
        if (left <= 0) return m;
        if (*wait_ns == 0 || left < *wait_ns) *wait_ns = left;
    }
    return NULL;
}

static void unload_rested(Models *ms) {
    int64_t wait_ns;
    HostedModel *m = rested(ms, &wait_ns);
    if (m)
        unload_attached(ms, m);
    else if (wait_ns)
        app_start_timer(ms->review, wait_ns + 1000000);
}

// After anything that it depends on has changed. While the host is at work there is nothing to decide.
static void review(Models *ms) {
    if (ms->busy || ms->stopped) return;
    HostedModel *wanted = longest_waiting(ms), *leaver;
    choose_leavers(ms, wanted);
    if ((leaver = free_to_leave(ms)))
        unload_attached(ms, leaver);
    else if (!wanted)
        unload_rested(ms);
    else if (bytes_of(ms, MODEL_LEAVING) == 0)
        load(ms, wanted);
}

static void on_review(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    review(arg);
}

// ---- what the host has done

static void on_engine(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    const HostedModel *m = arg;
    EngineEvent event;
    while (engine_poll(m->served.service.engine, &event)) request_on_event(&event);
}

static bool listen_to_engine(HostedModel *m, Err *err) {
    int fd = engine_event_fd(m->served.service.engine);
    m->engine_event = event_new(m->app->base, fd, EV_READ | EV_PERSIST, on_engine, m);
    if (m->engine_event && event_add(m->engine_event, NULL) == 0) return true;
    return err_set(err, ERR_NOMEM, "out of memory");
}

bool models_loaded(Models *ms, int32_t index, const Service *service, Err *err) {
    HostedModel *m = &ms->at[index];
    if (!served_attach(&m->served, service, err) || !listen_to_engine(m, err)) {
        let_go(m);
        return false;
    }
    ms->busy = false;
    ms->max_live = m->served.max_live;
    m->bytes = service->bytes;
    m->state = MODEL_READY;
    m->used_ns = clock_now_ns();
    m->n_loads++;
    if (ms->stopped) engine_stop(service->engine, false);
    log_event(LOG_INFO, "ready", "model", m->served.model_id, NULL);
    tell_line(m, NULL);
    review_soon(ms);
    return true;
}

void models_failed(Models *ms, int32_t index, const char *why, bool loaded) {
    HostedModel *m = &ms->at[index];
    ApiError e;
    ms->busy = false;
    m->state = MODEL_UNLOADED;
    log_event(LOG_ERROR, "model_not_loaded", "model", m->served.model_id, "error", why, NULL);
    api_error_set(&e, 500, "model_not_loaded", "model", "the model \"%s\" cannot be loaded: %s",
                  m->served.model_id, why);
    tell_line(m, &e);
    if (loaded) unload(ms, m);
    review_soon(ms);
}

void models_unloaded(Models *ms, int32_t index) {
    HostedModel *m = &ms->at[index];
    ms->busy = false;
    m->state = m->n_waiting ? MODEL_WAITING : MODEL_UNLOADED;
    review_soon(ms);
}

// ---- life

static void stop_one(HostedModel *m, bool now) {
    ApiError e;
    app_admits(m->app, &e);
    tell_line(m, &e);
    if (m->state == MODEL_WAITING) m->state = MODEL_UNLOADED;
    if (model_is_loaded(m)) engine_stop(m->served.service.engine, now);
}

void models_stop(Models *ms, bool now) {
    ms->stopped = true;
    for (int32_t i = 0; i < ms->n; i++) stop_one(&ms->at[i], now);
}

void models_deafen(Models *ms) {
    for (HostedModel *m = ms->at; m < ms->at + ms->n; m++) deafen(m);
}

bool models_init(Models *ms, struct App *app, const ServerConfig *config, Err *err) {
    *ms = (Models){.config = config};
    ms->at = calloc((size_t)config->n_models, sizeof *ms->at);
    ms->review = event_new(app->base, -1, 0, on_review, ms);
    if (!ms->at || !ms->review) return err_set(err, ERR_NOMEM, "out of memory");
    for (ms->n = 0; ms->n < config->n_models; ms->n++) {
        HostedModel *m = &ms->at[ms->n];
        *m = (HostedModel){
            .app = app, .index = ms->n, .spec = &config->models[ms->n], .bytes = config->models[ms->n].bytes};
        TAILQ_INIT(&m->line);
        served_init(&m->served, config, m->spec);
    }
    ms->at[0].state = MODEL_LOADING; // the host begins with it unasked
    ms->busy = true;
    return true;
}

void models_free(Models *ms) {
    for (int32_t i = 0; i < ms->n; i++) {
        CHECK(ms->at[i].n_waiting == 0);
        served_detach(&ms->at[i].served);
    }
    free(ms->at);
    if (ms->review) event_free(ms->review);
}
