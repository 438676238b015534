#define _GNU_SOURCE // POLLRDHUP
#include "server/http.h"

#include "base/log.h"
#include "server/http_conn.h"
#include "server/percent.h"
#include "server/tls.h"

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
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef POLLRDHUP
#define POLLRDHUP 0 // elsewhere a hang-up is always reported
#endif

struct HttpBody {
    struct evbuffer *bytes;
    HttpShare share;
};

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
    bool broken; // no memory: what would be told is not whole
};

struct Http {
    struct event_base *base;
    struct evhttp *evhttp;
    struct evconnlistener *listener; // owned by evhttp
    HttpConfig config;
    HttpCalls calls;
    HttpConns conns;
    int port;
};

enum {
    HTTP_RESUME_MS = 200,
    HTTP_WATCH_MS = 50,
    HTTP_HEAD_ROOM = 4096,
    HTTP_CHUNK_ROOM = 128,     // what frames a chunk
    HTTP_SEND_BUFFER = 131072, // the kernel would take megabytes for a reader who has stopped reading
};

// ---- connections

static void exchange_free(HttpExchange *x) {
    if (x->conn) x->conn->exchange = NULL;
    if (x->closed) event_free(x->closed);
    free(x);
}

// A request that evhttp has already taken off the connection is ours to free; otherwise evhttp frees it.
static void on_conn_closed(HttpConn *c, void *user) {
    (void)user;
    HttpExchange *x = c->exchange;
    if (!x) return;
    HttpGone gone = x->gone;
    void *who = x->user;
    if (!evhttp_request_get_connection(x->req)) evhttp_request_free(x->req);
    exchange_free(x);
    if (gone) gone(who);
}

static struct bufferevent *on_new_bufferevent(struct event_base *base, void *arg) {
    Http *h = arg;
    struct Tls *tls = h->config.tls;
    struct bufferevent *bev = tls ? tls_bufferevent(tls, base) : bufferevent_socket_new(base, -1, 0);
    if (bev) http_conn_new(&h->conns, bev);
    return bev; // where there is no memory to watch a connection its requests get 503
}

static void on_reply_complete(struct evhttp_request *req, void *arg) {
    (void)req;
    http_conn_next(arg);
}

// ---- requests

