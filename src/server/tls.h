// TLS 1.2 and 1.3 for accepted connections, by OpenSSL: a certificate chain and its key, from PEM files.
//
// Both files can be read anew while connections run: those keep what they began with. Only ciphers with
// forward secrecy and authenticated encryption, no renegotiation, no compression, HTTP/1.1 by ALPN. A key
// that is encrypted is refused, since nobody is there to type its password.
//
// Thread: the loop's, after tls_new.
#ifndef CLLM_SERVER_TLS_H
#define CLLM_SERVER_TLS_H

#include "base/err.h"

struct bufferevent;
struct event_base;

typedef struct Tls Tls;

Tls *tls_new(const char *cert_path, const char *key_path, Err *err); // the paths are borrowed
void tls_free(Tls *t);                                               // NULL is allowed
bool tls_reload(Tls *t, Err *err);                                   // on failure the old pair stays
void tls_log_certificate(const Tls *t);                              // until when it is valid

// A bufferevent for a connection that is about to be accepted; it closes its descriptor. NULL: out of memory.
struct bufferevent *tls_bufferevent(Tls *t, struct event_base *base);
// Tells the peer that nothing follows. Does nothing on a connection without TLS.
void tls_say_goodbye(struct bufferevent *bev);

#endif
