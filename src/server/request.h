// One request of the engine: a prompt and what is generated from it, as text.
//
// Life: request_start submits to the engine; TOKEN events become text; the outcome is told once, by
// exactly one of sink->end and sink->fail, or never when it has been abandoned; the engine's END event,
// whichever came first, leads to sink->released, which is always the last call. A request may have
// its outcome long before its END (a stop string has completed): it is then cancelled in the engine
// and further tokens are ignored. The object belongs to the sink's side, which frees it by
// request_free in sink->released or later.
//
// What a client asked for may be several of them: see generation.h.
//
// Thread: the loop's.
#ifndef CLLM_SERVER_REQUEST_H
#define CLLM_SERVER_REQUEST_H

#include "base/buf.h"
#include "constrain/late.h"
#include "engine/engine.h"
#include "server/app.h"
#include "server/token_log.h"
#include "text/detok.h"

typedef struct Request Request;

// What a client asked for. The stops and the salt are views that must live through request_start.
enum { GEN_MAX_STOP_TOKENS = 64 };

typedef struct GenParams {
    SamplingParams sampling; // logit_bias: gen_params_free frees it
    bool seed_given;
    int64_t least_tokens;   // what max_tokens may be at least: 0 or 1
    int64_t max_tokens;     // -1: not given
    int64_t default_tokens; // when not given; 0: what the context leaves
    Str stops[DETOK_MAX_STOPS];
    size_t n_stops;
    int32_t stop_tokens[GEN_MAX_STOP_TOKENS]; // beside the model's end tokens
    int32_t n_stop_tokens;
    bool logprobs;          // of each token generated,
    bool prompt_logprobs;   //   and of the prompt's,
    int32_t n_top;          //   with so many of the likeliest, 0 … LOGPROBS_MAX_TOP
    int32_t n;              // choices of each prompt
    bool embed;             // nothing is generated: the prompts' embeddings are wanted
    const TokenList *shown; // control tokens that have a text in the answer; NULL: none
    Str cache_salt;         // extension
    int32_t priority;       // extension
    bool stream;
    bool include_usage;     // OpenAI: a last chunk with the usage
    bool running_usage;     // extension: every chunk has the usage so far
    bool ignore_eos;        // extension: end tokens are tokens like others (measurements)
    int64_t timeout_ms;     // extension; 0: none
    SharedGrammar *grammar; // of the answer, NULL: none; gen_params_free releases it
    bool thinks_first;      // the grammar holds behind the thinking only, …
    LateMarks thinking;     // … which these close
} GenParams;

void gen_params_free(GenParams *p);

typedef struct RequestSink {
    void (*token)(Request *r); // r->text may have grown; NULL: not interested
    void (*end)(Request *r);   // all text is in r->text, the outcome is stop or length
    void (*fail)(Request *r, const ApiError *e);
    void (*released)(Request *r); // the engine refers to it no more
} RequestSink;

typedef struct RequestSpec {
    const char *id; // in the log; copied
    const GenParams *params;
    const int32_t *prompt; // copied
    size_t n_prompt;
    int64_t received_ns;
    bool companion; // is admitted with the one before
} RequestSpec;

struct Request {
    App *app;
    HostedModel *model; // held
    const RequestSink *sink;
    void *user; // the sink's
    char id[64];
    int32_t index; // the sink's: which of its requests
    bool answered; // told of its outcome, or abandoned
    bool opened;   // the sink's: its part of a stream has begun
    bool enough;   // the sink's, from its `token`: it wants no more, as if the model had ended here
    Buf text;      // shown text that the sink has not taken yet (a sink may clear it)
    int32_t n_prompt, n_generated, max_tokens, priority;
    double *pooled;             // params.embed: [n_embd], see EngineRequest; the mean is a sum yet
    TokenLog prompt_log;        // of the prompt, if wanted: from the first token on, without places
    TokenLog log;               // of the text, if wanted
    int32_t n_cached;           // tokens of the prompt that the engine had already
    Outcome outcome;            // from sink->end or request_abandon on; stop or length at sink->end
    int64_t start_ns, first_ns; // received, first token (0: none yet)
    int64_t last_ns, end_ns;    // latest token (or received), answered

    // request.c only:
    struct Request *prev, *next;
    Detok *detok;
    size_t n_shown_chars;
    uint64_t engine_id;
    int32_t *end_tokens; // borrowed by the engine
};

// Is there room for n more among the live requests of this model? Otherwise *e says 429.
bool request_admits(const HostedModel *m, int32_t n, ApiError *e);
// Says 429, since no more than `most` may run or wait. Always returns false.
bool request_queue_full(const App *app, int64_t most, ApiError *e);

// Submits to the engine of m, which the caller holds. On failure *e says why and NULL is returned.
Request *request_start(HostedModel *m, const RequestSink *sink, void *user, const RequestSpec *spec, ApiError *e);
void request_free(Request *r);      // after sink->released
Str request_stop(const Request *r); // the stop string that has ended it; NULL: none has

void request_on_event(const EngineEvent *event); // an engine event, with the Request as its user

// Ends it without telling its outcome, unless that has been told: nobody wants it any more.
void request_abandon(Request *r, Outcome why);

#endif
