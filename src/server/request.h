// The one internal request, whatever dialect it came in.
//
// Life: request_start submits to the engine; TOKEN events become text; the answer is given once, by
// exactly one of sink->end and sink->fail, or never when the client has gone; the object lives until
// the engine's END event, whichever came first. A request may be answered long before its END (a
// stop string has completed, the client left, its reader is too slow): it is then cancelled in the
// engine, further tokens are ignored, and END frees it. Nothing else frees it, and nobody keeps its
// pointer beyond the sink's calls.
//
// Thread: the loop's.
#ifndef CLLM_SERVER_REQUEST_H
#define CLLM_SERVER_REQUEST_H

#include "base/buf.h"
#include "engine/engine.h"
#include "server/app.h"
#include "text/detok.h"

typedef struct Request Request;

// What a client asked for. The stops and the salt are views that must live through request_start.
typedef struct GenParams {
    SamplingParams sampling; // logit_bias: gen_params_free frees it
    bool seed_given;
    int64_t max_tokens;     // 0: not given
    int64_t default_tokens; // when not given; 0: what the context leaves
    Str stops[DETOK_MAX_STOPS];
    size_t n_stops;
    Str cache_salt;   // extension
    int32_t priority; // extension
    bool stream;
    bool include_usage; // OpenAI: a last chunk with the usage
    bool ignore_eos;    // extension: end tokens are tokens like others (measurements)
    int64_t timeout_ms; // extension; 0: none
} GenParams;

void gen_params_free(GenParams *p);

typedef struct RequestSink {
    void (*token)(Request *r); // r->text has grown; NULL: not interested
    void (*end)(Request *r);   // all text is in r->text, the outcome is stop or length
    void (*fail)(Request *r, const ApiError *e);
} RequestSink;

struct Request {
    App *app;
    const RequestSink *sink;
    void *user;      // the sink's
    HttpExchange *x; // NULL: none, answered, or the client has gone
    char id[48];     // as the client sees it, and in the log
    bool stream, started, include_usage;
    time_t created; // wall time
    Buf text;       // shown text that the sink has not taken yet (a sink may clear it)
    int32_t n_prompt, n_generated, max_tokens, priority;
    int32_t n_cached;                  // tokens of the prompt that the engine had already
    Outcome outcome;                   // from sink->end or request_abandon on; stop or length at sink->end
    int64_t start_ns, last_ns, end_ns; // received, latest token (or received), answered

    // request.c only:
    struct Request *prev, *next;
    Detok *detok;
    uint64_t engine_id;
    int32_t *end_tokens; // borrowed by the engine
    bool answered;
};

// Submits. x may be NULL (no client). On success the request owns the exchange until its answer;
// on failure *e says why, x is untouched and NULL is returned.
Request *request_start(App *app, HttpExchange *x, const RequestSink *sink, void *user, const char *id_prefix,
                       const GenParams *params, const int32_t *prompt, size_t n_prompt, ApiError *e);

void request_on_event(const EngineEvent *event); // an engine event, with the Request as its user

// Ends it without an answer: the client has gone, or nobody wants it any more.
void request_abandon(Request *r, Outcome why);

#endif
