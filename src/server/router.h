// Which handler a method and a path belong to.
//
// Routes are one table (routes.c); GET / lists it, and 404, 405 with its Allow header, HEAD and
// OPTIONS follow from it.
#ifndef CLLM_SERVER_ROUTER_H
#define CLLM_SERVER_ROUTER_H

#include "base/buf.h"
#include "server/api_error.h"
#include "server/http.h"

#include <stddef.h>

struct App;

// tail: what stands for a final `{name}` of the path, percent-decoded; empty without one.
typedef void (*RouteHandler)(struct App *app, HttpExchange *x, Str tail);

typedef struct Route {
    HttpMethod method;
    const char *path; // may end in "/{name}": any non-empty rest
    RouteHandler handler;
    bool needs_model; // 503 until the model is loaded; all but GET also while draining
    const char *description;
} Route;

typedef enum RouteResult { ROUTE_FOUND, ROUTE_UNKNOWN_PATH, ROUTE_WRONG_METHOD, ROUTE_OPTIONS } RouteResult;

// *tail points into `path`. allow: the methods of the path, as the Allow header wants them, for
// every result but ROUTE_UNKNOWN_PATH.
RouteResult router_find(const Route *routes, size_t n, HttpMethod method, Str path, const Route **found,
                        Str *tail, Buf *allow);

// How errors on this path are said: /v1/messages… is Anthropic's, the rest of /v1/… and what other servers
// that speak OpenAI's API have beside it is OpenAI's, /api/… is Ollama's.
Dialect router_dialect(Str path);

extern const Route routes_table[];
extern const size_t routes_count;

// The server's side of HTTP: lets in who has a key, answers by the table, counts replies by route.
HttpCalls router_calls(struct App *app);

#endif
