#include "server/preparer.h"

#include "base/clock.h"
#include "base/quiet_thread.h"
#include "base/shortage.h"
#include "server/api_gen.h"
#include "server/app.h"
#include "server/parse.h"
#include "server/request.h"

#include <event2/event.h>

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

// Jobs in the order in which they came.
typedef struct JobLine {
    Job *first, **end; // end: NULL while it is empty
} JobLine;

struct Preparer {
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; // of what follows
    pthread_cond_t changed;
    JobLine waiting, ready;
    bool quit;
    // The loop's:
    int fd; // readable when there may be jobs in `ready`
    struct event *event;
    int n_jobs;
};

static void line_push(JobLine *line, Job *job) {
    job->next = NULL;
    *(line->first ? line->end : &line->first) = job;
    line->end = &job->next;
}

static Job *line_take(JobLine *line) {
    Job *job = line->first;
    if (job) line->first = job->next;
    return job;
}

// What memory was too short for may have been read in part.
static void parse_job(Job *job) {
    shortage_begin();
    job->step = JOB_RUN;
    if (job->body.len == 0 && job->may_be_empty)
        job->json = json_object();
    else
        job->json = parse_body(job->body, &job->error);
    if (shortage_noted()) api_error_set(&job->error, 503, NULL, NULL, "out of memory");
}

static void run_job(Job *job) {
    shortage_begin();
    job->step = JOB_CLEAR;
    job->kind->run(job);
    if (shortage_noted()) api_error_set(&job->error, 503, NULL, NULL, "out of memory");
}

static void clear_job(Job *job) {
    job->step = JOB_FREE;
    job->kind->clear(job);
    json_decref(job->json);
}

static void free_job(Job *job) {
    if (job->step != JOB_FREE) clear_job(job);
    if (job->model) model_release(job->model);
    http_free_body(job->body_owner);
    free(job);
}

// ---- the thread

static Job *wait_for_job(Preparer *p) {
    pthread_mutex_lock(&p->lock);
    while (!p->waiting.first && !p->quit) pthread_cond_wait(&p->changed, &p->lock);
    Job *job = p->quit ? NULL : line_take(&p->waiting);
    pthread_mutex_unlock(&p->lock);
    return job;
}

