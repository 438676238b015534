// Each format: answers, and what they say; however they are cut into pieces.
#include "harness.h"

#include "chat/tool_events.h"

#include <stdio.h>

typedef struct Case {
    ToolFormat format;
    const char *text, *events;
} Case;

static const char tool_list[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"properties\": {"
    "\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"integer\"}, \"o\": {\"type\": \"object\"},"
    "\"m\": {\"type\": [\"string\", \"null\"]}, \"b\": {\"type\": \"boolean\"}}}}},"
    " {\"type\": \"function\", \"function\": {\"name\": \"now\"}}]";

#define CALL(args) "<tool_call>\n{\"name\": \"f\", \"arguments\": " args "}\n</tool_call>"

static const Case hermes[] = {
    {TOOL_FORMAT_HERMES, "Just text.", "Just text."},
    {TOOL_FORMAT_HERMES, "", ""},
    {TOOL_FORMAT_HERMES, " \n text \n", " \n text \n"},
    {TOOL_FORMAT_HERMES, CALL("{\"s\": \"x\"}"), "[f|{\"s\": \"x\"}]"},
    {TOOL_FORMAT_GENERIC, CALL("{}"), "[f|{}]"},
    {TOOL_FORMAT_HERMES, "Wait.\n\n" CALL("{\"n\": 1}") "\n" CALL("{\"n\": 2}") "\n",
     "Wait.[f|{\"n\": 1}][f|{\"n\": 2}]"},
    {TOOL_FORMAT_HERMES, CALL("{}") "\n\nDone.\n", "[f|{}]\n\nDone.\n"},
    // white space, key order, other keys, no arguments, arguments in quotes
    {TOOL_FORMAT_HERMES,
     "<tool_call>{ \"arguments\" : {\"a\":[1,{\"b\":null}]} , \"name\" : \"f\" }</tool_call>",
     "[f|{\"a\":[1,{\"b\":null}]}]"},
    {TOOL_FORMAT_HERMES,
     "<tool_call>{\"id\": \"7\", \"x\": [1, {\"name\": 2}], \"k\": 1.5e3, \"name\": \"f\"}</tool_call>",
     "[f|{}]"},
    {TOOL_FORMAT_HERMES,
     "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"s\\\": \\\"\\u00fc\\\"}\"}</tool_call>",
     "[f|{\"s\": \"ü\"}]"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>", "[f|{}]"},
    {TOOL_FORMAT_HERMES,
     "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"n\": 1}}}</tool_call>",
     "[f|{\"n\": 1}]"},
    {TOOL_FORMAT_HERMES,
     "<tool_call>[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {\"n\": 1}}]</tool_call>",
     "[f|{}][g|{\"n\": 1}]"},
    // what models get wrong: raw line ends in strings, a missing end
    {TOOL_FORMAT_HERMES, CALL("{\"s\": \"a\nb\tc\\\"}{\\\\\"}"), "[f|{\"s\": \"a\\nb\\tc\\\"}{\\\\\"}]"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {}}", "[f|{}]"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {}", "[f|{}]"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool_c", "[f|{}]"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"cut of",
     "[f|{\"s\": \"cut of]"},
    // what is no call stays text
    {TOOL_FORMAT_HERMES, "a <tool_call> b", "a <tool_call> b"},
    {TOOL_FORMAT_HERMES, "a <tool_call", "a <tool_call"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": 5}</tool_call>", "<tool_call>{\"name\": 5}</tool_call>"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"arguments\": {}}</tool_call>",
     "<tool_call>{\"arguments\": {}}</tool_call>"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": \"f\", nonsense</tool_call>!",
     "<tool_call>{\"name\": \"f\", nonsense</tool_call>!"},
    {TOOL_FORMAT_HERMES, "<tool_call>{\"na", "<tool_call>{\"na"},
    {TOOL_FORMAT_HERMES, "<<tool_call>>", "<<tool_call>>"},
    {TOOL_FORMAT_HERMES, "<tool_call>[]</tool_call>", "<tool_call>[]</tool_call>"},
    {TOOL_FORMAT_HERMES, "</tool_call> < / <tool", "</tool_call> < / <tool"},
    {TOOL_FORMAT_HERMES, "<tool_call><tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
     "<tool_call>[f|{}]"},
    // what goes wrong in the arguments ends the call, and nothing is lost
    {TOOL_FORMAT_HERMES, "<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": <b>}}</tool_call>",
     "[f|{\"s\": ]<b>}}</tool_call>"},
    {TOOL_FORMAT_HERMES, CALL("{\"s\": 1}, 3") " x", "[f|{\"s\": 1}], 3}\n</tool_call> x"},
};

