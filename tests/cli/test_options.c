// Options from flags and the environment: forms, precedence, and a table of what must be refused.
#include "harness.h"

#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 8 };

static bool load(Options *o, OptionCommand command, Err *err, const char *const *words) {
    char *argv[MAX_ARGS + 2] = {(char *)"cmd"};
    int argc = 1;
    for (; words[argc - 1]; argc++) argv[argc] = (char *)words[argc - 1];
    return options_load(o, command, argc, argv, err);
}

#define LOAD(o, command, err, ...) load(o, command, err, (const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state) {
    (void)state;
    Options o;
    Err err;
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "a.gguf"));
    assert_string_equal(o.model, "a.gguf");
    assert_string_equal(o.host, "127.0.0.1");
    assert_int_equal(o.port, 8080);
    assert_int_equal(o.source[OPTION_port], SOURCE_DEFAULT);
    assert_int_equal(o.source[OPTION_model], SOURCE_FLAG);
    options_free(&o);
}

static void test_forms(void **state) {
    (void)state;
    Options o;
    Err err;
    assert_true(LOAD(&o, COMMAND_RUN, &err, "-mx.gguf", "--temperature=0.25", "--seed", "7", "--raw", "-v"));
    assert_string_equal(o.model, "x.gguf");
    assert_true(o.temperature == 0.25);
    assert_int_equal(o.seed, 7);
    assert_true(o.raw && o.verbose);
    options_free(&o);
    assert_true(LOAD(&o, COMMAND_RUN, &err, "--raw=false", "-p", "-dash", "--", "-odd.gguf"));
    assert_false(o.raw);
    assert_string_equal(o.prompt, "-dash");
    assert_string_equal(o.model, "-odd.gguf");
    options_free(&o);
}

static void test_words(void **state) {
    (void)state;
    Options o;
    Err err;
    assert_true(LOAD(&o, COMMAND_RM, &err, "a", "--models=/m", "b"));
    assert_int_equal(o.n_words, 2);
    assert_string_equal(o.words[1], "b");
    assert_string_equal(o.models, "/m");
    assert_string_equal(o.model, "");
    options_free(&o);
}

static void test_help_stops_reading(void **state) {
    (void)state;
    Options o;
    Err err;
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "--help", "--nonsense"));
    assert_true(o.help);
    options_free(&o);
}

static void test_flag_beats_environment(void **state) {
    (void)state;
    Options o;
    Err err;
    setenv("CLLM_PORT", "9001", 1);
    setenv("CLLM_HOST", "", 1); // empty counts as unset
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "--port", "9002"));
    assert_int_equal(o.port, 9002);
    assert_string_equal(o.host, "127.0.0.1");
    options_free(&o);
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "a.gguf"));
    assert_int_equal(o.port, 9001);
    assert_int_equal(o.source[OPTION_port], SOURCE_ENV);
    options_free(&o);
    // Wrong even where a flag wins; not looked at by a command that does not know it.
    setenv("CLLM_PORT", "ninety", 1);
    assert_false(LOAD(&o, COMMAND_SERVE, &err, "--port", "9002"));
    assert_non_null(strstr(err.msg, "CLLM_PORT: 'ninety'"));
    options_free(&o);
    assert_true(LOAD(&o, COMMAND_RUN, &err, "a.gguf"));
    options_free(&o);
    unsetenv("CLLM_PORT");
    unsetenv("CLLM_HOST");
}

// Each flag adds one; what has come from elsewhere is not added to, but replaced.
static void test_lists(void **state) {
    (void)state;
    Options o;
    Err err;
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "--model", "a.gguf", "-mb=b.gguf", "--model=c d.gguf"));
    assert_string_equal(o.model, "a.gguf");
    assert_int_equal(o.more_model.n, 2);
    assert_string_equal(o.more_model.at[0], "b=b.gguf");
    assert_string_equal(o.more_model.at[1], "c d.gguf");
    options_free(&o);
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "a.gguf", "-m", "b.gguf"));
    assert_string_equal(o.model, "a.gguf");
    assert_int_equal(o.more_model.n, 1);
    assert_string_equal(o.more_model.at[0], "b.gguf");
    options_free(&o);
    setenv("CLLM_MODEL", "e.gguf", 1);
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "--port", "0"));
    assert_string_equal(o.model, "e.gguf");
    assert_int_equal(o.source[OPTION_model], SOURCE_ENV);
    options_free(&o);
    assert_true(LOAD(&o, COMMAND_RUN, &err, "one\nfile.gguf"));
    assert_string_equal(o.model, "one\nfile.gguf");
    options_free(&o);
    assert_false(LOAD(&o, COMMAND_RUN, &err, "-m", "a.gguf", "-m", "b.gguf"));
    options_free(&o);
    assert_true(LOAD(&o, COMMAND_SERVE, &err, "-m", "a.gguf", "-m", "b.gguf"));
    assert_string_equal(o.model, "a.gguf");
    assert_int_equal(o.more_model.n, 1);
    assert_string_equal(o.more_model.at[0], "b.gguf");
    assert_int_equal(o.source[OPTION_model], SOURCE_FLAG);
    options_free(&o);
    unsetenv("CLLM_MODEL");
}

// Whether one is complained of, how, and that no other one is.
static void expect_misspelt(const char *name, const char *says) {
    Err err;
    size_t at = 0;
    setenv(name, "1", 1);
    bool found = options_find_misspelt(&at, &err);
    if (!says && found) fail_msg("%s", err.msg);
    if (says && (!found || !strstr(err.msg, says))) fail_msg("%s: '%s'", name, found ? err.msg : "");
    assert_false(options_find_misspelt(&at, &err));
    unsetenv(name);
}

