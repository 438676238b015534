// Bodies that are read beside the loop: the same answers, clients that leave, a server that stops meanwhile.
#include "harness.h"

#include "rig.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum { LARGE = 5000, HUGE_BODY = 900000 };

static int quiet(void **state) {
    (void)state;
    log_set_level(LOG_WARN);
    return 0;
}

static void open_rig(Rig *r) {
    rig_defaults(r);
    rig_listen(r);
    rig_attach(r);
}

static void expect(const Rig *r, const char *path, const char *fields, int status, const char *words) {
    Buf answer = {0};
    char *body = rig_padded(fields, LARGE);
    int got = rig_ask(r, "POST", path, body, &answer);
    if (got != status || !strstr(answer.ptr, words)) fail_msg("%s: %s", path, answer.ptr);
    free(body);
    buf_free(&answer);
}

static void test_every_route(void **state) {
    (void)state;
    Rig r;
    open_rig(&r);
    expect(&r, "/encode", "\"text\":\"hello\"", 200, "[259]");
    expect(&r, "/encode", "\"text\":5", 400, "must be a string");
    expect(&r, "/generate", "\"prompt\":\"hello\",\"max_tokens\":3,\"ignore_eos\":true", 200,
           "\"generated_tokens\":3");
    expect(&r, "/generate", "\"prompt\":\"hello\",,", 400, "invalid JSON");
    expect(&r, "/generate_stream", "\"prompt\":\"hello\",\"max_tokens\":3,\"ignore_eos\":true", 200,
           "\"done\":true");
    expect(&r, "/v1/completions", "\"prompt\":[\"hello\",\"x\"],\"n\":3,\"max_tokens\":2", 200,
           "\"index\":5");
    expect(&r, "/benchmark", "\"prompt\":\"hello\",\"requests\":3,\"max_tokens\":2", 200,
           "\"successful_requests\":3");
    rig_close(&r);
}

static void test_clients_leave(void **state) {
    (void)state;
    Rig r;
    open_rig(&r);
    static const char *const paths[] = {"/generate", "/v1/completions", "/encode", "/benchmark"};
    char *body = rig_padded("\"prompt\":\"hello\",\"text\":\"hello\",\"max_tokens\":4000,\"ignore_eos\":true",
                            HUGE_BODY);
    for (int round = 0; round < 4; round++) {
        int fds[8];
        for (int i = 0; i < 8; i++) fds[i] = rig_send(&r, "POST", paths[(i + round) % 4], body);
        for (int i = 0; i < 8; i++) rig_leave(fds[i]);
    }
    Buf answer = {0};
    while (rig_ask(&r, "POST", "/encode", body, &answer) == 429)
        buf_clear(&answer); // they are still in the line
    assert_non_null(strstr(answer.ptr, "[259]"));
    buf_free(&answer);
    free(body);
    rig_close(&r);
}

// Whatever has been handed over when the server stops, nothing is left.
static void test_stop(void **state) {
    (void)state;
    char *body = rig_padded("\"prompt\":\"hello\",\"max_tokens\":4000,\"ignore_eos\":true", HUGE_BODY);
    for (int round = 0; round < 4; round++) {
        Rig r;
        int fds[6];
        open_rig(&r);
        for (int i = 0; i < 6; i++) fds[i] = rig_send(&r, "POST", "/generate", body);
        rig_close(&r);
        for (int i = 0; i < 6; i++) {
            Buf answer = {0};
            rig_read(fds[i], &answer);
            if (answer.len) assert_non_null(strstr(answer.ptr, "HTTP/1.1 ")); // some were quick
            buf_free(&answer);
        }
    }
    free(body);
}

SUITE(server_preparer, cmocka_unit_test_setup(test_every_route, quiet),
      cmocka_unit_test_setup(test_clients_leave, quiet), cmocka_unit_test_setup(test_stop, quiet))
