#include "api/front.h"

#include "base/clock.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

// ---- requests ----

static void link_request(Front *f, FrontRequest *r) {
    r->next = f->requests;
    if (r->next) r->next->prev = r;
    f->requests = r;
}

static void free_request(FrontRequest *r) {
    if (r->prev)
        r->prev->next = r->next;
    else
        r->front->requests = r->next;
    if (r->next) r->next->prev = r->prev;
    detok_free(r->detok);
    buf_free(&r->text);
    buf_free(&r->taken);
    free(r);
}

static void finish(FrontRequest *r, FinishReason why) {
    if (r->outcome != FINISH_NONE) return;
    r->outcome = why;
    detok_finish(r->detok, &r->text);
}

static void on_token(FrontRequest *r, const EngineEvent *event) {
    if (r->outcome != FINISH_NONE) return;
    r->n_generated = event->n_generated;
    if (detok_push(r->detok, event->token, &r->text)) {
        finish(r, FINISH_STOP);
        engine_cancel(r->front->engine, r->id);
    }
}

static void on_event(const EngineEvent *event) {
    FrontRequest *r = event->user;
    r->n_prompt = event->n_prompt;
    r->n_cached = event->n_cached;
    if (event->kind == ENGINE_TOKEN) {
        on_token(r, event);
        return;
    }
    finish(r, event->reason);
    r->ended = true;
    if (r->released) free_request(r);
}

// Not beside a collector that sleeps: it would not wake for what was read away from its descriptor.
static void collect(Front *f) {
    EngineEvent event;
    bool any = false;
    if (f->collecting) return;
    while (engine_poll(f->engine, &event)) {
        on_event(&event);
        any = true;
    }
    if (any) pthread_cond_broadcast(&f->changed);
}

// ---- waiting ----

// What is left of the time in ms, rounded up; below 0: for ever.
static int ms_until(int64_t deadline_ns) {
    if (deadline_ns < 0) return -1;
    int64_t left = deadline_ns - clock_now_ns();
    return left <= 0 ? 0 : (int)((left + 999999) / 1000000);
}

static void sleep_as_collector(Front *f, int64_t deadline_ns) {
    struct pollfd fd = {.fd = engine_event_fd(f->engine), .events = POLLIN};
    f->collecting = true;
    pthread_mutex_unlock(&f->lock);
    poll(&fd, 1, ms_until(deadline_ns));
    pthread_mutex_lock(&f->lock);
    f->collecting = false;
    pthread_cond_broadcast(&f->changed); // this one may leave
}

static void sleep_beside_collector(Front *f, int64_t deadline_ns) {
    if (deadline_ns < 0) {
        pthread_cond_wait(&f->changed, &f->lock);
        return;
    }
    struct timespec until = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};
    pthread_cond_timedwait(&f->changed, &f->lock, &until);
}

static bool take(FrontRequest *r) {
    Buf lent = r->taken;
    buf_clear(&lent);
    r->taken = r->text;
    r->failed = r->failed || r->taken.failed;
    r->text = lent;
    return r->taken.len > 0 || r->outcome != FINISH_NONE;
}

bool front_wait(FrontRequest *r, int timeout_ms) {
    Front *f = r->front;
    int64_t deadline_ns = timeout_ms < 0 ? -1 : clock_now_ns() + (int64_t)timeout_ms * 1000000;
    pthread_mutex_lock(&f->lock);
    collect(f);
    while (r->text.len == 0 && r->outcome == FINISH_NONE && ms_until(deadline_ns) != 0) {
        if (f->collecting)
            sleep_beside_collector(f, deadline_ns);
        else
            sleep_as_collector(f, deadline_ns);
        collect(f);
    }
    bool found = take(r);
    pthread_mutex_unlock(&f->lock);
    return found;
}

// ---- the rest ----

FrontRequest *front_submit(Front *f, EngineRequest *request, Detok *detok, SubmitResult *result, Err *err) {
    FrontRequest *r = calloc(1, sizeof *r);
    *result = SUBMIT_BAD;
    if (!r) {
        detok_free(detok);
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    *r = (FrontRequest){.front = f, .detok = detok, .n_prompt = request->n_prompt};
    request->user = r;
    pthread_mutex_lock(&f->lock);
    link_request(f, r);
    *result = engine_submit(f->engine, request, &r->id, err);
    if (*result != SUBMIT_OK) {
        free_request(r);
        r = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    return r;
}

void front_cancel(FrontRequest *r) {
    pthread_mutex_lock(&r->front->lock);
    engine_cancel(r->front->engine, r->id);
    pthread_mutex_unlock(&r->front->lock);
}

void front_release(FrontRequest *r) {
    Front *f = r->front;
    pthread_mutex_lock(&f->lock);
    collect(f);
    r->released = true;
    if (r->ended)
        free_request(r);
    else
        engine_cancel(f->engine, r->id);
    pthread_mutex_unlock(&f->lock);
}

bool front_open(Front *f, Engine *engine, Err *err) {
    pthread_condattr_t attributes;
    *f = (Front){.engine = engine};
    if (pthread_condattr_init(&attributes) != 0) return err_set(err, ERR_NOMEM, "out of memory");
    // clock_now_ns() is this clock.
    bool ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
              pthread_mutex_init(&f->lock, NULL) == 0;
    if (ok && pthread_cond_init(&f->changed, &attributes) != 0) {
        pthread_mutex_destroy(&f->lock);
        ok = false;
    }
    pthread_condattr_destroy(&attributes);
    if (!ok) f->engine = NULL;
    return ok || err_set(err, ERR_NOMEM, "out of memory");
}

void front_close(Front *f) {
    if (!f->engine) return;
    while (f->requests) free_request(f->requests);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
}
