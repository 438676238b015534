#include "server/http_conn.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "base/reserve.h"
#include "server/tls.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    CLOCK_MS = 1000,
    LINGER_S = 5,          // for a refused client to stop sending and read why
    MAX_PIPELINED = 65536, // bytes behind a request that is being answered
};

static const size_t out_of_sight = SIZE_MAX / 2; // a low watermark that is never reached

static int64_t after_s(int64_t seconds) {
    return clock_now_ns() + seconds * 1000000000;
}

static struct evbuffer *input_of(const HttpConn *c) {
    return bufferevent_get_input(c->bev);
}

static struct evbuffer *output_of(const HttpConn *c) {
    return bufferevent_get_output(c->bev);
}

// evhttp is not called for what arrives.
static void hide_input(HttpConn *c) {
    bufferevent_setwatermark(c->bev, EV_READ, out_of_sight, 0);
}

// ---- the account of bodies

static HttpAccount *account_join(HttpAccount *account) {
    account->n_holders++;
    return account;
}

static void account_leave(HttpAccount *account) {
    if (account && --account->n_holders == 0) free(account);
}

static void count_body(HttpConn *c, size_t n_bytes) {
    size_t counted = n_bytes > HTTP_FREE_BODY ? n_bytes - HTTP_FREE_BODY : 0;
    if (counted == c->share.bytes) return;
    if (!c->share.account) c->share.account = account_join(c->set->bodies);
    c->share.account->bytes += counted - c->share.bytes;
    c->share.bytes = counted;
}

void http_share_end(HttpShare *share) {
    if (share->account) share->account->bytes -= share->bytes;
    account_leave(share->account);
    *share = (HttpShare){0};
}

HttpShare http_conn_hand_over(HttpConn *c) {
    HttpShare share = c->share;
    c->share = (HttpShare){0};
    return share;
}

// ---- refusing

// Decides only: this is called inside libevent's own work on the buffers. on_turn does the rest.
static void refuse(HttpConn *c, int status, const char *code, const char *message) {
    HttpRefusal r = {.status = status,
                     .code = code,
                     .message = message,
                     .retry_after_s = status == 503 ? 1 : 0,
                     .path = str_from(c->path),
                     .origin = str_from(c->origin)};
    if (c->phase >= CONN_REFUSED) return;
    c->refusal = c->set->calls.refuse(&r, c->set->calls.user);
    c->phase = CONN_REFUSED;
    hide_input(c);
    http_share_end(&c->share);
    log_f(LOG_DEBUG, "request_refused", "status=%d", status);
    event_active(c->turn, EV_TIMEOUT, 0);
}

static void close_conn(HttpConn *c) {
    evhttp_connection_free(c->evcon); // ends in on_closed
}

static void on_refused_input(struct bufferevent *bev, void *arg) {
    (void)arg;
    evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
}

// All is said. The client reads the end at once, and what it still sends is dropped for a while.
static void on_refused_output(struct bufferevent *bev, void *arg) {
    (void)arg;
    tls_say_goodbye(bev);
    shutdown(bufferevent_getfd(bev), SHUT_WR);
}

static void on_refused_event(struct bufferevent *bev, short what, void *arg) {
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) close_conn(arg);
}

// What evhttp has written and nobody has seen. A socket's bufferevent keeps others from its output.
static void drop_output(HttpConn *c) {
    struct evbuffer *out = output_of(c);
    if (evbuffer_get_length(out) == 0 || evbuffer_drain(out, SIZE_MAX) == 0) return;
    evbuffer_unfreeze(out, 1);
    evbuffer_drain(out, SIZE_MAX);
    evbuffer_freeze(out, 1);
}