static const Case tags[] = {
    {TOOL_FORMAT_XML,
     "On it.\n<tool_call>\n<function=f>\n<parameter=s>\nline 1\n\n\"line\" <2>\n</parameter>\n<parameter=n>\n 3 \n</parameter>\n"
     "</function>\n</tool_call>",
     "On it.[f|{\"s\": \"line 1\\n\\n\\\"line\\\" <2>\", \"n\": 3}]"},
    {TOOL_FORMAT_XML, "<function=now>\n</function>\n</tool_call>", "[now|{}]"},
    {TOOL_FORMAT_XML, "<tool_call><function=f><parameter=s></parameter></function></tool_call>",
     "[f|{\"s\": \"\"}]"},
    {TOOL_FORMAT_XML, "<tool_call><function=f><parameter=s>\n\n\n</parameter></function></tool_call>",
     "[f|{\"s\": \"\\n\"}]"},
    {TOOL_FORMAT_XML,
     "<tool_call><function=f><parameter=s>5</parameter><parameter=m>null</parameter><parameter=b>True</parameter></function></tool_call>",
     "[f|{\"s\": \"5\", \"m\": null, \"b\": true}]"},
    {TOOL_FORMAT_XML,
     "<tool_call><function=f><parameter=o>\n{\"a\": [1]}\n</parameter><parameter=n>many</parameter></function></tool_call>",
     "[f|{\"o\": {\"a\": [1]}, \"n\": \"many\"}]"},
    {TOOL_FORMAT_XML,
     "<tool_call><function=other><parameter=a>1</parameter><parameter=b>x y</parameter></function></tool_call>",
     "[other|{\"a\": 1, \"b\": \"x y\"}]"},
    {TOOL_FORMAT_XML,
     "<tool_call><function=f><parameter=s>a</param</parameter></function></tool_call><tool_call><function=now></function></tool_call>",
     "[f|{\"s\": \"a</param\"}][now|{}]"},
    {TOOL_FORMAT_XML, "<tool_call> and <function>", "<tool_call> and <function>"},
    {TOOL_FORMAT_XML, "<tool_call>\n<function=f>\n<oops>", "[f]<oops>"},
    {TOOL_FORMAT_XML, "<function={x}>", "<function={x}>"},
    {TOOL_FORMAT_ARG_TAGS,
     "Hm.\n<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>a\n b</arg_value>\n<arg_key>n</arg_key>\n<arg_value>4</arg_value>\n</tool_call>\n",
     "Hm.[f|{\"s\": \"a\\n b\", \"n\": 4}]"},
    {TOOL_FORMAT_ARG_TAGS, "<tool_call>now</tool_call><tool_call>\nnow\n</tool_call>", "[now|{}][now|{}]"},
    {TOOL_FORMAT_ARG_TAGS, "<tool_call>f<arg_key>x</arg_key>?", "[f|{\"x\": ]?"},
    {TOOL_FORMAT_ARG_TAGS, "<tool_call>{\"name\": 1}", "<tool_call>{\"name\": 1}"},
};

