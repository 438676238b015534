#include "harness.h"

#include "server/http_clients.h"

#include <arpa/inet.h>
#include <stdlib.h>

static HttpClient *join(HttpClients *s, const char *address) {
    struct sockaddr_in six_less = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &six_less.sin_addr) == 1)
        return http_client_join(s, (const struct sockaddr *)&six_less);
    assert_int_equal(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
    return http_client_join(s, (const struct sockaddr *)&six);
}

static void test_who_is_who(void **state) {
    (void)state;
    HttpClients *s = calloc(1, sizeof *s);
    assert_non_null(s);
    HttpClient *one = join(s, "192.0.2.1"), *six = join(s, "2001:db8:1:2::1");
    assert_ptr_equal(join(s, "192.0.2.1"), one);
    assert_ptr_equal(join(s, "::ffff:192.0.2.1"), one);
    assert_ptr_equal(join(s, "2001:db8:1:2:ffff::9"), six);
    assert_int_equal(one->n, 3);
    assert_int_equal(six->n, 2);
    HttpClient *others[] = {join(s, "192.0.2.2"), join(s, "2001:db8:1:3::1")};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(others[i]->n, 1);
        http_client_leave(s, others[i]);
    }
    static const char *const nobody[] = {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"};
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++) assert_null(join(s, nobody[i]));
    assert_null(http_client_join(s, &(struct sockaddr){.sa_family = AF_UNIX}));
    for (int i = 0; i < 3; i++) http_client_leave(s, one);
    for (int i = 0; i < 2; i++) http_client_leave(s, six);
    http_client_leave(s, NULL);
    for (int i = 0; i < HTTP_CLIENT_BUCKETS; i++) assert_null(s->buckets[i]);
    free(s);
}

// More of them than buckets, so that some share one, leaving in another order than they came.
static void test_many(void **state) {
    (void)state;
    enum { N = 3 * HTTP_CLIENT_BUCKETS };
    HttpClients *s = calloc(1, sizeof *s);
    HttpClient **clients = calloc(N, sizeof(HttpClient *));
    assert_true(s && clients);
    for (uint32_t i = 0; i < 2 * N; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0A000000u + i % N)};
        HttpClient *c = http_client_join(s, (const struct sockaddr *)&a);
        assert_int_equal(c->n, 1 + i / N);
        clients[i % N] = c;
    }
    for (uint32_t i = 0; i < 2 * N; i++) http_client_leave(s, clients[i * 5 % N]);
    for (int i = 0; i < HTTP_CLIENT_BUCKETS; i++) assert_null(s->buckets[i]);
    free(clients);
    free(s);
}

SUITE(http_clients, cmocka_unit_test(test_who_is_who), cmocka_unit_test(test_many))
