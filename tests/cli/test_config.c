// The configuration file: what it sets, its place in the order of precedence, what it refuses.
#include "harness.h"

#include "cli/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Writes `text` to a temporary file, loads it with the extra flag (or NULL), removes the file.
static bool load_text(Options *o, const char *text, const char *flag, Err *err) {
    char path[] = "/tmp/cllm-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    char *argv[] = {(char *)"serve", (char *)"--config", path, (char *)flag, NULL};
    bool ok = options_load(o, COMMAND_SERVE, flag ? 4 : 3, argv, err);
    remove(path);
    return ok;
}

static void test_sets_values(void **state) {
    (void)state;
    Options o;
    Err err;
    const char *text =
        "# a comment\nserver:\n  host: \"0.0.0.0\"\n  port: 9000\nmodel: {path: m.gguf, id: '007'}\n"
        "logging:\n  level: debug\n";
    assert_true(load_text(&o, text, NULL, &err));
    assert_string_equal(o.host, "0.0.0.0");
    assert_int_equal(o.port, 9000);
    assert_string_equal(o.model, "m.gguf");
    assert_string_equal(o.model_id, "007");
    assert_string_equal(o.log_level, "debug");
    assert_int_equal(o.source[OPTION_port], SOURCE_FILE);
    options_free(&o);
}

static void test_nothing_in_it(void **state) {
    (void)state;
    Options o;
    Err err;
    assert_true(load_text(&o, "", NULL, &err));
    options_free(&o);
    assert_true(load_text(&o, "# only a comment\n", NULL, &err));
    options_free(&o);
}

static void test_precedence(void **state) {
    (void)state;
    Options o;
    Err err;
    const char *text = "server:\n  port: 9000\n";
    assert_true(load_text(&o, text, "--port=9002", &err));
    assert_int_equal(o.port, 9002);
    options_free(&o);
    setenv("CLLM_PORT", "9001", 1);
    assert_true(load_text(&o, text, NULL, &err));
    assert_int_equal(o.port, 9001);
    options_free(&o);
    unsetenv("CLLM_PORT");
    // A wrong value is an error even where a flag wins.
    assert_false(load_text(&o, "server:\n  port: 70000\n", "--port=9002", &err));
    options_free(&o);
}

static void test_lists(void **state) {
    (void)state;
    Options o;
    Err err;
    const char *text = "model:\n  path:\n    - a.gguf\n    - \"b=b.gguf\"\n";
    assert_true(load_text(&o, text, NULL, &err));
    assert_string_equal(o.model, "a.gguf");
    assert_int_equal(o.more_model.n, 1);
    assert_string_equal(o.more_model.at[0], "b=b.gguf");
    options_free(&o);
    assert_true(load_text(&o, "model: {path: [a.gguf, b.gguf]}\n", "--model=c.gguf", &err));
    assert_string_equal(o.model, "c.gguf");
    assert_int_equal(o.more_model.n, 0);
    options_free(&o);
    setenv("CLLM_MODEL", "e.gguf", 1);
    assert_true(load_text(&o, text, NULL, &err));
    assert_string_equal(o.model, "e.gguf");
    options_free(&o);
    unsetenv("CLLM_MODEL");
}

typedef struct Refusal {
    const char *text;
    const char *message; // what follows "FILE"
} Refusal;

static const Refusal refusals[] = {
    {"server:\n  prot: 1\n", ":2: unknown key server.prot; did you mean server.port?"},
    {"server:\n  memory_mb: 1\n", ":2: unknown key server.memory_mb; did you mean kv_cache.memory_mb?"},
    {"\nservr:\n  port: 1\n", ":2: unknown key servr; did you mean the section server?"},
    {"port: 1\n", ":1: unknown key port"},
    {"server:\n  port: 1\n  host: a\n  port: 2\n", ":4: server.port is given twice, first in line 2"},
    {"model:\n  path: []\n", ":2: model.path has no value"},
    {"model:\n  path: [a, [b]]\n", ":2: model.path wants a single value"},
    {"model:\n  path: [a]\n  path: [b]\n", ":3: model.path is given twice, first in line 2"},
    {"server:\n  port: [1]\n", ":2: server.port wants a single value"},
    {"server:\n  port: 70000\n", ":2: server.port: 70000 is out of range (0 to 65535)"},
    {"server:\n  port: high\n", ":2: server.port: 'high' is not a whole number (0 to 65535)"},
    {"server:\n  port: \"8080\"\n", ":2: server.port: '8080' is text; write it without quotes"},
    {"server:\n  port:\n", ":2: server.port has no value"},
    {"server:\n  port: null\n", ":2: server.port has no value"},
    {"server:\n  port: [1]\n", ":2: server.port wants a single value"},
    {"server:\n  port: {a: 1}\n", ":2: server.port wants a single value"},
    {"server: 8080\n", ":1: expected the section's keys, indented here"},
    {"- server\n", ":1: expected a section such as `server:` here"},
    {"just text\n", ":1: expected a section"},
    {"server:\n  ? [a]\n  : 1\n", ":2: expected a key here"},
    {"server:\n  host: &a b\nmodel:\n  id: *a\n", ":4: model.id wants a single value"},
    {"server:\n  host: \"a\\0b\"\n", ":2: expected a shorter value here"},
    {"server:\n\tport: 1\n", ":2: column 1: "},
    {"servants:\n  port: 1\n", "unknown key servants"},
    {"server:\n  frobnicate: 1\n", "unknown key server.frobnicate; --help"},
    {"server:\n  host: \"open\n", ": "},
    {"server: {port: 1}\n---\nserver: {port: 2}\n",
     ":2: expected the end of the file (one document only) here"},
    {"logging:\n  level: loud\n", ":2: logging.level: 'loud' is none of error|warn|info|debug"},
    {"sampler:\n  temperature: 1\n", ":2: sampler.temperature: this command does not read it; take it out"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        Options o;
        Err err = {0};
        assert_false(load_text(&o, refusals[i].text, NULL, &err));
        bool named = strncmp(err.msg, "/tmp/cllm-config-", 17) == 0;
        if (!named || !strstr(err.msg, refusals[i].message)) fail_msg("row %zu says: %s", i, err.msg);
        options_free(&o);
    }
}

SUITE(cli_config, cmocka_unit_test(test_sets_values), cmocka_unit_test(test_nothing_in_it),
      cmocka_unit_test(test_precedence), cmocka_unit_test(test_lists), cmocka_unit_test(test_refusals))
