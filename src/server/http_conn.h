// Connections: from accept to close, what they may cost, and what they are told before evhttp has a request.
//
// evhttp reads whatever comes, for as long as it likes to come, and says what is wrong in HTML. So
// each connection has a watch on the bytes that arrive:
//
//   HEAD     the bytes stay in the buffer, out of evhttp's sight, until they are a whole good head
//   (http_head.h)
//            whose sender may come in (HttpScreen)
//   BODY     evhttp reads; bytes and time are counted
//   REPLY    a handler has the request; until the reply is flushed
//   REFUSED  decided, to be said on the next turn of the loop
//   LEAVING  evhttp is asleep, the answer is on its way, and what still comes is dropped for a while, since
//            a client that is cut off while it sends may not read the answer
//
// A head has header_timeout_s, from the connection's begin, or from its first byte on a connection that has
// been used. A body may fall behind min_body_rate by body_timeout_s. A reader of an answer that is complete
// has the idle time and what that rate grants. A clock that ticks once a second looks after all of them. The
// bytes of all bodies that are in memory have one limit; the first HTTP_FREE_BODY of each connection do not
// count, so that who fills the memory with large ones does not keep out ordinary ones.
//
// What is beyond the number of connections, of all or of one client, is closed as soon as it is known.
//
// Thread: the event loop's.
#ifndef CLLM_SERVER_HTTP_CONN_H
#define CLLM_SERVER_HTTP_CONN_H

#include "server/http_clients.h"
#include "server/http_head.h"

#include <stdint.h>

struct bufferevent;
struct event;
struct event_base;
struct evbuffer;
struct evhttp_connection;

enum { HTTP_FREE_BODY = 65536 };

typedef struct HttpLimits { // 0: none, but for max_connections
    int max_connections;
    int max_client_connections; // of one client (http_clients.h)
    size_t max_body_bytes, max_header_bytes, max_bodies_bytes;
    int header_timeout_s, body_timeout_s, idle_timeout_s;
    size_t min_body_rate; // bytes a second
} HttpLimits;

// The bytes of bodies in memory, together. It lives until the last of what counts has ended.
typedef struct HttpAccount {
    size_t bytes;
    int n_holders;
} HttpAccount;

// One's share in it.
typedef struct HttpShare {
    HttpAccount *account;
    size_t bytes;
} HttpShare;

typedef enum HttpPhase { CONN_HEAD, CONN_BODY, CONN_REPLY, CONN_REFUSED, CONN_LEAVING } HttpPhase;

typedef struct HttpConn {
    struct HttpConns *set;
    struct HttpConn *prev, *next;
    struct bufferevent *bev;
    struct evhttp_connection *evcon; // NULL: not known yet
    struct event *turn;
    struct evbuffer *early;        // what came behind a request, until its reply is done
    struct HttpExchange *exchange; // the one that a handler has
    int fd;
    HttpClient *client; // NULL: not counted
    HttpPhase phase;
    bool surplus, arrived, busy, used, chunked, page; // page: evhttp has begun an answer of its own
    int64_t deadline_ns;                              // 0: none
    size_t body_bytes;                                // that came
    HttpShare share;                                  // of them in the common account
    char *refusal;                                    // an answer that is decided and not yet said
    char path[32], origin[96];                        // beginnings, for refusals
} HttpConn;

// What the owner of the connections adds.
typedef struct HttpConnCalls {
    // May a request with this head come in? Otherwise *r says why not.
    bool (*screen)(const HttpHead *head, HttpRefusal *r, void *user);
    char *(*refuse)(const HttpRefusal *r, void *user); // the answer, all of it, malloced; NULL: none
    void (*closed)(HttpConn *c, void *user);           // goes down; ends the exchange
    void *user;
} HttpConnCalls;

typedef struct HttpConns {
    struct event_base *base;
    HttpLimits limits;
    HttpConnCalls calls;
    struct event *clock;
    HttpConn *first;
    HttpConn **by_fd;
    char *scratch; // a head
    int n, n_busy, n_fds;
    int n_refused; // over a limit, since the clock ticked
    HttpClients clients;
    HttpAccount *bodies;
} HttpConns;

bool http_conns_init(HttpConns *s, struct event_base *base, const HttpLimits *limits,
                     const HttpConnCalls *calls);
// Before evhttp is freed, which closes the connections that it knows: forgets the others.
void http_conns_drop_new(HttpConns *s);
void http_conns_free(HttpConns *s); // after evhttp; a zeroed struct is allowed

// A connection for a bufferevent that evhttp is about to use. NULL: out of memory.
HttpConn *http_conn_new(HttpConns *s, struct bufferevent *bev);
HttpConn *http_conn_of(HttpConns *s, struct evhttp_connection *evcon); // NULL: not one of ours

void http_conn_begin_reply(HttpConn *c); // evhttp has read a whole request
void http_conn_flush(HttpConn *c);       // the reply is written; the reader has so long
void http_conn_next(HttpConn *c);        // and has it: another request may come
// The body has another owner now; when it is not in memory any more, that is when the share ends.
HttpShare http_conn_hand_over(HttpConn *c);
void http_share_end(HttpShare *share);         // a zeroed one is allowed
void http_conn_set_idle(HttpConn *c, bool on); // does silence end it?
void http_conn_set_busy(HttpConn *c, bool busy);

#endif
