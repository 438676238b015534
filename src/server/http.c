#define _GNU_SOURCE // POLLRDHUP
#include "server/http.h"

#include "base/log.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0 // elsewhere a hang-up is always reported
#endif

// A connection from accept to close. evhttp makes its connection object after it has asked us for
// the bufferevent, so a new HttpConn learns its evhttp_connection one turn of the loop later
// (`arrival`), or with its first request, whichever comes first; from then on the close callback
// tells its end. A reference keeps the bufferevent alive until `arrival`, which also closes what is
// over the limit (not earlier: inside evhttp's own calls its connection must not be freed).
typedef struct HttpConn {
    Http *http;
    struct HttpConn *prev, *next;
    struct bufferevent *bev;
    struct evhttp_connection *evcon; // NULL: not known yet
    struct event *arrival;           // NULL once it has fired
    HttpExchange *exchange;          // the kept or current one
    bool busy;
} HttpConn;

struct HttpExchange {
    Http *http;
    HttpConn *conn;
    struct evhttp_request *req;
    const void *tag;
    struct event *closed; // the watch of a kept exchange
    HttpGone gone;
    void *user;
    Str body;
    bool too_large, started;
};

struct Http {
    struct event_base *base;
    struct evhttp *evhttp;
    struct evconnlistener *listener; // owned by evhttp
    HttpConfig config;
    HttpHandler handler;
    HttpAnswered answered;
    void *user;
    HttpConn *conns;
    int n_conns, n_busy, port;
};

enum {
    HTTP_RESUME_MS = 200,
    HTTP_WATCH_MS = 50,
    HTTP_MAX_PIPELINED = 65536,
    HTTP_SEND_BUFFER = 131072, // the kernel would take megabytes for a reader who has stopped reading
};

// ---- connections

static void conn_set_busy(HttpConn *c, bool busy) {
    if (c->busy == busy) return;
    c->busy = busy;
    c->http->n_busy += busy ? 1 : -1;
}

static void conn_drop_arrival(HttpConn *c) {
    if (!c->arrival) return;
    event_free(c->arrival);
    c->arrival = NULL;
    bufferevent_decref(c->bev);
}

static void conn_free(HttpConn *c) {
    Http *h = c->http;
    conn_drop_arrival(c);
    conn_set_busy(c, false);
    if (c->prev)
        c->prev->next = c->next;
    else
        h->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    h->n_conns--;
    free(c);
}

static void exchange_free(HttpExchange *x) {
    if (x->conn) x->conn->exchange = NULL;
    if (x->closed) event_free(x->closed);
    free(x);
}

// The connection goes down, whoever caused it. A request that evhttp has already taken off the
// connection is ours to free; otherwise evhttp frees it.
static void on_conn_closed(struct evhttp_connection *evcon, void *arg) {
    (void)evcon;
    HttpConn *c = arg;
    HttpExchange *x = c->exchange;
    HttpGone gone = NULL;
    void *user = NULL;
    if (x) {
        gone = x->gone;
        user = x->user;
        if (!evhttp_request_get_connection(x->req)) evhttp_request_free(x->req);
        exchange_free(x);
    }
    conn_free(c);
    if (gone) gone(user);
}