// Takes the connection out of evhttp's hands: its callbacks are not called any more, and it is freed with
// what it knows of the request when the client has left.
static void say_refusal(HttpConn *c) {
    c->phase = CONN_LEAVING;
    bufferevent_setcb(c->bev, on_refused_input, on_refused_output, on_refused_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
    evbuffer_drain(input_of(c), SIZE_MAX);
    drop_output(c);
    c->deadline_ns = after_s(LINGER_S);
    if (!c->refusal) {
        close_conn(c);
        return;
    }
    bufferevent_write(c->bev, c->refusal, strlen(c->refusal));
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    free(c->refusal);
    c->refusal = NULL;
}

// ---- what arrives

static void keep_beginning(char *out, size_t size, Str s) {
    snprintf(out, size, "%.*s", (int)num_min(s.len, size - 1), s.ptr ? s.ptr : "");
}

static bool screen(HttpConn *c, const HttpHead *head) {
    const HttpConns *s = c->set;
    HttpRefusal r = {0};
    if (head->length > s->limits.max_body_bytes) {
        char text[80];
        snprintf(text, sizeof text, "the request body is larger than %zu bytes", s->limits.max_body_bytes);
        refuse(c, 413, "body_too_large", text);
    } else if (!s->calls.screen(head, &r, s->calls.user)) {
        refuse(c, r.status, r.code, r.message);
    }
    return c->phase < CONN_REFUSED;
}

static void begin_body(HttpConn *c, const HttpHead *head, size_t n_there) {
    c->used = true;
    c->phase = CONN_BODY;
    c->chunked = head->chunked;
    c->body_bytes = n_there - head->size;
    c->deadline_ns = c->set->limits.body_timeout_s ? after_s(c->set->limits.body_timeout_s) : 0;
    bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
}

static void look_at_head(HttpConn *c) {
    HttpHead head;
    size_t max = c->set->limits.max_header_bytes, there = evbuffer_get_length(input_of(c));
    ev_ssize_t n = evbuffer_copyout(input_of(c), c->set->scratch, max + 1);
    if (c->used && !c->deadline_ns && c->set->limits.header_timeout_s)
        c->deadline_ns = after_s(c->set->limits.header_timeout_s);
    HeadResult result = http_head_read((Str){c->set->scratch, n > 0 ? (size_t)n : 0}, max, &head);
    keep_beginning(c->path, sizeof c->path, head.path);
    keep_beginning(c->origin, sizeof c->origin, head.origin);
    if (result == HEAD_BAD)
        refuse(c, head.status, "bad_request", head.message);
    else if (result == HEAD_GOOD && screen(c, &head))
        begin_body(c, &head, there);
}

// What came buys time, but none to hoard: the end of a body that came fast may not be kept back for long.
static void grant_time(HttpConn *c, size_t n_bytes) {
    const HttpLimits *l = &c->set->limits;
    if (!c->deadline_ns || !l->min_body_rate) return;
    int64_t most = after_s(l->body_timeout_s);
    c->deadline_ns += (int64_t)(n_bytes * 1000000000ull / l->min_body_rate);
    if (c->deadline_ns > most) c->deadline_ns = most;
}

// Chunks cost more bytes than they carry. What they carry is limited when it is whole, and by evhttp.
static void look_at_body(HttpConn *c, size_t n_more) {
    const HttpLimits *l = &c->set->limits;
    c->body_bytes += n_more;
    grant_time(c, n_more);
    count_body(c, c->body_bytes);
    if (c->chunked && c->body_bytes / 2 > l->max_body_bytes + HTTP_FREE_BODY)
        refuse(c, 413, "body_too_large", "the request body is too large");
    else if (l->max_bodies_bytes && c->share.bytes && c->set->bodies->bytes > l->max_bodies_bytes)
        refuse(c, 503, "busy", "the server holds as many bytes of requests as it may; try again in a moment");
}

static void learn_evcon(HttpConn *c);

static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg) {
    (void)in;
    HttpConn *c = arg;
    if (info->n_added == 0 || c->early) return;
    learn_evcon(c);
    if (c->phase == CONN_HEAD)
        look_at_head(c);
    else if (c->phase == CONN_BODY)
        look_at_body(c, info->n_added);
}

// ---- what evhttp says by itself

static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg) {
    (void)out;
    HttpConn *c = arg;
    if (info->n_added == 0 || c->page || (c->phase != CONN_HEAD && c->phase != CONN_BODY)) return;
    c->page = true;
    event_active(c->turn, EV_TIMEOUT, 0); // before anything is sent: sending waits for the next poll
}

// "100 Continue" is all that it may say before there is a request. Else it is a page of HTML for an error.
static void look_at_page(HttpConn *c) {
    char start[16] = "";
    c->page = false;
    if (c->phase == CONN_REPLY || evbuffer_copyout(output_of(c), start, sizeof start - 1) < 12) return;
    int status = atoi(start + 9);
    if (status == 100) return;
    bool is_chunk = c->chunked && c->body_bytes <= c->set->limits.max_body_bytes;
    if (is_chunk)
        refuse(c, 400, "bad_request", "the chunks of the request body are malformed");
    else
        refuse(c, status, "bad_request", "the request cannot be understood");
}

// ---- life