static void test_misspelt_variables(void **state) {
    (void)state;
    expect_misspelt("CLLM_PROT", "CLLM_PROT means nothing; did you mean CLLM_PORT?");
    expect_misspelt("CLLM_MAXQUEUE", "CLLM_MAX_QUEUE");
    expect_misspelt("CLLM_KV_MEMORY", "CLLM_KV_MEMORY_MB");
    expect_misspelt("CLLM_CPUS", "CLLM_CPU");
    expect_misspelt("CLLM_CONFIG", "--config is for the command line only");
    static const char *const others[] = {"CLLM_PORT", "CLLM_TEMPERATURE", "CLLM_CPU",  "CLLM_BIN",       "CLLM_LONG",
                                         "CLLM_DATE", "CLLM_TEST_SEED",   "CLLM_FARM", "CLLM_TEMPLATES", "CLLM_TEST_MODEL",
                                         "CLLM_",     "PORT"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (!getenv(others[i])) expect_misspelt(others[i], NULL);
}

typedef struct Refusal {
    OptionCommand command;
    const char *words[3];
    const char *message; // a part of it
} Refusal;

static const Refusal refusals[] = {
    {COMMAND_SERVE, {"--port", "65536"}, "--port: 65536 is out of range (0 to 65535)"},
    {COMMAND_SERVE, {"--port", "-1"}, "out of range"},
    {COMMAND_SERVE, {"--port", "80x"}, "'80x' is not a whole number"},
    {COMMAND_SERVE, {"--port", ""}, "'' is not a whole number"},
    {COMMAND_SERVE, {"--port", " 80"}, "not a whole number"},
    {COMMAND_SERVE, {"--port", "99999999999999999999"}, "out of range"},
    {COMMAND_SERVE, {"--port"}, "--port wants a value: --port N"},
    {COMMAND_SERVE, {"--prot", "1"}, "unknown option --prot; did you mean --port?"},
    {COMMAND_SERVE, {"--temperature", "1"}, "unknown option --temperature"},
    {COMMAND_SERVE, {"-z"}, "unknown option -z"},
    {COMMAND_SERVE, {"a.gguf", "b.gguf"}, "unexpected argument 'b.gguf'"},
    {COMMAND_LIST, {"a"}, "unexpected argument 'a'"},
    {COMMAND_PULL, {"--port", "80"}, "unknown option --port"},
    {COMMAND_SERVE, {"--log-level", "loud"}, "'loud' is none of error|warn|info|debug"},
    {COMMAND_SERVE, {"--log-level", "err"}, "'err' is none of"},
    {COMMAND_SERVE, {"--row-budget", "8"}, "row_budget (8) must be at least max_running"},
    {COMMAND_SERVE, {"--kv-tokens=1", "--kv-memory-mb=1"}, "give one of them"},
    {COMMAND_SERVE,
     {"--config", "/nonexistent/cllm.yaml"},
     "cannot open the configuration file /nonexistent/cllm.yaml"},
    {COMMAND_RUN, {"--temperature", "nan"}, "'nan' is not a number"},
    {COMMAND_RUN, {"--temperature", "-0.1"}, "out of range (0 to 100)"},
    {COMMAND_RUN, {"--top-p", "0"}, "out of range"},
    {COMMAND_RUN, {"--raw=perhaps"}, "'perhaps' is neither true nor false"},
    {COMMAND_RUN, {"-vp"}, "give each short option by itself"},
    {COMMAND_RUN, {"--port", "80"}, "unknown option --port"},
    {COMMAND_RUN, {"-ma.gguf", "-mb.gguf"}, "only `cllm serve` takes more than one"},
    {COMMAND_BENCH, {"-ma.gguf", "-mb.gguf"}, "only `cllm serve` takes more than one"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        Options o;
        Err err = {0};
        assert_false(LOAD(&o, refusals[i].command, &err, refusals[i].words[0], refusals[i].words[1]));
        if (!strstr(err.msg, refusals[i].message)) fail_msg("row %zu says: %s", i, err.msg);
        options_free(&o);
    }
}

static void test_help_names_every_option(void **state) {
    (void)state;
    FILE *f = tmpfile();
    char text[16384];
    assert_non_null(f);
    options_print_help((OptionCommand)((1 << COMMAND_END) - 1), f);
    rewind(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    static const char *const names[] = {
#define OPT_STR(field, ...) #field,
#define OPT_LIST OPT_STR
#define OPT_CHOICE OPT_STR
#define OPT_INT OPT_STR
#define OPT_REAL OPT_STR
#define OPT_FLAG OPT_STR
#include "cli/options.def"
    };
    for (int i = 0; i < N_OPTIONS; i++) {
        char flag[64];
        snprintf(flag, sizeof flag, "--%s ", names[i]);
        for (char *p = flag; *p; p++)
            if (*p == '_') *p = '-';
        if (!strstr(text, flag)) fail_msg("the help does not name %s", flag);
    }
}

SUITE(cli_options, cmocka_unit_test(test_defaults), cmocka_unit_test(test_forms),
      cmocka_unit_test(test_words), cmocka_unit_test(test_help_stops_reading),
      cmocka_unit_test(test_flag_beats_environment), cmocka_unit_test(test_lists),
      cmocka_unit_test(test_misspelt_variables), cmocka_unit_test(test_refusals), cmocka_unit_test(test_help_names_every_option))
