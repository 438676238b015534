// What a client asked for, from its body to its answer, whatever dialect it came in.
//
// A dialect is a translator at both ends and nothing in between. Its `read` turns a JSON body into a plan
// (parameters and prompts); from there on there is one way: the plan becomes prompts × n requests of
// the engine, the choices of one Generation; and their text goes through the dialect's other functions
// as a whole answer or a stream. Reading is pure and runs where the preparer has it run; all the rest
// is the loop's.
//
// One for all: the answer fails once, as soon as one choice fails, and the other choices are then
// dropped. A client that leaves, or reads too slowly, drops all. Either way the object lives until the
// engine has let go of the last choice, so that a choice in hand is always valid.
//
// Embeddings may be more than the engine takes at once: as many are started as there is room for, and each
// that has ended makes room for the next.
//
// Choice i belongs to prompt i / n. The n choices of a prompt draw from generators of their own; the
// first has the request's seed itself, so that it is what a request for one choice would have got.
#ifndef CLLM_SERVER_GENERATION_H
#define CLLM_SERVER_GENERATION_H

#include "server/request.h"

typedef struct GenPlan {
    GenParams params;   // with views into the job's body, or `body`
    TokenList *prompts; // [n_prompts]
    size_t n_prompts;
    void *state;   // the dialect's: what its answers need to know of the request; NULL: nothing
    json_t *body;  // the request as the dialect has translated it; NULL: as it came
    json_t *reply; // there is nothing to generate: this is the answer
} GenPlan;

// One more prompt, empty. NULL: no memory.
TokenList *gen_plan_add_prompt(GenPlan *p);

struct event;
typedef struct Generation Generation;

typedef struct GenDialect {
    Dialect errors; // how an error is said in place of an answer
    const char *id_prefix;
    // body → plan; pure. The plan begins zeroed and owns what is put into it, also on failure.
    bool (*read)(const Served *served, const json_t *body, GenPlan *plan, ApiError *e);
    void (*free_state)(void *state); // NULL: there is none
    json_t *(*whole)(const Generation *g);
    // Of a whole answer: the choice says `text` next, as for delta. NULL: whole finds all of it in the
    // choices.
    void (*hear)(Generation *g, Request *choice, Str text);
    // Of a stream, by api_stream.h. delta: the choice says `text` next (perhaps nothing yet), and when its
    // outcome is not OUTCOME_NONE it has ended. end: all have ended. fail: after the first byte.
    void (*delta)(Generation *g, Request *choice, Str text);
    void (*end)(Generation *g);
    void (*fail)(Generation *g, const ApiError *e);
    // It has been silent for ServerConfig.sse_ping_ns: says something that tells nothing. NULL: its streams
    // cannot.
    void (*ping)(Generation *g);
    const char *stream_type; // of a stream's content; NULL: server-sent events
} GenDialect;

struct Generation {
    App *app;
    HostedModel *model; // held while a choice is live
    const GenDialect *dialect;
    HttpExchange *x;  // NULL: answered, or the client has gone
    char id[48];      // as the client sees it
    time_t created;   // wall time
    GenParams params; // without its views
    void *state;      // the dialect's, from its plan
    bool started;     // bytes of a stream have been sent
    int32_t n_choices;
    Request **choices; // [n_choices]

    // generation.c only:
    TokenList *prompts; // [n_choices / params.n] for those that are not started yet
    int64_t received_ns;
    int64_t sent_ns;     // of a stream: its latest bytes (or received); api_stream.c sets it
    struct event *quiet; // of a stream: the time for a ping; NULL: it gets none
    int32_t n_started;
    int32_t n_running; // choices without outcome
    int32_t n_live;    // choices that the engine knows
    bool over;         // answered or given up
};

// The handler of a generating route: reads the body of x, starts, answers.
void generation_handle(App *app, HttpExchange *x, const GenDialect *dialect);

// Gives up: there is nobody to be answered any more.
void generation_abandon(Generation *g, Outcome why);

// What all choices have cost together: a prompt counts once, however many choices it has.
typedef struct GenUsage {
    int64_t n_prompt, n_cached, n_generated;
} GenUsage;
GenUsage generation_usage(const Generation *g);

#endif
