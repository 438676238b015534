// The front of an engine for many threads: their requests, and who of them collects the events.
//
// The engine has one front thread. Here that is whoever holds the lock. Threads that wait for their requests
// take turns: one of them, the collector, sleeps on the engine's descriptor without the lock, and hands
// out what comes, also to the others, who sleep on a condition. When its own request has something it leaves,
// and wakes the others, of whom one becomes the collector. Refused: all of them on the descriptor (whoever
// reads it first takes the wake-up from the rest), and a thread of its own (one more switch for each token).
//
// Thread: any, except front_open and front_close.
#ifndef CLLM_API_FRONT_H
#define CLLM_API_FRONT_H

#include "engine/engine.h"
#include "text/detok.h"

#include <pthread.h>

typedef struct FrontRequest FrontRequest;

typedef struct Front {
    Engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t changed; // events were handed out, or nobody collects
    bool collecting;
    FrontRequest *requests; // that were not released, and released ones until their END
} Front;

struct FrontRequest {
    Front *front;
    FrontRequest *prev, *next;
    uint64_t id;
    Detok *detok;
    Buf text, taken;      // not taken yet; lent to the caller
    FinishReason outcome; // NONE: it goes on
    bool ended;           // the engine's END has come
    bool released;
    bool failed; // some text was lost for want of memory
    int32_t n_prompt, n_cached, n_generated;
};

bool front_open(Front *f, Engine *engine, Err *err);
void front_close(Front *f); // behind engine_free: frees all requests

// Takes over the stream, also when it fails. NULL: *result and err tell.
FrontRequest *front_submit(Front *f, EngineRequest *request, Detok *detok, SubmitResult *result, Err *err);
// True: there is text (then in r->taken) or the outcome is known and all text is taken.
bool front_wait(FrontRequest *r, int timeout_ms);
void front_cancel(FrontRequest *r);
void front_release(FrontRequest *r);

#endif
