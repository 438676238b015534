// The models of a server: found by name, loaded when they are wanted, unloaded when another one needs their
// memory or nobody has wanted them for so long.
//
// A server of one model has it from its start to its end. Of several the first is loaded at the start, and the
// others by the first request that names them: it waits meanwhile, as do all that come for the same
// model. One model at a time is loaded or unloaded, by the host (server.h), on a thread of its own.
//
// What is loaded takes no more than ServerConfig.models_bytes, except that one model always may be. When a
// model that is wanted does not fit, those give way that have nothing to do, the least recently used first; if
// that is not enough, also those that work. A model that gives way is LEAVING: what it has begun it finishes, and
// newcomers wait as for one that is not loaded. So models that do not fit together take turns, in the
// order in which they were wanted, and none of them waits forever. When nobody wants the room any more, it stays.
//
// Whoever looks at `served` or the engine holds the model, and it is unloaded only when nobody does.
//
// Thread: the loop's.
#ifndef CLLM_SERVER_MODELS_H
#define CLLM_SERVER_MODELS_H

#include "server/metrics.h"
#include "server/served.h"

#include <sys/queue.h>

struct App;
struct event;

typedef enum ModelState {
    MODEL_UNLOADED,
    MODEL_WAITING, // somebody wants it, and it waits for its turn or for memory
    MODEL_LOADING,
    MODEL_READY,
    MODEL_LEAVING,
    MODEL_UNLOADING,
    N_MODEL_STATES
} ModelState;

typedef struct ModelWaiter ModelWaiter;
typedef TAILQ_HEAD(ModelLine, ModelWaiter) ModelLine;

typedef struct HostedModel {
    struct App *app;
    int32_t index; // in Models and ServerConfig.models
    const ModelSpec *spec;
    ModelState state;
    Served served;      // whole while it is READY or LEAVING; its model_id always, once it is known
    int32_t n_requests; // live ones of its engine
    int32_t n_waiting;  // that wait until it is loaded
    uint64_t n_loads;
    RequestMetrics metrics;
    // models.c only:
    int32_t n_holds;
    ModelLine line;
    size_t bytes;      // what it takes, or will
    int64_t wanted_ns; // since when somebody waits
    int64_t used_ns;   // when it was last let go
    struct event *engine_event;
} HostedModel;

// Somebody who wants a model. told: it is ready and held for w, or e says why it will not be.
struct ModelWaiter {
    void (*told)(ModelWaiter *w, const ApiError *e);
    int64_t deadline_ns; // clock_now_ns() time at which it waits no longer and is told 408; 0: none
    // models.c only:
    HostedModel *model;
    struct event *expiry; // NULL: without a deadline, or in no line
    TAILQ_ENTRY(ModelWaiter) link;
};

typedef struct Models {
    const ServerConfig *config;
    HostedModel *at; // [n]; the first is the one that requests mean which name none
    int32_t n;
    // models.c only:
    struct event *review;
    int32_t max_live; // of an engine
    bool busy;        // the host loads or unloads one
    bool stopped;
} Models;

bool models_init(Models *ms, struct App *app, const ServerConfig *config, Err *err); // app has its base
void models_free(Models *ms); // the requests must have ended; a zeroed struct is allowed

// By id, else by name or file name, also with Ollama's ":latest". NULL: there is none.
HostedModel *models_find(const Models *ms, Str name);
// The same, and the first for an empty name. NULL: *e says 404, with the names that there are.
HostedModel *models_pick(const Models *ms, Str name, ApiError *e);
bool model_is_loaded(const HostedModel *m);
const char *model_state_word(const HostedModel *m);

// w is told, at once or later. The caller keeps w until then, or until model_forget.
void model_want(HostedModel *m, ModelWaiter *w);
void model_forget(ModelWaiter *w); // before it has been told
void model_hold(HostedModel *m);   // one more, for what follows from a hold
void model_release(HostedModel *m);

// What the host has done. false: it cannot be served after all, which then is a failure.
bool models_loaded(Models *ms, int32_t index, const Service *service, Err *err);
void models_failed(Models *ms, int32_t index, const char *why, bool loaded); // loaded: the host has it
void models_unloaded(Models *ms, int32_t index);

// No newcomers: who waits is told so, and the engines finish what they have, or, `now`, end it.
void models_stop(Models *ms, bool now);
void models_deafen(Models *ms); // no more events: the engines may be freed from here on

#endif
