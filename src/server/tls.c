#include "server/tls.h"

#include "base/log.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct Tls {
    const char *cert_path, *key_path;
    SSL_CTX *context;
};

static bool fail(Err *err, const char *path, bool is_key) {
    const char *what = is_key ? "key" : "certificate";
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    if (ERR_SYSTEM_ERROR(code)) reason = strerror(ERR_GET_REASON(code));
    int why = ERR_GET_REASON(code); // unsupported: what was decoded is something else
    bool other = !ERR_SYSTEM_ERROR(code) && (why == ERR_R_UNSUPPORTED || why == PEM_R_NO_START_LINE);
    if (other) return err_set(err, ERR_INVALID, "%s holds no %s in PEM form", path, what);
    return err_set(err, ERR_INVALID, "%s cannot be used as the %s: %s%s", path, what,
                   reason ? reason : "no reason known",
                   is_key ? " (it must be the certificate's, and not encrypted)" : "");
}

static int no_password(char *out, int size, int writing, void *user) {
    (void)out, (void)size, (void)writing, (void)user;
    return 0;
}

// Clients that offer HTTP/2 beside HTTP/1.1 take the latter; those that speak nothing else are told so.
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n_out, const unsigned char *in,
                           unsigned n, void *user) {
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl, (void)user;
    int result = SSL_select_next_proto(&chosen, n_out, ours, sizeof ours - 1, in, n);
    *out = chosen;
    return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool configure(SSL_CTX *c) {
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS); // an idle connection is small
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(c, no_password);
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    return SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
}

static bool read_pair(SSL_CTX *c, const Tls *t, Err *err) {
    if (SSL_CTX_use_certificate_chain_file(c, t->cert_path) != 1) return fail(err, t->cert_path, false);
    if (SSL_CTX_use_PrivateKey_file(c, t->key_path, SSL_FILETYPE_PEM) != 1)
        return fail(err, t->key_path, true);
    return SSL_CTX_check_private_key(c) == 1 || fail(err, t->key_path, true);
}

bool tls_reload(Tls *t, Err *err) {
    ERR_clear_error();
    SSL_CTX *fresh = SSL_CTX_new(TLS_server_method());
    if (!fresh || !configure(fresh) || !read_pair(fresh, t, err)) {
        if (!fresh) err_set(err, ERR_NOMEM, "out of memory");
        SSL_CTX_free(fresh);
        return false;
    }
    SSL_CTX_free(t->context);
    t->context = fresh;
    return true;
}

Tls *tls_new(const char *cert_path, const char *key_path, Err *err) {
    Tls *t = calloc(1, sizeof *t);
    if (!t) {
        err_set(err, ERR_NOMEM, "out of memory");
        return NULL;
    }
    t->cert_path = cert_path;
    t->key_path = key_path;
    if (tls_reload(t, err)) return t;
    tls_free(t);
    return NULL;
}

void tls_free(Tls *t) {
    if (!t) return;
    SSL_CTX_free(t->context);
    free(t);
}

void tls_log_certificate(const Tls *t) {
    char until[32] = "unknown";
    struct tm when;
    const X509 *certificate = SSL_CTX_get0_certificate(t->context);
    if (certificate && ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) == 1)
        strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &when);
    log_event(LOG_INFO, "certificate", "until", until, NULL);
}

struct bufferevent *tls_bufferevent(Tls *t, struct event_base *base) {
    SSL *ssl = SSL_new(t->context);
    if (!ssl) return NULL;
    struct bufferevent *bev =
        bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (bev)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    else
        SSL_free(ssl);
    return bev;
}

void tls_say_goodbye(struct bufferevent *bev) {
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    if (!ssl || !SSL_is_init_finished(ssl)) return;
    SSL_shutdown(ssl);
    ERR_clear_error(); // what is left there would be taken for another connection's
}
