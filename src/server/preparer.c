#include "server/preparer.h"

#include "base/clock.h"
#include "base/shortage.h"
#include "server/request.h"

#include <event2/event.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
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

static void free_job(Job *job) {
    job->kind->clear(job);
    http_free_body(job->body_owner);
    free(job);
}

// What memory was too short for may have been read in part.
static void run_job(Job *job) {
    shortage_begin();
    job->kind->run(job);
    if (shortage_noted()) api_error_set(&job->error, 503, NULL, NULL, "out of memory");
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

static void *preparer_main(void *arg) {
    Preparer *p = arg;
    for (Job *job; (job = wait_for_job(p));) {
        if (job->spent) {
            free_job(job);
            continue;
        }
        if (!atomic_load(&job->dropped)) run_job(job);
        hand_back(p, job);
    }
    return NULL;
}

// ---- the loop

static void finish(Job *job) {
    shortage_begin();
    if (job->x && job->error.status)
        api_error_reply(job->x, job->dialect, &job->error);
    else if (job->x)
        job->kind->done(job);
    if (job->left) job->left(job);
    http_free_body(job->body_owner); // here: its bytes are counted by the loop
    job->body_owner = NULL;
    job->spent = true;
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
        p->n_jobs--;
        finish(job);
        hand_over(p, job);
    }
}

static void on_client_gone(void *user) {
    Job *job = user;
    job->x = NULL;
    atomic_store(&job->dropped, true);
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
    job->served = &app->served;
    job->received_ns = clock_now_ns();
    job->app = app;
    job->x = x;
    return job;
}

void preparer_start_beside(Job *job) {
    Preparer *p = job->app->preparer;
    http_keep(job->x, on_client_gone, job);
    p->n_jobs++;
    hand_over(p, job);
}

void preparer_start(Job *job) {
    Preparer *p = job->app->preparer;
    if (job->body.len < PREPARER_SMALL_BODY) {
        run_job(job);
    } else if (request_admits(job->app, p->n_jobs + 1, &job->error)) {
        preparer_start_beside(job);
        return;
    }
    finish(job);
    free_job(job);
}

int preparer_n_jobs(const Preparer *p) {
    return p ? p->n_jobs : 0;
}

// ---- life

static bool start_thread(Preparer *p, Err *err) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); // signals are the loop's affair
    int failed = pthread_create(&p->thread, NULL, preparer_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    p->started = !failed;
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
