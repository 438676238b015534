// The HTTP server: one event-loop thread that owns all connections, and the front of the engine.
//
// It listens before the model is loaded (health says "loading", the rest 503) and becomes ready
// with server_attach. Handlers parse JSON into one internal request, whatever the dialect; see
// request.h. The loop never blocks: it never waits for the engine, a reader or a file.
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

typedef struct ServerConfig {
    const char *host;           // address to bind, "127.0.0.1"
    int port;                   // 0: any free one; server_port tells
    HttpLimits limits;          // of connections, heads and bodies
    size_t max_pending_bytes;   // unread reply bytes of a slow reader before it is cancelled
    int32_t default_max_tokens; // of the OpenAI routes when the request names none; 0: up to the context
    int64_t default_timeout_ms; // a request's deadline when it names none; 0: none
    const char *model_id;       // `model` in replies; NULL: from the model's name
    const char *cors_origin;    // origins that browsers may call from, see http.h
    const char *api_key;        // clients need this key, NULL or "": …
    const char *api_key_file;   // … or one of these, see keys.h; without both everybody is let in
    const char *tls_cert; // PEM files of a certificate chain and its key, see tls.h; both NULL or "": no TLS
    const char *tls_key;
    const char *tool_format; // how the model writes tool calls; NULL or "auto": as its template shows
    bool raw_reasoning;      // thinking stays in the text unless a request wants it apart
    bool metrics_aliases;    // GET /metrics also has the names that other servers use
    int drain_timeout_s;     // after server_stop: how long running requests may take
} ServerConfig;

// What answers are made of. All borrowed until server_run returns.
typedef struct Service {
    Engine *engine;
    const Tokenizer *tokenizer;
    const ChatTemplate *chat_template; // NULL: the model has none; chat routes answer 400
    GrammarStore *grammars;            // NULL: constrained requests are refused
    const Model *model;
    const char *model_path;
} Service;

typedef struct Server Server;

Server *server_new(const ServerConfig *config, Err *err); // binds and listens; fails if the port is taken
int server_port(const Server *s);
void server_attach(Server *s, const Service *service); // ready: health becomes "healthy"
void server_fail(Server *s, const char *message);      // loading failed: server_run returns false
bool server_run(Server *s, Err *err);                  // until server_stop has drained
void server_stop(Server *s); // first call drains, second ends at once; async-signal-safe
void server_free(Server *s); // NULL is allowed

// From any thread or signal handler; the loop does it.
void server_reload(
    Server *s); // opens the log file, reads the keys and the certificate anew; what fails stays as it was
void server_change_log_level(Server *s, int by); // 1: log more, -1: log less

#endif