static void conn_bind(HttpConn *c, struct evhttp_connection *evcon) {
    if (c->evcon) return;
    c->evcon = evcon;
    evhttp_connection_set_closecb(evcon, on_conn_closed, c);
    int one = 1; // tokens are small writes that must not wait for each other
    setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

// evhttp hands its connection to the bufferevent as callback argument; freeing clears it.
static void on_conn_arrived(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    HttpConn *c = arg;
    Http *h = c->http;
    void *evcon = NULL;
    bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
    if (!evcon) {
        conn_free(c);
        return;
    }
    conn_bind(c, evcon);
    conn_drop_arrival(c);
    if (h->n_conns <= h->config.max_connections) return;
    log_f(LOG_INFO, "connection_refused", "open=%d", h->n_conns - 1);
    evhttp_connection_free(evcon);
}

static struct bufferevent *on_new_bufferevent(struct event_base *base, void *arg) {
    Http *h = arg;
    struct timeval now = {0, 0};
    struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
    HttpConn *c = calloc(1, sizeof *c);
    if (!bev || !c || !(c->arrival = event_new(base, -1, 0, on_conn_arrived, c))) goto fail;
    c->http = h;
    c->bev = bev;
    bufferevent_incref(bev);
    c->next = h->conns;
    if (h->conns) h->conns->prev = c;
    h->conns = c;
    h->n_conns++;
    event_add(c->arrival, &now);
    return bev;

fail:
    free(c);
    return bev; // NULL: evhttp makes one itself; such a connection is served, but not counted
}

static HttpConn *conn_find(Http *h, const struct bufferevent *bev) {
    HttpConn *c = h->conns;
    while (c && c->bev != bev) c = c->next;
    return c;
}

static void set_timeouts(Http *h, struct bufferevent *bev, bool on) {
    struct timeval idle = {h->config.idle_timeout_s, 0};
    bool use = on && h->config.idle_timeout_s > 0;
    bufferevent_set_timeouts(bev, use ? &idle : NULL, use ? &idle : NULL);
}

static void on_reply_complete(struct evhttp_request *req, void *arg) {
    (void)req;
    HttpConn *c = arg;
    set_timeouts(c->http, c->bev, true);
    bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
    conn_set_busy(c, false);
}

// ---- requests

// evhttp takes any number for a version, and would answer in it.
static bool speaks_http_1(struct evhttp_request *req) {
    if (req->major == 1) return true;
    req->major = req->minor = 1;
    evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    evhttp_send_reply(req, 505, "HTTP Version Not Supported", NULL);
    return false;
}

static void on_request(struct evhttp_request *req, void *arg) {
    Http *h = arg;
    if (!speaks_http_1(req)) return;
    struct evhttp_connection *evcon = evhttp_request_get_connection(req);
    HttpConn *c = conn_find(h, evhttp_connection_get_bufferevent(evcon));
    HttpExchange *x = c ? calloc(1, sizeof *x) : NULL;
    if (!x) {
        evhttp_send_reply(req, 503, "Service Unavailable", NULL);
        return;
    }
    conn_bind(c, evcon);
    *x = (HttpExchange){.http = h, .conn = c, .req = req};
    c->exchange = x;
    conn_set_busy(c, true);
    evhttp_request_set_on_complete_cb(req, on_reply_complete, c);
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t n = evbuffer_get_length(in);
    x->too_large = n > h->config.max_body_bytes;
    if (!x->too_large && n) x->body = (Str){(const char *)evbuffer_pullup(in, -1), n};
    h->handler(x, h->user);
}

static const struct {
    enum evhttp_cmd_type type;
    HttpMethod method;
    const char *name;
} methods[] = {
    {EVHTTP_REQ_GET, HTTP_GET, "GET"},          {EVHTTP_REQ_HEAD, HTTP_HEAD, "HEAD"},
    {EVHTTP_REQ_POST, HTTP_POST, "POST"},       {EVHTTP_REQ_PUT, HTTP_PUT, "PUT"},
    {EVHTTP_REQ_DELETE, HTTP_DELETE, "DELETE"}, {EVHTTP_REQ_OPTIONS, HTTP_OPTIONS, "OPTIONS"},
    {EVHTTP_REQ_PATCH, HTTP_PATCH, "PATCH"},
};
enum { N_METHODS = sizeof methods / sizeof methods[0] };

HttpMethod http_method(const HttpExchange *x) {
    enum evhttp_cmd_type type = evhttp_request_get_command(x->req);
    for (int i = 0; i < N_METHODS; i++)
        if (methods[i].type == type) return methods[i].method;
    return HTTP_OTHER;
}

const char *http_method_name(HttpMethod m) {
    for (int i = 0; i < N_METHODS; i++)
        if (methods[i].method == m) return methods[i].name;
    return "OTHER";
}

// To evhttp //health is a host without a path; here it is a path that does not exist, and not "/".
Str http_path(const HttpExchange *x) {
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(x->req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    if (uri && evhttp_uri_get_host(uri) && !evhttp_uri_get_scheme(uri)) path = evhttp_request_get_uri(x->req);
    return path && *path ? str_from(path) : STR("/");
}

// A body is the evbuffer in which it arrived. It lies in one piece, and moving it to another evbuffer
// moves no byte.
HttpBody *http_take_body(HttpExchange *x, Str *view) {
    struct evbuffer *own = x->body.len ? evbuffer_new() : NULL;
    *view = (Str){"", 0};
    if (!own) return NULL;
    evbuffer_add_buffer(own, evhttp_request_get_input_buffer(x->req));
    *view = x->body;
    x->body = (Str){"", 0};
    return (HttpBody *)own;
}

void http_free_body(HttpBody *body) {
    if (body) evbuffer_free((struct evbuffer *)body);
}

bool http_body_too_large(const HttpExchange *x) {
    return x->too_large;
}

const char *http_header(const HttpExchange *x, const char *name) {
    return evhttp_find_header(evhttp_request_get_input_headers(x->req), name);
}

void http_set_tag(HttpExchange *x, const void *tag) {
    x->tag = tag;
}

// ---- replies

static const char *reason_phrase(int status) {
    switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 429: return "Too Many Requests";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    default: return "Status";
    }
}

void http_set_header(HttpExchange *x, const char *name, const char *value) {
    struct evkeyvalq *headers = evhttp_request_get_output_headers(x->req);
    evhttp_remove_header(headers, name);
    evhttp_add_header(headers, name, value);
}

static void begin_reply(HttpExchange *x, int status, const char *content_type) {
    x->http->answered(x->tag, status, x->http->user);
    const char *origin = x->http->config.cors_origin;
    if (content_type) http_set_header(x, "Content-Type", content_type);
    if (!origin || !*origin) return;
    http_set_header(x, "Access-Control-Allow-Origin", origin);
    http_set_header(x, "Access-Control-Expose-Headers", "Retry-After");
    if (strcmp(origin, "*") != 0)
        evhttp_add_header(evhttp_request_get_output_headers(x->req), "Vary", "Origin");
}

void http_reply(HttpExchange *x, int status, const char *content_type, Str body) {
    struct evhttp_request *req = x->req;
    begin_reply(x, status, content_type);
    struct evbuffer *out = evbuffer_new();
    if (status != 204) {
        char length[32];
        snprintf(length, sizeof length, "%zu", body.len);
        http_set_header(x, "Content-Length", length);
        if (out && http_method(x) != HTTP_HEAD) evbuffer_add(out, body.ptr, body.len);
    }
    if (x->too_large) http_set_header(x, "Connection", "close");
    exchange_free(x);
    evhttp_send_reply(req, status, reason_phrase(status), out);
    if (out) evbuffer_free(out);
}

// Gone: closed, half-closed or reset.
static bool peer_has_left(HttpExchange *x) {
    struct pollfd p = {.fd = bufferevent_getfd(x->conn->bev), .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

static void on_watch(evutil_socket_t fd, short what, void *arg);

// epoll reports a reset as readable and writable, not as closed, so the watch also asks for
// readable. A client that pipelines its next request is then readable for good, which would spin:
// it is looked at from time to time instead.
static void watch(HttpExchange *x, bool by_clock) {
    struct timeval pause = {0, HTTP_WATCH_MS * 1000};
    int fd = by_clock ? -1 : bufferevent_getfd(x->conn->bev);
    short what = by_clock ? EV_PERSIST : EV_READ | EV_CLOSED | EV_PERSIST;
    if (x->closed) event_free(x->closed);
    x->closed = event_new(x->http->base, fd, what, on_watch, x);
    if (x->closed) event_add(x->closed, by_clock ? &pause : NULL);
}

static void on_watch(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    HttpExchange *x = arg;
    if (peer_has_left(x))
        evhttp_connection_free(x->conn->evcon); // ends in on_conn_closed
    else if (fd >= 0)
        watch(x, true);
}

void http_keep(HttpExchange *x, HttpGone gone, void *user) {
    x->gone = gone;
    x->user = user;
    set_timeouts(x->http, x->conn->bev, false);
    watch(x, false);
}

void http_start(HttpExchange *x, int status, const char *content_type) {
    begin_reply(x, status, content_type);
    http_set_header(x, "Cache-Control", "no-cache");
    http_set_header(x, "X-Accel-Buffering", "no");
    x->started = true;
    bufferevent_setwatermark(x->conn->bev, EV_READ, 0, HTTP_MAX_PIPELINED); // evhttp reads on while it writes
    evhttp_send_reply_start(x->req, status, reason_phrase(status));
}

bool http_send(HttpExchange *x, Str bytes) {
    CHECK(x->started);
    if (bytes.len == 0) return true;
    struct evbuffer *chunk = evbuffer_new();
    bool added = chunk && evbuffer_add(chunk, bytes.ptr, bytes.len) == 0;
    if (added) evhttp_send_reply_chunk(x->req, chunk);
    if (chunk) evbuffer_free(chunk);
    size_t pending = evbuffer_get_length(bufferevent_get_output(x->conn->bev));
    if (added && pending <= x->http->config.max_pending_bytes) return true;
    x->gone = NULL;
    evhttp_connection_free(x->conn->evcon);
    return false;
}

void http_end(HttpExchange *x, bool close_connection) {
    struct evhttp_request *req = x->req;
    if (close_connection) http_set_header(x, "Connection", "close"); // evhttp looks at it when it has flushed
    exchange_free(x);
    evhttp_send_reply_end(req);
}

// ---- listening

static void on_resume(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    evconnlistener_enable(arg);
}

// Out of descriptors: the backlog stays readable, so listening on would spin. The argument that
// evhttp has set is its own; the listener is all that we get.
static void on_accept_error(struct evconnlistener *listener, void *arg) {
    (void)arg;
    struct timeval pause = {0, HTTP_RESUME_MS * 1000};
    log_event(LOG_ERROR, "accept_failed", "error", strerror(errno), NULL);
    if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, on_resume, listener, &pause) == 0)
        evconnlistener_disable(listener);
}

static int bound_port(int fd) {
    struct sockaddr_storage at = {0};
    socklen_t n = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0) return 0;
    if (at.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
    return ntohs(((struct sockaddr_in *)&at)->sin_port);
}

static int listen_on(const struct addrinfo *a, Err *err) {
    int one = 1;
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0) {
        err_set(err, ERR_IO, "cannot make a socket: %s", strerror(errno));
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){HTTP_SEND_BUFFER},
               sizeof(int)); // accepted sockets inherit it
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
    err_set(err, ERR_IO, "%s%s", strerror(errno), errno == EADDRINUSE ? " (is another server running?)" : "");
    close(fd);
    return -1;
}

