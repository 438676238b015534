// How many connections each client has.
//
// A client is an IPv4 address, or of IPv6 the first 64 bits, which is what one household or machine has to
// itself. Loopback is nobody: behind it stand this machine's own programs, and a proxy with all of its
// clients.
//
// Thread: one, the event loop's.
#ifndef CLLM_SERVER_HTTP_CLIENTS_H
#define CLLM_SERVER_HTTP_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

enum { HTTP_CLIENT_BUCKETS = 1024 };

typedef struct HttpClient {
    struct HttpClient *next; // in its bucket
    uint64_t key;
    int n; // its connections
} HttpClient;

typedef struct HttpClients { // begins zeroed, and is so again when all have left
    HttpClient *buckets[HTTP_CLIENT_BUCKETS];
} HttpClients;

// One connection more. NULL: not counted (loopback, another family, no memory).
HttpClient *http_client_join(HttpClients *s, const struct sockaddr *address);
void http_client_leave(HttpClients *s, HttpClient *client); // NULL is allowed

#endif
