#include "harness.h"

#include "server/api_error.h"
#include "server/router.h"

#include <stdlib.h>

static const Route routes[] = {
    {HTTP_GET, "/", NULL, false, "root"},
    {HTTP_GET, "/thing", NULL, false, "read"},
    {HTTP_POST, "/thing", NULL, true, "write"},
    {HTTP_GET, "/v1/models/{id}", NULL, true, "one"},
};

static void expect(HttpMethod method, const char *path, RouteResult result, int index, const char *tail,
                   const char *allow) {
    const Route *found;
    Str rest;
    Buf methods = {0};
    assert_int_equal(router_find(routes, 4, method, str_from(path), &found, &rest, &methods), result);
    if (index >= 0)
        assert_ptr_equal(found, &routes[index]);
    else
        assert_null(found);
    assert_true(str_eq(rest, str_from(tail)));
    assert_true(str_eq(buf_str(&methods), str_from(allow)));
    buf_free(&methods);
}

static void test_finds(void **state) {
    (void)state;
    const char *both = "GET, HEAD, POST, OPTIONS";
    expect(HTTP_GET, "/", ROUTE_FOUND, 0, "", "GET, HEAD, OPTIONS");
    expect(HTTP_HEAD, "/thing", ROUTE_FOUND, 1, "", both);
    expect(HTTP_POST, "/thing", ROUTE_FOUND, 2, "", both);
    expect(HTTP_PUT, "/thing", ROUTE_WRONG_METHOD, -1, "", both);
    expect(HTTP_OTHER, "/thing", ROUTE_WRONG_METHOD, -1, "", both);
    expect(HTTP_OPTIONS, "/thing", ROUTE_OPTIONS, -1, "", both);
    expect(HTTP_OPTIONS, "/nothing", ROUTE_UNKNOWN_PATH, -1, "", "");
    expect(HTTP_GET, "/thing/", ROUTE_UNKNOWN_PATH, -1, "", "");
    expect(HTTP_GET, "/v1/models/a/b", ROUTE_FOUND, 3, "a/b", "GET, HEAD, OPTIONS");
    expect(HTTP_GET, "/v1/models", ROUTE_UNKNOWN_PATH, -1, "", "");
}

static void test_table_is_sound(void **state) {
    (void)state;
    for (size_t i = 0; i < routes_count; i++) {
        const Route *r = &routes_table[i];
        assert_true(r->path[0] == '/' && r->handler && r->description[0]);
        for (size_t j = 0; j < i; j++)
            assert_false(r->method == routes_table[j].method && strcmp(r->path, routes_table[j].path) == 0);
    }
}

static void expect_error(const ApiError *e, Dialect dialect, const char *text) {
    json_t *value = api_error_json(e, dialect);
    char *dump = json_dumps(value, JSON_COMPACT);
    assert_string_equal(dump, text);
    free(dump);
    json_decref(value);
}

static void test_errors(void **state) {
    (void)state;
    ApiError e;
    assert_false(api_error_set(&e, 400, NULL, "stop", "%s is wrong", "stop"));
    expect_error(&e, DIALECT_NATIVE, "{\"success\":false,\"error\":\"stop is wrong\"}");
    expect_error(
        &e, DIALECT_OPENAI,
        "{\"error\":{\"message\":\"stop is wrong\",\"type\":\"invalid_request_error\",\"param\":\"stop\","
        "\"code\":null}}");
    api_error_set(&e, 429, "queue_full", NULL, "cut here: \xE4\xBD"); // half a code point
    expect_error(&e, DIALECT_OPENAI,
                 "{\"error\":{\"message\":\"cut here: \",\"type\":\"rate_limit_error\",\"param\":null,"
                 "\"code\":\"queue_full\"}}");
}

static void test_every_code_has_a_status(void **state) {
    (void)state;
    for (int code = ERR_NONE; code <= ERR_NOMEM; code++)
        assert_in_range(api_status_of((ErrCode)code), 400, 503);
    assert_int_equal(api_status_of(ERR_INVALID), 400);
    assert_int_equal(api_status_of(ERR_NOMEM), 503);
}

SUITE(server_router, cmocka_unit_test(test_finds), cmocka_unit_test(test_table_is_sound),
      cmocka_unit_test(test_errors), cmocka_unit_test(test_every_code_has_a_status))