static int open_listener(const HttpConfig *config, Err *err) {
    char port[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    snprintf(port, sizeof port, "%d", config->port);
    int rc = getaddrinfo(config->host, port, &hints, &found);
    if (rc != 0) {
        err_set(err, ERR_IO, "%s", gai_strerror(rc));
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = found; a && fd < 0; a = a->ai_next) fd = listen_on(a, err);
    freeaddrinfo(found);
    return fd;
}

// Bodies over the limit are answered in the caller's dialect, so evhttp, which has only its own
// error page, gets a hard limit above ours; with that page it refuses what is far beyond.
static ev_ssize_t hard_body_limit(size_t soft) {
    size_t limit = soft < (size_t)EV_SSIZE_MAX / 4 ? soft * 2 + (1u << 20) : (size_t)EV_SSIZE_MAX;
    return (ev_ssize_t)limit;
}

static void configure(Http *h) {
    evhttp_set_max_body_size(h->evhttp, hard_body_limit(h->config.max_body_bytes));
    evhttp_set_max_headers_size(h->evhttp, (ev_ssize_t)h->config.max_header_bytes);
    evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                              EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                              EVHTTP_REQ_PATCH);
    evhttp_set_flags(h->evhttp, EVHTTP_SERVER_LINGERING_CLOSE);
    if (h->config.idle_timeout_s > 0) evhttp_set_timeout(h->evhttp, h->config.idle_timeout_s);
    evhttp_set_bevcb(h->evhttp, on_new_bufferevent, h);
    evhttp_set_gencb(h->evhttp, on_request, h);
}