static const Case bare[] = {
    {TOOL_FORMAT_LLAMA3, "{\"name\": \"f\", \"parameters\": {\"n\": 1}}", "[f|{\"n\": 1}]"},
    {TOOL_FORMAT_LLAMA3, "\n{\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"n\": 1}}\n",
     "[f|{\"n\": 1}]"},
    {TOOL_FORMAT_LLAMA3, "<|python_tag|>{\"name\": \"unknown\", \"parameters\": {}}", "[unknown|{}]"},
    {TOOL_FORMAT_LLAMA3, "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"now\", \"parameters\": {}}",
     "[f|{}][now|{}]"},
    {TOOL_FORMAT_LLAMA3, "{\"name\": \"unknown\", \"parameters\": {}}",
     "{\"name\": \"unknown\", \"parameters\": {}}"},
    {TOOL_FORMAT_LLAMA3, "{\"name\": \"f\", \"age\": 3}", "{\"name\": \"f\", \"age\": 3}"},
    {TOOL_FORMAT_LLAMA3, "{\"city\": \"Ulm\"}", "{\"city\": \"Ulm\"}"},
    {TOOL_FORMAT_LLAMA3, "See {\"name\": \"f\", \"parameters\": {}}",
     "See {\"name\": \"f\", \"parameters\": {}}"},
    {TOOL_FORMAT_LLAMA3, "<|python_tag|>print(1)", "<|python_tag|>print(1)"},
    {TOOL_FORMAT_LLAMA3, "{", "{"},
    {TOOL_FORMAT_PYTHONIC, "[f(n=1, s='it\\'s \"x\"\\x41\\n'), now()]",
     "[f|{\"n\": 1, \"s\": \"it's \\\"x\\\"\\u0041\\n\"}][now|{}]"},
    {TOOL_FORMAT_PYTHONIC, "[f(o={'a': [1, -2.5e3, None], \"b\": (True, False)}, m=word)]",
     "[f|{\"o\": {\"a\": [1, -2.5e3, null], \"b\": [true, false]}, \"m\": \"word\"}]"},
    {TOOL_FORMAT_PYTHONIC, "<|tool_call_start|>[a.b(x=1)]<|tool_call_end|>Checking.",
     "[a.b|{\"x\": 1}]Checking."},
    {TOOL_FORMAT_PYTHONIC, "[link](http://x)", "[link](http://x)"},
    {TOOL_FORMAT_PYTHONIC, "[unknown(x=1)]", "[unknown(x=1)]"},
    {TOOL_FORMAT_PYTHONIC, "[f(1)]", "[f(1)]"},
    {TOOL_FORMAT_PYTHONIC, "[1, 2]", "[1, 2]"},
    {TOOL_FORMAT_PYTHONIC, "[f(n=1), f(2)] x", "[f|{\"n\": 1}], f(2)] x"},
    {TOOL_FORMAT_PYTHONIC, "[f(s=\"cut", "[f|{\"s\": \"cut]"},
};

