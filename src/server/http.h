// HTTP/1.1 over libevent's evhttp: exchanges instead of connections (those are in http_conn.h).
//
// An exchange is one request and its reply. A handler either answers at once (http_reply) or keeps
// the exchange by http_keep and answers later; until then it is told when the peer has gone.
//
// evhttp reports a closed peer only while it reads or writes, not while a reply is pending. So a
// kept exchange has an event of its own on the descriptor (a half-closed peer counts as gone). A reader that
// is slower than its reply grows the output buffer; http_send refuses to go on beyond max_pending_bytes and
// drops the connection.
//
// Thread: all of it belongs to the event loop's thread.
#ifndef CLLM_SERVER_HTTP_H
#define CLLM_SERVER_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "server/http_conn.h"

#include <stddef.h>

struct event_base;

typedef enum HttpMethod {
    HTTP_OTHER = 0,
    HTTP_GET = 1,
    HTTP_HEAD = 2,
    HTTP_POST = 4,
    HTTP_PUT = 8,
    HTTP_DELETE = 16,
    HTTP_OPTIONS = 32,
    HTTP_PATCH = 64,
} HttpMethod;

typedef struct HttpConfig {
    const char *host;
    int port; // 0: any free one
    HttpLimits limits;
    size_t max_pending_bytes; // unread bytes of a streamed reply
    struct Tls *tls;          // borrowed; NULL: connections are not encrypted
    const char *cors_origin;  // origins, separated by commas, or "*"; NULL or "": no CORS headers
} HttpConfig;

typedef struct Http Http;
typedef struct HttpExchange HttpExchange;
typedef struct HttpBody HttpBody;

typedef void (*HttpGone)(void *user);

typedef struct HttpCalls {
    // May a request with this head send its body and be handled? Otherwise *r says why not.
    bool (*screen)(const HttpHead *head, HttpRefusal *r, void *user);
    void (*handle)(HttpExchange *x, void *user); // a request whose head and body have arrived
    // A reply starts, with the tag that the exchange was given (NULL: none).
    void (*answered)(const void *tag, int status, void *user);
    char *(*refusal_json)(const HttpRefusal *r, void *user); // the body of a refusal, malloced
    void *user;
} HttpCalls;

// Binds and listens.
Http *http_new(struct event_base *base, const HttpConfig *config, const HttpCalls *calls, Err *err);
void http_free(Http *h); // drops every connection; NULL is allowed
int http_port(const Http *h);
int http_n_busy(const Http *h); // connections with a request that is not fully answered and flushed

// The request; views live as long as the exchange. A body that came in chunks may turn out to be too large at
// its end: then http_body_too_large says so, and there is none.
HttpMethod http_method(const HttpExchange *x);
const char *http_method_name(HttpMethod m);
Str http_path(const HttpExchange *x); // as sent: not percent-decoded, without the query
// The body, which from then on is the caller's and outlives the exchange; free it on the loop's thread. *view
// shows it; without one both are empty. false: no memory.
bool http_take_body(HttpExchange *x, HttpBody **body, Str *view);
void http_free_body(HttpBody *body); // NULL is allowed
bool http_body_too_large(const HttpExchange *x);
const char *http_header(const HttpExchange *x, const char *name); // NULL: not sent
// Appends the decoded value of a parameter of the query to *out. false: it is not there, or out of memory, which
// *out then says.
bool http_query(const HttpExchange *x, const char *name, Buf *out);
bool http_origin_allowed(const HttpExchange *x);                  // of the browser's page, by CORS
void http_set_tag(HttpExchange *x, const void *tag);              // for `answered`

// The reply. http_reply ends the exchange: x is gone afterwards. A HEAD gets the head only.
void http_set_header(HttpExchange *x, const char *name, const char *value);
void http_reply(HttpExchange *x, int status, const char *content_type, Str body);

// Keeps the exchange beyond the handler. gone(user) is called at most once, when the peer has left;
// x is invalid from then on, and also after http_reply, http_end and a failed http_send.
void http_keep(HttpExchange *x, HttpGone gone, void *user);

// A streamed reply of a kept exchange: start, any number of sends, end. Not from inside the
// handler. http_send returns false when the reader is too slow or memory ran out: the connection has been
// dropped, x is invalid and `gone` is not called.
void http_start(HttpExchange *x, int status, const char *content_type);
bool http_send(HttpExchange *x, Str bytes);
void http_end(HttpExchange *x, bool close_connection);
void http_drop(HttpExchange *x); // closes the connection in the middle of the reply; `gone` is not called

#endif