static void on_closed(struct evhttp_connection *evcon, void *arg);

static void note_fd(HttpConn *c) {
    HttpConns *s = c->set;
    c->fd = bufferevent_getfd(c->bev);
    if (c->fd < 0) return;
    if (c->fd >= s->n_fds) {
        int n = c->fd * 2 + 64;
        HttpConn **grown = realloc(s->by_fd, (size_t)n * sizeof *grown);
        if (!grown) return;
        memset(grown + s->n_fds, 0, (size_t)(n - s->n_fds) * sizeof *grown);
        s->by_fd = grown;
        s->n_fds = n;
    }
    s->by_fd[c->fd] = c;
}

// One client may not take all places.
static void note_client(HttpConn *c) {
    HttpConns *s = c->set;
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    if (!s->limits.max_client_connections || getpeername(c->fd, (struct sockaddr *)&address, &n) != 0) return;
    c->client = http_client_join(&s->clients, (const struct sockaddr *)&address);
    if (c->client && c->client->n > s->limits.max_client_connections) c->surplus = true;
}

// evhttp makes its connection object after it has asked for the bufferevent, and hands it to the bufferevent
// as callback argument; freeing clears that. So it is found with the first byte, or one turn of the loop
// later.
static void learn_evcon(HttpConn *c) {
    void *evcon = NULL;
    if (c->evcon) return;
    bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
    if (!evcon) return;
    c->evcon = evcon;
    evhttp_connection_set_closecb(evcon, on_closed, c);
    note_fd(c);
    note_client(c);
    int one = 1; // tokens are small writes that must not wait for each other
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void forget(HttpConn *c) {
    HttpConns *s = c->set;
    evbuffer_remove_cb(input_of(c), on_input, c);
    evbuffer_remove_cb(output_of(c), on_output, c);
    event_free(c->turn);
    if (!c->arrived) bufferevent_decref(c->bev);
    if (c->early) evbuffer_free(c->early);
    http_conn_set_busy(c, false);
    http_share_end(&c->share);
    http_client_leave(&s->clients, c->client);
    if (c->fd >= 0 && c->fd < s->n_fds && s->by_fd[c->fd] == c) s->by_fd[c->fd] = NULL;
    if (c->prev)
        c->prev->next = c->next;
    else
        s->first = c->next;
    if (c->next) c->next->prev = c->prev;
    if (--s->n == 0) event_del(s->clock);
    free(c->refusal);
    free(c);
}

// The connection goes down, whoever caused it.
static void on_closed(struct evhttp_connection *evcon, void *arg) {
    (void)evcon;
    HttpConn *c = arg;
    HttpConns *s = c->set;
    s->calls.closed(c, s->calls.user);
    tls_say_goodbye(c->bev);
    forget(c);
}

// One turn of the loop after it was accepted. Inside evhttp's own calls its connection must not be freed.
static void arrive(HttpConn *c) {
    HttpConns *s = c->set;
    learn_evcon(c);
    if (!c->evcon) {
        forget(c);
        return;
    }
    c->arrived = true;
    bufferevent_decref(c->bev);
    if (!c->surplus) return;
    s->n_refused++;
    close_conn(c);
}

static void bring_back_early(HttpConn *c) {
    struct evbuffer *early = c->early;
    c->early = NULL;
    evbuffer_prepend_buffer(input_of(c), early); // runs on_input
    evbuffer_free(early);
    bufferevent_trigger(c->bev, EV_READ, 0);
}

static void on_turn(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    HttpConn *c = arg;
    if (!c->arrived) {
        if (c->phase == CONN_REFUSED || c->page) event_active(c->turn, EV_TIMEOUT, 0);
        arrive(c);
        return;
    }
    if (c->page) look_at_page(c);
    if (c->phase == CONN_REFUSED)
        say_refusal(c);
    else if (c->early)
        bring_back_early(c);
}

HttpConn *http_conn_new(HttpConns *s, struct bufferevent *bev) {
    struct timeval now = {0, 0}, tick = {0, CLOCK_MS * 1000L};
    HttpConn *c = reserve_malloc(sizeof *c, NULL); // an unwatched connection has no deadline
    if (c) memset(c, 0, sizeof *c);
    if (!c || !(c->turn = event_new(s->base, -1, 0, on_turn, c))) {
        free(c);
        return NULL;
    }
    c->set = s;
    c->bev = bev;
    c->fd = -1;
    c->deadline_ns = s->limits.header_timeout_s ? after_s(s->limits.header_timeout_s) : 0;
    bufferevent_incref(bev);
    hide_input(c);
    evbuffer_add_cb(input_of(c), on_input, c);
    evbuffer_add_cb(output_of(c), on_output, c);
    c->next = s->first;
    if (s->first) s->first->prev = c;
    s->first = c;
    c->surplus = s->n >= s->limits.max_connections;
    if (s->n++ == 0) event_add(s->clock, &tick);
    event_add(c->turn, &now);
    return c;
}

HttpConn *http_conn_of(HttpConns *s, struct evhttp_connection *evcon) {
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    return fd >= 0 && fd < s->n_fds ? s->by_fd[fd] : NULL;
}

void http_conn_set_busy(HttpConn *c, bool busy) {
    if (c->busy == busy) return;
    c->busy = busy;
    c->set->n_busy += busy ? 1 : -1;
}

void http_conn_set_idle(HttpConn *c, bool on) {
    struct timeval idle = {c->set->limits.idle_timeout_s, 0};
    bool use = on && idle.tv_sec > 0;
    bufferevent_set_timeouts(c->bev, use ? &idle : NULL, use ? &idle : NULL);
}

// ---- a request's stations

void http_conn_begin_reply(HttpConn *c) {
    c->phase = CONN_REPLY;
    c->deadline_ns = 0;
    http_conn_set_busy(c, true);
    bufferevent_setwatermark(c->bev, EV_READ, 0, MAX_PIPELINED); // evhttp may read on while it writes
}

void http_conn_flush(HttpConn *c) {
    const HttpLimits *l = &c->set->limits;
    size_t rate = l->min_body_rate ? l->min_body_rate : SIZE_MAX;
    if (l->idle_timeout_s)
        c->deadline_ns = after_s(l->idle_timeout_s + (int64_t)(evbuffer_get_length(output_of(c)) / rate));
}

// evhttp would read what has come early as it is, whole or not. So it does not find it.
void http_conn_next(HttpConn *c) {
    c->phase = CONN_HEAD;
    c->deadline_ns = 0;
    c->body_bytes = 0;
    http_share_end(&c->share);
    http_conn_set_busy(c, false);
    http_conn_set_idle(c, true);
    hide_input(c);
    if (evbuffer_get_length(input_of(c)) == 0) return;
    c->early = evbuffer_new();
    if (c->early && evbuffer_add_buffer(c->early, input_of(c)) == 0) {
        event_active(c->turn, EV_TIMEOUT, 0);
        return;
    }
    evbuffer_drain(input_of(c), SIZE_MAX);
    refuse(c, 503, "busy", "out of memory");
}

// ---- the clock

static void look_at_time(HttpConn *c, int64_t now) {
    if (!c->evcon || !c->deadline_ns || now < c->deadline_ns) return;
    if (c->phase == CONN_BODY)
        refuse(c, 408, NULL, "the request body came too slowly");
    else if (c->phase == CONN_HEAD && evbuffer_get_length(input_of(c)) > 0)
        refuse(c, 408, NULL, "the head of the request came too slowly");
    else
        close_conn(c);
}

static void on_clock(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    HttpConns *s = arg;
    int64_t now = clock_now_ns();
    HttpConn *next;
    if (s->n_refused) log_f(LOG_INFO, "connections_refused", "count=%d open=%d", s->n_refused, s->n);
    s->n_refused = 0;
    for (HttpConn *c = s->first; c; c = next) {
        next = c->next;
        look_at_time(c, now);
    }
}

bool http_conns_init(HttpConns *s, struct event_base *base, const HttpLimits *limits,
                     const HttpConnCalls *calls) {
    *s = (HttpConns){.base = base, .limits = *limits, .calls = *calls};
    HttpAccount *bodies = calloc(1, sizeof *bodies);
    if (bodies) s->bodies = account_join(bodies);
    s->scratch = malloc(limits->max_header_bytes + 1);
    s->clock = event_new(base, -1, EV_PERSIST, on_clock, s);
    return s->bodies && s->scratch && s->clock;
}

void http_conns_drop_new(HttpConns *s) {
    HttpConn *next;
    for (HttpConn *c = s->first; c; c = next) {
        next = c->next;
        if (!c->evcon) forget(c);
    }
}

void http_conns_free(HttpConns *s) {
    if (s->clock) event_free(s->clock);
    account_leave(s->bodies);
    free(s->scratch);
    free(s->by_fd);
    *s = (HttpConns){0};
}
