// The HTTP server: one event-loop thread that owns all connections, and the front of the engines.
//
// It listens before the first model is loaded (health says "loading", the rest 503) and becomes ready
// with its server_attach. Handlers parse JSON into one internal request, whatever the dialect; see
// request.h. The loop never blocks: it never waits for an engine, a reader or a file. Which models are loaded
// when is decided in models.h, and done by a host.
//
// Thread: server_new, server_run and server_free on one thread (the loop); the others from any.
#ifndef CLLM_SERVER_SERVER_H
#define CLLM_SERVER_SERVER_H

#include "base/err.h"
#include "chat/template.h"
#include "constrain/grammar_store.h"
#include "engine/engine.h"
#include "model/model.h"
#include "server/http_conn.h"
#include "text/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

// A model that can be served. Borrowed by the server for as long as it lives.
typedef struct ModelSpec {
    const char *id;   // `model` in requests and replies; NULL, of a single model only: from its name
    const char *name; // as the file says: the model answers to it, too; NULL: not known yet
    const char *path; // of the file; it answers to the file's name, too
    size_t bytes;     // memory that it takes when it is loaded, at most
} ModelSpec;

// Who loads and unloads models, on threads of its own, one at a time. The calls come from the loop and return at
// once. Loading is answered by server_attach or server_fail, unloading by server_detach. It begins by
// itself with the first model; of a single model it is asked nothing more.
typedef struct ModelHost {
    void *ctx;
    void (*load)(void *ctx, int32_t model);
    void (*unload)(void *ctx, int32_t model);
} ModelHost;

// What a request gets that does not say; below 0: what its API's default is.
typedef struct SamplingDefaults {
    double temperature, top_p, min_p, repetition_penalty;
    int64_t top_k;
} SamplingDefaults;

typedef struct ServerConfig {
    const char *host;           // address to bind, "127.0.0.1"
    int port;                   // 0: any free one; server_port tells
    HttpLimits limits;          // of connections, heads and bodies
    size_t max_pending_bytes;   // unread reply bytes of a slow reader before it is cancelled
    int32_t default_max_tokens; // of the OpenAI routes when the request names none; 0: up to the context
    const SamplingDefaults *default_sampling; // borrowed; NULL: all as the APIs have it
    int64_t default_timeout_ms; // a request's deadline when it names none; 0: none
    const ModelSpec *models;    // [n_models], n_models >= 1: the first is loaded at the start
    int32_t n_models;
    ModelHost model_host;       // of more than one
    size_t models_bytes;        // what those that are loaded may take together
    int64_t model_idle_ns;      // of more than one: how long one stays that nobody wants; 0: as long as it can
    const char *cors_origin;    // origins that browsers may call from, see http.h
    const char *api_key;        // clients need this key, NULL or "": …
    const char *api_key_file;   // … or one of these, see keys.h; without both everybody is let in
    const char *tls_cert; // PEM files of a certificate chain and its key, see tls.h; both NULL or "": no TLS
    const char *tls_key;
    const char *tool_format; // how the model writes tool calls; NULL or "auto": as its template shows
    bool raw_reasoning;      // thinking stays in the text unless a request wants it apart
    bool metrics_aliases;    // GET /metrics also has the names that other servers use
    int64_t sse_ping_ns;     // silence after which a stream of events says that it is alive; 0: never
    int drain_timeout_s;     // after server_stop: how long running requests may take
} ServerConfig;

// What answers are made of. All borrowed until the model is unloaded or server_run returns.
typedef struct Service {
    Engine *engine;
    const Tokenizer *tokenizer;
    const ChatTemplate *chat_template; // NULL: the model has none; chat routes answer 400
    GrammarStore *grammars;            // NULL: constrained requests are refused
    const Model *model;
    size_t bytes; // memory that all this takes, at most
} Service;

typedef struct Server Server;

Server *server_new(const ServerConfig *config, Err *err); // binds and listens; fails if the port is taken
int server_port(const Server *s);
void server_attach(Server *s, int32_t model, const Service *service); // with the first one health is "healthy"
void server_fail(Server *s, int32_t model, const char *message); // of the first at the start: server_run returns false
void server_detach(Server *s, int32_t model);
bool server_run(Server *s, Err *err);                  // until server_stop has drained
void server_stop(Server *s); // first call drains, second ends at once; async-signal-safe
void server_free(Server *s); // NULL is allowed

// From any thread or signal handler; the loop does it.
void server_reload(
    Server *s); // opens the log file, reads the keys and the certificate anew; what fails stays as it was
void server_change_log_level(Server *s, int by); // 1: log more, -1: log less

#endif
