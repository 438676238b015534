#include "harness.h"

#include "server/http_head.h"

#include <stdio.h>

enum { LIMIT = 1000 };

static HttpHead read_good(const char *text) {
    HttpHead h;
    if (http_head_read(str_from(text), LIMIT, &h) != HEAD_GOOD) fail_msg("%s: %s", text, h.message);
    return h;
}

static void expect_bad_bytes(Str bytes, int status) {
    HttpHead h;
    if (http_head_read(bytes, LIMIT, &h) != HEAD_BAD)
        fail_msg("%.*s is not refused", (int)bytes.len, bytes.ptr);
    if (h.status != status) fail_msg("%.*s: %d %s", (int)bytes.len, bytes.ptr, h.status, h.message);
    assert_non_null(h.message);
}

static void expect_bad(const char *text, int status) {
    expect_bad_bytes(str_from(text), status);
}

static void test_good(void **state) {
    (void)state;
    HttpHead h =
        read_good("POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Length:\t17 \r\nauthorization: Bearer k\r\n"
                  "Connection: Close\r\nX-Odd: \xC3\xA4\r\n\r\n{");
    assert_true(str_eq(h.method, STR("POST")) && str_eq(h.path, STR("/v1/x")));
    assert_true(h.has_length && h.length == 17 && !h.chunked && !h.http_1_0 && h.closes);
    assert_true(str_eq(h.authorization, STR("Bearer k")) && h.x_api_key.len == 0 && h.n_fields == 5);
    h = read_good("PUT http://a:1/b/c?d HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n");
    assert_true(h.chunked && str_eq(h.path, STR("/b/c")));
    assert_int_equal(h.size, strlen("PUT http://a:1/b/c?d HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"));
    assert_true(read_good("GET / HTTP/1.0\r\n\r\n").http_1_0);
    assert_true(str_eq(read_good("GET http://a?b HTTP/1.1\r\n\r\n").path, STR("/")));
    read_good("OPTIONS * HTTP/1.1\r\n\r\n");
    read_good("DELETE //x HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    read_good("POST / HTTP/1.1\r\n\r\n");
}

static void test_bad(void **state) {
    (void)state;
    static const char *const lines[] = {"\r\n",
                                        "GET /\r\n",
                                        "GET  HTTP/1.1\r\n",
                                        "GET /  HTTP/1.1\r\n",
                                        " GET / HTTP/1.1\r\n",
                                        "GET / HTTP/1.1 x\r\n",
                                        "GET / http/1.1\r\n",
                                        "GET x HTTP/1.1\r\n",
                                        "GET * HTTP/1.1\r\n",
                                        "GET http:///x HTTP/1.1\r\n",
                                        "GET ftp://x/ HTTP/1.1\r\n",
                                        "GET /a#b HTTP/1.1\r\n",
                                        "GET /\xC3\xA4 HTTP/1.1\r\n",
                                        "G(T / HTTP/1.1\r\n",
                                        "GET / HTTP/1.1\n",
                                        "\x16\x03\x01"};
    static const char *const fields[] = {"Content-Length: 1\r\nContent-Length: 1\r\n",
                                         "Content-Length: +1\r\n",
                                         "Content-Length: 1, 1\r\n",
                                         "Content-Length:\r\n",
                                         "Content-Length: 0x1\r\n",
                                         "Content-Length: 1000000000000000000\r\n",
                                         "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                                         "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                                         "Host: a\r\nHost: b\r\n",
                                         "X : y\r\n",
                                         " x: y\r\n",
                                         "X: y\r\n z\r\n",
                                         ": y\r\n",
                                         "no colon\r\n",
                                         "X: a\rb\r\n",
                                         "X: a\n",
                                         "Authorization: a\r\nAuthorization: b\r\n",
                                         "X: \x01\r\n",
                                         "X: \x7F\r\n"};
    char text[300];
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) expect_bad(lines[i], 400);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        snprintf(text, sizeof text, "POST / HTTP/1.1\r\n%s\r\n", fields[i]);
        expect_bad(text, 400);
    }
    expect_bad_bytes(STR("GET /\0 HTTP/1.1\r\n"), 400);
    expect_bad_bytes(STR("GET /\0HTTP/1.1\r\n"), 400);
    expect_bad_bytes(STR("GET / HTTP/1.1\r\nX: \0\r\n"), 400);
    expect_bad("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
               400); // evhttp would take the body for a request
    expect_bad("DELETE / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    expect_bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

static void test_other_statuses(void **state) {
    (void)state;
    expect_bad("GET / HTTP/2.0\r\n", 505);
    expect_bad("GET / HTTP/0.9\r\n", 505);
    expect_bad("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", 501);
    expect_bad("POST / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", 411);
    expect_bad("POST / HTTP/1.1\r\nExpect: more\r\n\r\n", 417);
}

static void test_limits(void **state) {
    (void)state;
    char text[2000];
    HttpHead h;
    memset(text, 'a', sizeof text);
    assert_int_equal(http_head_read((Str){text, LIMIT}, LIMIT, &h), HEAD_MORE);
    expect_bad_bytes((Str){text, LIMIT + 1}, 431);
    size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\n");
    for (int i = 0; i <= HEAD_MAX_FIELDS; i++) n += (size_t)snprintf(text + n, sizeof text - n, "a:b\r\n");
    assert_true(n < LIMIT);
    expect_bad_bytes((Str){text, n}, 431);
    n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nX: %*s\r\n\r\n", LIMIT, "y");
    expect_bad_bytes((Str){text, n}, 431);
}

// Every beginning of a good head is the beginning of a good head.
static void test_pieces(void **state) {
    (void)state;
    Str whole = STR("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n");
    HttpHead h;
    for (size_t n = 0; n < whole.len; n++)
        assert_int_equal(http_head_read(str_sub(whole, 0, n), LIMIT, &h), HEAD_MORE);
    assert_int_equal(http_head_read(whole, LIMIT, &h), HEAD_GOOD);
}

SUITE(http_head, cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
      cmocka_unit_test(test_other_statuses), cmocka_unit_test(test_limits), cmocka_unit_test(test_pieces))
