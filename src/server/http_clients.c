#include "server/http_clients.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

static uint64_t big_endian(const unsigned char *bytes, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | bytes[i];
    return v;
}

// false: loopback. An IPv4 address is below all prefixes that IPv6 gives to anybody.
static bool key_of_ipv4(const unsigned char *bytes, uint64_t *key) {
    *key = big_endian(bytes, 4);
    return bytes[0] != IN_LOOPBACKNET;
}

static bool key_of(const struct sockaddr *address, uint64_t *key) {
    if (address->sa_family == AF_INET)
        return key_of_ipv4((const unsigned char *)&((const struct sockaddr_in *)address)->sin_addr, key);
    if (address->sa_family != AF_INET6) return false;
    const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(a)) return key_of_ipv4(a->s6_addr + 12, key);
    *key = big_endian(a->s6_addr, 8);
    return !IN6_IS_ADDR_LOOPBACK(a);
}

static HttpClient **bucket_of(HttpClients *s, uint64_t key) {
    return &s->buckets[(key * 0x9E3779B97F4A7C15u >> 32) % HTTP_CLIENT_BUCKETS];
}

HttpClient *http_client_join(HttpClients *s, const struct sockaddr *address) {
    uint64_t key;
    if (!key_of(address, &key)) return NULL;
    HttpClient **bucket = bucket_of(s, key), *c = *bucket;
    while (c && c->key != key) c = c->next;
    if (!c) {
        c = malloc(sizeof *c);
        if (!c) return NULL;
        *c = (HttpClient){.next = *bucket, .key = key};
        *bucket = c;
    }
    c->n++;
    return c;
}

void http_client_leave(HttpClients *s, HttpClient *client) {
    if (!client || --client->n > 0) return;
    HttpClient **at = bucket_of(s, client->key);
    while (*at != client) at = &(*at)->next;
    *at = client->next;
    free(client);
}
