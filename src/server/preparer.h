// The thread that reads requests, so that the loop does not.
//
// Parsing a body, rendering a template and encoding text take time in proportion to what a client
// sends: most of a second for megabytes, in which the loop would answer nobody. So a request is a job
// of several steps. The body is parsed; the loop finds the model that it names, and waits until it is
// loaded; `run` turns the parsed body into whatever is to be done, as a pure function of it and of
// `Served`; and `done` does it, on the loop. Parsing and running are the work of one thread of its own,
// one job after the other. In between the loop goes on: it may see the client leave, then
// the job is dropped, before or after it has run. At last `clear` frees what `run` made, on the
// thread that ran it: freeing a JSON value of millions of parts takes its time too. From `run` to `clear` the job
// holds its model.
//
// A small body runs on the loop at once, by the same functions: it costs less than handing it over
// does, and must not stand in line behind somebody's megabytes. The line is bounded: beyond as many jobs
// and live requests together as the engine takes, a newcomer is told 429 before its body is looked at.
//
// Thread: the loop's, apart from `run` and `clear`.
#ifndef CLLM_SERVER_PREPARER_H
#define CLLM_SERVER_PREPARER_H

#include "server/models.h"

#include <stdatomic.h>

struct App;
struct event_base;

typedef struct Preparer Preparer;
typedef struct Job Job;

typedef struct JobKind {
    size_t size;             // of the struct that begins with the Job
    void (*run)(Job *job);   // any thread: json and served in; what is to be done, or an error, out
    void (*done)(Job *job);  // without an error and with the client there: answers x or keeps it
    void (*clear)(Job *job); // where run was: frees what it has made; always the last call
} JobKind;

typedef enum JobStep { JOB_PARSE, JOB_RUN, JOB_CLEAR, JOB_FREE } JobStep;

struct Job {
    const JobKind *kind;
    Dialect dialect;      // how an error is said
    json_t *json;         // the body
    const Served *served; // the model's
    int64_t received_ns;
    bool may_be_empty; // no body counts as {}
    ApiError error; // status 0: none
    // The loop's:
    struct App *app;
    HttpExchange *x;
    HostedModel *model;     // held
    void (*left)(Job *job); // always, when run and done are over; NULL: nothing
    // preparer.c only:
    JobStep step; // to be done next
    Str body;
    HttpBody *body_owner;
    ModelWaiter waiter;
    Job *next;
    atomic_bool dropped;
    bool small, waits, kept;
};

enum { PREPARER_SMALL_BODY = 4096 };

Preparer *preparer_new(struct event_base *base, Err *err); // starts the thread
void preparer_stop(Preparer *p);                           // joins the thread; NULL is allowed
void preparer_free(Preparer *p);                           // after http_free; NULL is allowed
int preparer_n_jobs(const Preparer *p);                    // that wait for the thread or a model

// A job of this kind for the body of x: zeroed beyond the Job. NULL: x has been answered (no memory).
Job *preparer_new_job(struct App *app, HttpExchange *x, const JobKind *kind, Dialect dialect);
// Runs it, now or soon. The job is no longer the caller's.
void preparer_start(Job *job);
// Runs it beside the loop in any case, without a body, and refuses it in none: what is long to write, not to
// read. It holds `model`.
void preparer_start_beside(Job *job, HostedModel *model);

#endif