static void on_request(struct evhttp_request *req, void *arg) {
    Http *h = arg;
    HttpConn *c = http_conn_of(&h->conns, evhttp_request_get_connection(req));
    struct evbuffer *in = evhttp_request_get_input_buffer(req);
    size_t n = evbuffer_get_length(in);
    bool too_large = n > h->config.limits.max_body_bytes;
    const char *body = too_large || !n ? "" : (const char *)evbuffer_pullup(in, -1);
    bool screened = c && c->phase == CONN_BODY;
    HttpExchange *x = screened && body ? calloc(1, sizeof *x) : NULL;
    if (!x) {
        evhttp_send_reply(req, 503, "Service Unavailable", NULL);
        return;
    }
    *x = (HttpExchange){.http = h, .conn = c, .req = req, .too_large = too_large};
    x->body = (Str){body, too_large ? 0 : n};
    c->exchange = x;
    http_conn_begin_reply(c);
    evhttp_request_set_on_complete_cb(req, on_reply_complete, c);
    h->calls.handle(x, h->calls.user);
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

static bool knows_method(Str name) {
    for (int i = 0; i < N_METHODS; i++)
        if (str_eq(name, str_from(methods[i].name))) return true;
    return false;
}

// To evhttp //health is a host without a path; here it is a path that does not exist, and not "/".
Str http_path(const HttpExchange *x) {
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(x->req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    if (uri && evhttp_uri_get_host(uri) && !evhttp_uri_get_scheme(uri)) path = evhttp_request_get_uri(x->req);
    return path && *path ? str_from(path) : STR("/");
}

bool http_query(const HttpExchange *x, const char *name, Buf *out) {
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(x->req);
    const char *at = uri ? evhttp_uri_get_query(uri) : NULL;
    size_t n = strlen(name);
    for (; at && *at; at += strcspn(at, "&"), at += *at == '&') {
        if (strncmp(at, name, n) != 0 || at[n] != '=') continue;
        at += n + 1;
        percent_decode((Str){at, strcspn(at, "&")}, true, out);
        return !out->failed;
    }
    return false;
}

// A body is the evbuffer in which it arrived. It lies in one piece, and moving it to another evbuffer
// moves no byte.
bool http_take_body(HttpExchange *x, HttpBody **body, Str *view) {
    HttpBody *own = x->body.len ? calloc(1, sizeof *own) : NULL;
    if (x->body.len && (!own || !(own->bytes = evbuffer_new()))) {
        free(own);
        return false;
    }
    if (own) {
        evbuffer_add_buffer(own->bytes, evhttp_request_get_input_buffer(x->req));
        own->share = http_conn_hand_over(x->conn);
    }
    *body = own;
    *view = x->body;
    x->body = (Str){"", 0};
    return true;
}

void http_free_body(HttpBody *body) {
    if (!body) return;
    evbuffer_free(body->bytes);
    http_share_end(&body->share);
    free(body);
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
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
    }
}

void http_set_header(HttpExchange *x, const char *name, const char *value) {
    struct evkeyvalq *headers = evhttp_request_get_output_headers(x->req);
    evhttp_remove_header(headers, name);
    x->broken |= evhttp_add_header(headers, name, value) != 0;
}

static struct evbuffer *output_of(const HttpExchange *x) {
    return bufferevent_get_output(x->conn->bev);
}

// What Access-Control-Allow-Origin says to this origin. NULL: nothing.
static const char *allowed_origin(const Http *h, const char *origin) {
    const char *list = h->config.cors_origin;
    if (!list || !origin) return list && strcmp(list, "*") == 0 ? list : NULL;
    size_t n = strlen(origin);
    for (const char *at = list; *at;) {
        at += strspn(at, ", ");
        size_t length = strcspn(at, ", ");
        if (length == 1 && *at == '*') return "*";
        if (length == n && n > 0 && memcmp(at, origin, n) == 0) return origin;
        at += length;
    }
    return NULL;
}

static bool answers_by_origin(const Http *h) {
    const char *list = h->config.cors_origin;
    return list && *list && strcmp(list, "*") != 0;
}

bool http_origin_allowed(const HttpExchange *x) {
    return allowed_origin(x->http, http_header(x, "Origin")) != NULL;
}

static void begin_reply(HttpExchange *x, const char *content_type) {
    const Http *h = x->http;
    const char *origin = allowed_origin(h, http_header(x, "Origin"));
    if (content_type) http_set_header(x, "Content-Type", content_type);
    if (answers_by_origin(h))
        x->broken |= evhttp_add_header(evhttp_request_get_output_headers(x->req), "Vary", "Origin") != 0;
    if (!origin) return;
    http_set_header(x, "Access-Control-Allow-Origin", origin);
    http_set_header(x, "Access-Control-Expose-Headers", "Retry-After");
}

static HttpConn *exchange_end(HttpExchange *x) {
    HttpConn *c = x->conn;
    exchange_free(x);
    return c;
}

static void put_body(HttpExchange *x, Str body, struct evbuffer *out) {
    char length[32];
    snprintf(length, sizeof length, "%zu", body.len);
    http_set_header(x, "Content-Length", length);
    if (http_method(x) != HTTP_HEAD) x->broken |= !out || evbuffer_add(out, body.ptr, body.len) != 0;
}

// evhttp writes the head line by line and does not look whether it could; with the room at hand it can. What
// is not whole all the same becomes a 503 without a body.
void http_reply(HttpExchange *x, int status, const char *content_type, Str body) {
    struct evhttp_request *req = x->req;
    begin_reply(x, content_type);
    struct evbuffer *out = evbuffer_new();
    if (status != 204 && status != 304) put_body(x, body, out);
    if (x->too_large) http_set_header(x, "Connection", "close");
    x->broken |= evbuffer_expand(output_of(x), HTTP_HEAD_ROOM) != 0;
    if (x->broken) {
        status = 503;
        evhttp_clear_headers(evhttp_request_get_output_headers(req));
        if (out) evbuffer_drain(out, evbuffer_get_length(out));
    }
    x->http->calls.answered(x->tag, status, x->http->calls.user);
    HttpConn *c = exchange_end(x);
    evhttp_send_reply(req, status, reason_phrase(status), out);
    http_conn_flush(c);
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
    http_conn_set_idle(x->conn, false);
    watch(x, false);
}

void http_start(HttpExchange *x, int status, const char *content_type) {
    x->http->calls.answered(x->tag, status, x->http->calls.user);
    begin_reply(x, content_type);
    http_set_header(x, "Cache-Control", "no-cache");
    http_set_header(x, "X-Accel-Buffering", "no");
    x->started = true;
    x->broken |= evbuffer_expand(output_of(x), HTTP_HEAD_ROOM) != 0;
    evhttp_send_reply_start(x->req, status, reason_phrase(status));
    bool told = evhttp_find_header(evhttp_request_get_output_headers(x->req), "Transfer-Encoding") != NULL;
    x->broken |= x->req->chunked && !told;
}

void http_drop(HttpExchange *x) {
    x->gone = NULL;
    evhttp_connection_free(x->conn->evcon);
}

// evhttp frames a chunk without looking whether it could; so the room is there before.
static bool add_chunk(HttpExchange *x, Str bytes) {
    struct evbuffer *chunk = evbuffer_new();
    bool ok = chunk && !x->broken && evbuffer_expand(output_of(x), HTTP_CHUNK_ROOM) == 0 &&
              evbuffer_expand(chunk, bytes.len + HTTP_CHUNK_ROOM) == 0 &&
              evbuffer_add(chunk, bytes.ptr, bytes.len) == 0;
    if (ok) evhttp_send_reply_chunk(x->req, chunk);
    if (chunk) evbuffer_free(chunk);
    return ok;
}

bool http_send(HttpExchange *x, Str bytes) {
    CHECK(x->started);
    if (bytes.len == 0) return true;
    if (add_chunk(x, bytes) && evbuffer_get_length(output_of(x)) <= x->http->config.max_pending_bytes)
        return true;
    http_drop(x);
    return false;
}

void http_end(HttpExchange *x, bool close_connection) {
    struct evhttp_request *req = x->req;
    if (close_connection) http_set_header(x, "Connection", "close"); // evhttp looks at it when it has flushed
    if (x->broken || evbuffer_expand(output_of(x), HTTP_CHUNK_ROOM) != 0) {
        http_drop(x);
        return;
    }
    http_conn_flush(exchange_end(x));
    evhttp_send_reply_end(req);
}

// ---- refusals

static bool screen(const HttpHead *head, HttpRefusal *r, void *user) {
    const Http *h = user;
    if (knows_method(head->method)) return h->calls.screen(head, r, h->calls.user);
    *r = (HttpRefusal){.status = 501, .code = "unknown_method", .message = "there is no such method here"};
    return false;
}

static char *refusal_text(const HttpRefusal *r, void *user) {
    const Http *h = user;
    Buf out = {0};
    char *json = h->calls.refusal_json(r, h->calls.user);
    const char *origin = allowed_origin(h, r->origin.len ? r->origin.ptr : NULL);
    h->calls.answered(NULL, r->status, h->calls.user);
    buf_printf(&out, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\n", r->status,
               reason_phrase(r->status));
    if (r->status == 401) buf_puts(&out, "WWW-Authenticate: Bearer\r\n");
    if (r->retry_after_s) buf_printf(&out, "Retry-After: %d\r\n", r->retry_after_s);
    if (answers_by_origin(h)) buf_puts(&out, "Vary: Origin\r\n");
    if (origin) buf_printf(&out, "Access-Control-Allow-Origin: %s\r\n", origin);
    buf_printf(&out, "Content-Length: %zu\r\n\r\n%s", json ? strlen(json) : 0, json ? json : "");
    free(json);
    if (!out.failed) return out.ptr;
    buf_free(&out);
    return NULL;
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

static const char *listen_remedy(int error) {
    switch (error) {
    case EADDRINUSE: return " (is another server running? `cllm ps` tells; --port takes another)";
    case EADDRNOTAVAIL: return " (--host wants an address of this machine; 0.0.0.0 stands for all)";
    case EACCES: return " (ports below 1024 want CAP_NET_BIND_SERVICE)";
    default: return "";
    }
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
    err_set(err, ERR_IO, "%s%s", strerror(errno), listen_remedy(errno));
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
        err_set(err, ERR_IO, "%s%s", gai_strerror(rc), listen_remedy(EADDRNOTAVAIL));
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
    const HttpLimits *limits = &h->config.limits;
    evhttp_set_max_body_size(h->evhttp, hard_body_limit(limits->max_body_bytes));
    evhttp_set_max_headers_size(h->evhttp, (ev_ssize_t)limits->max_header_bytes);
    evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                              EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                              EVHTTP_REQ_PATCH);
    evhttp_set_flags(h->evhttp, EVHTTP_SERVER_LINGERING_CLOSE);
    if (limits->idle_timeout_s > 0) evhttp_set_timeout(h->evhttp, limits->idle_timeout_s);
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

// What no browser sends as its Origin would let nobody in: a host alone, a path, a slash at the end.
static bool check_origins(const char *list, Err *err) {
    for (const char *at = list ? list : ""; *(at += strspn(at, ", "));) {
        int n = (int)strcspn(at, ", ");
        const char *host = strstr(at, "://");
        bool any = (n == 1 && *at == '*') || (n == 4 && memcmp(at, "null", 4) == 0);
        bool whole =
            host && host > at && host + 3 < at + n && !memchr(host + 3, '/', (size_t)(at + n - host - 3));
        if (!any && !whole)
            return err_set(err, ERR_INVALID,
                           "--cors-origin: '%.*s' is no origin: SCHEME://HOST[:PORT], null or *", n, at);
        at += n;
    }
    return true;
}

static bool init(Http *h) {
    HttpConnCalls calls = {.screen = screen, .refuse = refusal_text, .closed = on_conn_closed, .user = h};
    h->evhttp = evhttp_new(h->base);
    if (!h->evhttp || !http_conns_init(&h->conns, h->base, &h->config.limits, &calls)) return false;
    configure(h);
    return true;
}

Http *http_new(struct event_base *base, const HttpConfig *config, const HttpCalls *calls, Err *err) {
    if (!check_origins(config->cors_origin, err)) return NULL;
    Http *h = calloc(1, sizeof *h);
    int fd = h ? open_listener(config, err) : -1;
    if (!h) err_set(err, ERR_NOMEM, "out of memory");
    if (fd < 0) {
        err_prefix(err, "cannot listen on %s port %d", config->host, config->port);
        goto free_http;
    }
    *h = (Http){.base = base, .config = *config, .calls = *calls, .port = bound_port(fd)};
    if (!init(h)) {
        close(fd);
        goto no_memory;
    }
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
    http_conns_drop_new(&h->conns);
    if (h->evhttp) evhttp_free(h->evhttp); // runs on_conn_closed for the rest
    http_conns_free(&h->conns);
    free(h);
}

int http_port(const Http *h) {
    return h->port;
}

int http_n_busy(const Http *h) {
    return h->conns.n_busy;
}