static const Case marked[] = {
    {TOOL_FORMAT_MISTRAL, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"n\": 1}, \"id\": \"abcdef123\"}]",
     "[f|{\"n\": 1}]"},
    {TOOL_FORMAT_MISTRAL,
     "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"now\", \"arguments\": {}}]",
     "[f|{}][now|{}]"},
    {TOOL_FORMAT_MISTRAL, "So:[TOOL_CALLS]f[ARGS]{\"n\": 1}[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}",
     "So:[f|{\"n\": 1}][now|{}]"},
    {TOOL_FORMAT_MISTRAL, "[TOOL_CALLS]f", "[TOOL_CALLS]f"},
    {TOOL_FORMAT_MISTRAL, "[TOOL_CALLS]f{}", "[TOOL_CALLS]f{}"},
    {TOOL_FORMAT_MISTRAL, "[1] [TOOL", "[1] [TOOL"},
    {TOOL_FORMAT_MISTRAL, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}, oh", "[f|{}], oh"},
    {TOOL_FORMAT_DEEPSEEK,
     "Ok.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"s\": \"ü\"}\n```<｜tool▁call▁end｜>\n"
     "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "Ok.[f|{\"s\": \"ü\"}][now|{}]"},
    {TOOL_FORMAT_DEEPSEEK,
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"n\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "[f|{\"n\": 1}]"},
    {TOOL_FORMAT_DEEPSEEK, "<｜tool▁calls▁begin｜> nothing", "<｜tool▁calls▁begin｜> nothing"},
    {TOOL_FORMAT_DEEPSEEK, "<｜tool", "<｜tool"},
    {TOOL_FORMAT_GRANITE, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"n\": 1}}]", "[f|{\"n\": 1}]"},
    {TOOL_FORMAT_GRANITE, "<|tool_call|>[{\"name\": \"f\", \"arguments\": {}}]<|/tool_call|>", "[f|{}]"},
    {TOOL_FORMAT_GRANITE, "<tool_call>[{\"name\": \"f\", \"arguments\": {}}]", "[f|{}]"},
    {TOOL_FORMAT_COMMAND,
     "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"f\", \"parameters\": {\"n\": 1}}\n]<|END_ACTION|>",
     "[f|{\"n\": 1}]"},
    {TOOL_FORMAT_COMMAND, "Action: ```json\n[{\"tool_name\": \"f\", \"parameters\": {}}]\n```", "[f|{}]"},
    {TOOL_FORMAT_COMMAND, "<|START_RESPONSE|>Hello.<|END_RESPONSE|>", "Hello."},
    {TOOL_FORMAT_COMMAND, "Action: none", "Action: none"},
    {TOOL_FORMAT_CHANNELS, "<|channel|>final<|message|>Hello.", "Hello."},
    {TOOL_FORMAT_CHANNELS, "<|start|>assistant<|channel|>final<|message|>Hello.<|end|>", "Hello."},
    {TOOL_FORMAT_CHANNELS,
     "<|channel|>commentary<|message|>First:<|end|><|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"n\": 1}",
     "First:[f|{\"n\": 1}]"},
    {TOOL_FORMAT_CHANNELS, "to=functions.f<|channel|>commentary json<|message|>{\"n\": 1}", "[f|{\"n\": 1}]"},
};

static void run_case(const Case *c, const json_t *tools, Buf *got) {
    Str text = str_from(c->text);
    tool_log_parse(c->format, tools, text, 0, 0, got);
    if (!str_eq(buf_str(got), str_from(c->events)))
        fail_msg("%s: %s\nwanted %s\ngot    %s", tool_format_syntax(c->format)->name, c->text, c->events,
                 buf_str(got).ptr);
    for (size_t step = 1; step < 4; step++) {
        tool_log_parse(c->format, tools, text, step, 0, got);
        assert_string_equal(buf_str(got).ptr, c->events);
    }
    for (size_t cut = 1; cut < text.len; cut++) {
        tool_log_parse(c->format, tools, text, 0, cut, got);
        assert_string_equal(buf_str(got).ptr, c->events);
    }
}

static void run_cases(const Case *cases, size_t n) {
    json_t *tools = json_loads(tool_list, 0, NULL);
    Buf got = {0};
    assert_non_null(tools);
    for (size_t i = 0; i < n; i++) run_case(&cases[i], tools, &got);
    buf_free(&got);
    json_decref(tools);
}

#define RUN(list) run_cases(list, sizeof list / sizeof list[0])

static void test_hermes(void **state) {
    (void)state;
    RUN(hermes);
}

static void test_tags(void **state) {
    (void)state;
    RUN(tags);
}

static void test_bare(void **state) {
    (void)state;
    RUN(bare);
}

static void test_marked(void **state) {
    (void)state;
    RUN(marked);
}

// Whatever follows a call that was never a call, in each format: nothing is lost and the next one is found.
static void test_text_passes_through(void **state) {
    (void)state;
    static const char text[] =
        "if (a < b && c[i] > 0) { x = \"{}\"; }\n\n  | < | [ `` Act <|tool <｜t ü 世界 [TOOL ";
    Buf got = {0};
    for (int f = 0; f < TOOL_N_FORMATS; f++) {
        for (size_t step = 1; step < 9; step++) {
            tool_log_parse((ToolFormat)f, NULL, STR(text), step, 0, &got);
            assert_string_equal(buf_str(&got).ptr, text);
        }
    }
    buf_free(&got);
}

// Text goes out at once: only what may be a marker, and the white space before it, waits.
static void test_held_back(void **state) {
    (void)state;
    ToolLog log = {0};
    ToolParser *p = tool_parser_new(TOOL_FORMAT_HERMES, NULL, tool_log_event, &log);
    static const char *const steps[][2] = {{"Hello", "Hello"},
                                           {" ", "Hello"},
                                           {"a", "Hello a"},
                                           {"<", "Hello a"},
                                           {"b", "Hello a<b"},
                                           {"\n<tool_", "Hello a<b"},
                                           {"call>{\"name\": \"f\", \"arguments\"", "Hello a<b"},
                                           {": {", "Hello a<b[f|{"},
                                           {"\"x\"", "Hello a<b[f|{\"x\""}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_true(tool_parser_push(p, str_from(steps[i][0])));
        assert_string_equal(buf_str(&log.out).ptr, steps[i][1]);
    }
    tool_parser_free(p);
    buf_free(&log.out);
}

// No end of what may be a call: it is text after all, and memory stays bounded.
static void test_long_ago(void **state) {
    (void)state;
    Buf text = {0}, got = {0};
    buf_puts(&text, "<tool_call>{\"x\": \"");
    for (int i = 0; i < 100000; i++) buf_puts(&text, "y");
    tool_log_parse(TOOL_FORMAT_HERMES, NULL, buf_str(&text), 1000, 0, &got);
    assert_true(str_eq(buf_str(&got), buf_str(&text)));
    buf_clear(&text);
    for (int i = 0; i < 100000; i++) buf_puts(&text, "\n");
    tool_log_parse(TOOL_FORMAT_HERMES, NULL, buf_str(&text), 1, 0, &got);
    assert_true(str_eq(buf_str(&got), buf_str(&text)));
    buf_free(&text);
    buf_free(&got);
}

static void test_markers_keep_their_rules(void **state) {
    (void)state;
    for (int f = 0; f < TOOL_N_FORMATS; f++) {
        const ToolMarker *m = tool_format_syntax((ToolFormat)f)->markers;
        for (int i = 0; i < TOOL_MAX_MARKERS && m[i].role != TOOL_MARKER_NONE; i++) {
            if (m[i].role == TOOL_MARKER_BODY || m[i].role == TOOL_MARKER_PREFIX)
                assert_true(m[i].text.ptr[0] == '<' || !strchr(m[i].text.ptr + 1, m[i].text.ptr[0]));
            for (int k = 0; k < TOOL_MAX_MARKERS && m[k].role != TOOL_MARKER_NONE; k++)
                assert_true(k == i || !str_starts_with(m[k].text, m[i].text));
        }
    }
}

static void test_ids(void **state) {
    (void)state;
    char a[TOOL_ID_LEN + 1], b[TOOL_ID_LEN + 1];
    tool_call_make_id(a);
    tool_call_make_id(b);
    assert_int_equal(strlen(a), 29);
    assert_memory_equal(a, "call_", 5);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a + 5, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), 24);
}

static void test_detect(void **state) {
    (void)state;
    static const struct {
        ToolFormat format;
        const char *source;
    } cases[] = {
        {TOOL_FORMAT_GENERIC, "{{ messages }}"},
        {TOOL_FORMAT_HERMES, "{{ tools }} <tool_call>"},
        {TOOL_FORMAT_HERMES, "{% for t in tools %}"},
        {TOOL_FORMAT_XML, "<tool_call> <function=example> <parameter=x>"},
        {TOOL_FORMAT_ARG_TAGS, "<tool_call>{function-name} <arg_key>"},
        {TOOL_FORMAT_LLAMA3, "Environment: ipython {\"name\": n, \"parameters\": d}"},
        {TOOL_FORMAT_LLAMA3, "<|python_tag|>"},
        {TOOL_FORMAT_PYTHONIC, "[func_name1(a=1)]"},
        {TOOL_FORMAT_MISTRAL, "[TOOL_CALLS]"},
        {TOOL_FORMAT_DEEPSEEK, "<｜tool▁call▁begin｜>"},
        {TOOL_FORMAT_GRANITE, "<|tool_call|>"},
        {TOOL_FORMAT_COMMAND, "<|START_ACTION|>"},
        {TOOL_FORMAT_CHANNELS, "<|channel|>commentary"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(tool_format_detect(str_from(cases[i].source)), cases[i].format);
    for (int f = 0; f < TOOL_N_FORMATS; f++) {
        ToolFormat found;
        assert_true(tool_format_by_name(str_from(tool_format_syntax((ToolFormat)f)->name), &found));
        assert_int_equal(found, f);
    }
    assert_false(tool_format_by_name(STR("auto"), &(ToolFormat){0}));
}

SUITE(tool_call, cmocka_unit_test(test_hermes), cmocka_unit_test(test_tags), cmocka_unit_test(test_bare),
      cmocka_unit_test(test_marked), cmocka_unit_test(test_text_passes_through),
      cmocka_unit_test(test_held_back), cmocka_unit_test(test_long_ago),
      cmocka_unit_test(test_markers_keep_their_rules), cmocka_unit_test(test_ids),
      cmocka_unit_test(test_detect))