static void hand_over(Preparer *p, Job *job) {
    pthread_mutex_lock(&p->lock);
    line_push(&p->waiting, job);
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void hand_back(Preparer *p, Job *job) {
    uint64_t one = 1;
    pthread_mutex_lock(&p->lock);
    line_push(&p->ready, job);
    pthread_mutex_unlock(&p->lock);
    while (write(p->fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void step_job(Job *job) {
    switch (job->step) {
    case JOB_PARSE: parse_job(job); break;
    case JOB_RUN: run_job(job); break;
    default: clear_job(job); break;
    }
}

// A job that was dropped goes on to its end all the same, without work.
static void *preparer_main(void *arg) {
    Preparer *p = arg;
    for (Job *job; (job = wait_for_job(p));) {
        if (job->step == JOB_CLEAR || !atomic_load(&job->dropped)) step_job(job);
        hand_back(p, job);
    }
    return NULL;
}

// ---- the loop

static void on_client_gone(void *user);

static void keep(Job *job) {
    if (job->kept) return;
    job->kept = true;
    job->app->preparer->n_jobs++;
    http_keep(job->x, on_client_gone, job);
}

static void answer(Job *job) {
    shortage_begin();
    if (job->kept) job->app->preparer->n_jobs--;
    if (job->x && job->error.status)
        api_error_reply(job->x, job->dialect, &job->error);
    else if (job->x)
        job->kind->done(job);
    if (job->left) job->left(job);
    http_free_body(job->body_owner); // here: its bytes are counted by the loop
    job->body_owner = NULL;
}

static void end_job(Job *job) {
    answer(job);
    job->step = JOB_CLEAR;
    if (job->small)
        free_job(job);
    else
        hand_over(job->app->preparer, job);
}

static void on_model(ModelWaiter *w, const ApiError *e) {
    Job *job = (Job *)((char *)w - offsetof(Job, waiter));
    job->waits = false;
    if (e) {
        job->error = *e;
        end_job(job);
        return;
    }
    job->model = w->model;
    job->served = &w->model->served;
    if (!job->small) {
        hand_over(job->app->preparer, job);
        return;
    }
    run_job(job);
    end_job(job);
}

// As it says in `model`, or in Ollama's older word for it.
static HostedModel *named_model(const Job *job, ApiError *e) {
    Fields f = fields_of(job->json, e);
    Str name = {"", 0};
    fields_str(&f, "model", &name);
    if (name.len == 0 && job->dialect == DIALECT_OLLAMA) fields_str(&f, "name", &name);
    return f.ok ? models_pick(&job->app->models, name, e) : NULL;
}

// One that cannot be read is for `run` to refuse.
static int64_t deadline_of(const Job *job) {
    ApiError unread;
    int64_t timeout_ms = 0;
    Fields f = fields_of(job->json, &unread);
    gen_read_timeout(&f, &timeout_ms);
    return app_deadline_ns(job->app, timeout_ms, job->received_ns);
}

static void find_model(Job *job) {
    HostedModel *m = job->x && !job->error.status ? named_model(job, &job->error) : NULL;
    if (!m) {
        end_job(job);
        return;
    }
    if (m->state != MODEL_READY) keep(job);
    job->waits = true;
    job->waiter.deadline_ns = deadline_of(job);
    model_want(m, &job->waiter);
}

static void on_client_gone(void *user) {
    Job *job = user;
    job->x = NULL;
    atomic_store(&job->dropped, true);
    if (!job->waits) return;
    job->waits = false;
    model_forget(&job->waiter);
    end_job(job);
}

static void go_on(Job *job) {
    switch (job->step) {
    case JOB_FREE: free_job(job); break;
    case JOB_CLEAR: end_job(job); break;
    default:
        if (job->model) // dropped before it has run
            end_job(job);
        else
            find_model(job);
    }
}

static void on_ready(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    Preparer *p = arg;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count); // an old wake-up finds nothing, which is no harm
    (void)n;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        Job *job = line_take(&p->ready);
        pthread_mutex_unlock(&p->lock);
        if (!job) return;
        go_on(job);
    }
}

Job *preparer_new_job(struct App *app, HttpExchange *x, const JobKind *kind, Dialect dialect) {
    Job *job = calloc(1, kind->size);
    if (!job || !http_take_body(x, &job->body_owner, &job->body)) {
        free(job);
        api_no_memory_reply(x, dialect);
        return NULL;
    }
    job->kind = kind;
    job->dialect = dialect;
    job->received_ns = clock_now_ns();
    job->app = app;
    job->x = x;
    job->small = job->body.len < PREPARER_SMALL_BODY;
    job->waiter.told = on_model;
    return job;
}

void preparer_start_beside(Job *job, HostedModel *model) {
    model_hold(model);
    job->model = model;
    job->served = &model->served;
    job->small = false;
    job->step = JOB_RUN;
    keep(job);
    hand_over(job->app->preparer, job);
}

static bool admits(const Job *job, ApiError *e) {
    const App *app = job->app;
    int64_t most = (int64_t)app->models.max_live * app->models.n;
    if (app->n_requests + app->preparer->n_jobs < most) return true;
    return request_queue_full(app, most, e);
}

void preparer_start(Job *job) {
    if (job->small) {
        parse_job(job);
        find_model(job);
    } else if (admits(job, &job->error)) {
        keep(job);
        hand_over(job->app->preparer, job);
    } else {
        answer(job);
        free_job(job);
    }
}

int preparer_n_jobs(const Preparer *p) {
    return p ? p->n_jobs : 0;
}

// ---- life

static bool start_thread(Preparer *p, Err *err) {
    p->started = quiet_thread_start(&p->thread, preparer_main, p) == 0;
    return p->started || err_set(err, ERR_IO, "cannot start the thread that reads requests");
}

Preparer *preparer_new(struct event_base *base, Err *err) {
    Preparer *p = calloc(1, sizeof *p);
    if (!p) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->event = p->fd >= 0 ? event_new(base, p->fd, EV_READ | EV_PERSIST, on_ready, p) : NULL;
    if (!p->event || event_add(p->event, NULL) != 0)
        err_set(err, ERR_IO, "cannot make an event for the thread that reads requests");
    else if (start_thread(p, err))
        return p;
    preparer_free(p);
    return NULL;
}

void preparer_stop(Preparer *p) {
    if (!p || !p->started) return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    p->started = false;
}

void preparer_free(Preparer *p) {
    if (!p) return;
    preparer_stop(p);
    Job *job;
    while ((job = line_take(&p->ready)) || (job = line_take(&p->waiting))) free_job(job);
    if (p->event) event_free(p->event);
    if (p->fd >= 0) close(p->fd);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