static bool attach_listener(Http *h, int fd) {
    h->listener =
        evconnlistener_new(h->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (!h->listener) {
        close(fd);
        return false;
    }
    if (evhttp_bind_listener(h->evhttp, h->listener)) {
        evconnlistener_set_error_cb(h->listener, on_accept_error);
        return true;
    }
    evconnlistener_free(h->listener);
    h->listener = NULL;
    return false;
}

Http *http_new(struct event_base *base, const HttpConfig *config, HttpHandler handler, HttpAnswered answered,
               void *user, Err *err) {
    Http *h = calloc(1, sizeof *h);
    int fd = h ? open_listener(config, err) : -1;
    if (!h) err_set(err, ERR_NOMEM, "out of memory");
    if (fd < 0) {
        err_prefix(err, "cannot listen on %s port %d", config->host, config->port);
        goto free_http;
    }
    *h = (Http){.base = base,
                .config = *config,
                .handler = handler,
                .answered = answered,
                .user = user,
                .port = bound_port(fd)};
    h->evhttp = evhttp_new(base);
    if (!h->evhttp) {
        close(fd);
        goto no_memory;
    }
    configure(h);
    if (!attach_listener(h, fd)) goto no_memory;
    return h;

no_memory:
    err_set(err, ERR_NOMEM, "out of memory");
free_http:
    http_free(h);
    return NULL;
}

void http_free(Http *h) {
    if (!h) return;
    HttpConn *next;
    for (HttpConn *c = h->conns; c; c = next) {
        next = c->next;
        if (!c->evcon) conn_free(c); // evhttp_free drops its connection
    }
    if (h->evhttp) evhttp_free(h->evhttp); // runs on_conn_closed for the rest
    free(h);
}

int http_port(const Http *h) {
    return h->port;
}

int http_n_busy(const Http *h) {
    return h->n_busy;
}
