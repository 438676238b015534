// What a model says in a chat, through the whole server: text, thinking and tool calls, whole and streamed.
#include "harness.h"

#include "rig.h"

#include "base/log.h"

#include <jansson.h>
#include <stdlib.h>

#define TEMPLATE(words)                                                                                      \
    "{# " words " #}{% for m in messages %}{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}"    \
    "[{{ c.id }} {{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}"                     \
    "{% if m.role == 'tool' %}({{ m.tool_call_id }} {{ m.name }}){% endif %};{% endfor %}"                   \
    "{% for t in tools or [] %}{{ t.function.name }},{% endfor %}<|im_start|>"
#define USER "{\"role\":\"user\",\"content\":\"hello\"}"
#define TOOLS                                                                                                \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}]"
#define BEGINNING "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"h\\u00e9\"}"
#define CALL BEGINNING "}\n</tool_call>"
#define ARGUMENTS "{\\\"x\\\": \\\"h\\\\u00e9\\\"}"

static int quiet(void **state) {
    (void)state;
    log_set_level(LOG_WARN);
    return 0;
}

static void open_chat(Rig *r, const char *source, const char *control_token) {
    rig_defaults(r);
    r->template_source = source;
    r->control_token = control_token;
    rig_listen(r);
    rig_attach(r);
}

// Asks with further fields; the answer must have all the words, in this order.
static void ask(const Rig *r, const char *messages, const char *fields, int status,
                const char *const *words) {
    Buf body = {0}, answer = {0};
    buf_printf(&body, "{\"messages\":[%s],\"temperature\":0%s%s}", messages, fields[0] ? "," : "", fields);
    int got = rig_ask(r, "POST", "/v1/chat/completions", body.ptr, &answer);
    const char *at = answer.ptr;
    if (got != status) fail_msg("%s: %s", body.ptr, answer.ptr);
    for (; *words; words++) {
        const char *found = strstr(at, *words);
        if (!found) fail_msg("%s: no %s behind %s", body.ptr, *words, at);
        at = found + strlen(*words);
    }
    buf_free(&body);
    buf_free(&answer);
}

#define ASK(r, messages, fields, status, ...)                                                                \
    ask(r, messages, fields, status, (const char *const[]){__VA_ARGS__, NULL})

static void test_call(void **state) {
    (void)state;
    Rig r;
    open_chat(&r, TEMPLATE("<tool_call>"), NULL);
    rig_say(&r, "hello.\n" CALL "\n" CALL);
    ASK(&r, USER, TOOLS, 200, "\"content\":\"hello.\"", "\"tool_calls\":[{\"id\":\"call_",
        "\"type\":\"function\"", "{\"name\":\"f\",\"arguments\":\"" ARGUMENTS "\"}", "{\"id\":\"call_",
        ARGUMENTS, "\"finish_reason\":\"tool_calls\"");
    ASK(&r, USER, TOOLS ",\"stream\":true", 200, "{\"role\":\"assistant\",\"content\":\"\"}",
        "{\"content\":\"h", "{\"tool_calls\":[{\"index\":0,\"id\":\"call_",
        "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}",
        "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{",
        "{\"tool_calls\":[{\"index\":1,\"id\":\"call_",
        "{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"}\"}}]}", "\"delta\":{}",
        "\"finish_reason\":\"tool_calls\"", "[DONE]");
    // nobody asked for tools, or for none of them: it is text
    ASK(&r, USER, "", 200, "\"content\":\"hello.\\n<tool_call>", "\"finish_reason\":\"stop\"");
    ASK(&r, USER, TOOLS ",\"tool_choice\":\"none\"", 200, "\"content\":\"hello.\\n<tool_call>");
    ASK(&r, USER, TOOLS ",\"max_tokens\":60", 200, "\"arguments\":\"{", "\"finish_reason\":\"length\"");
    rig_say(&r, CALL);
    ASK(&r, USER, TOOLS, 200, "\"content\":null", "\"tool_calls\":[");
    ASK(&r, USER, TOOLS ",\"n\":2", 200, "\"index\":0", "\"tool_calls\":[", "\"index\":1",
        "\"tool_calls\":[");
    rig_close(&r);
}

// `"key":n`, n being the tokens of a text.
static void tokens_of(const Rig *r, const char *key, const char *text, char out[64]) {
    json_t *content = json_pack("{s:s}", "content", text);
    char *body = json_dumps(content, 0);
    Buf answer = {0};
    assert_int_equal(rig_ask(r, "POST", "/tokenize", body, &answer), 200);
    snprintf(out, 64, "\"%s\":%d", key, atoi(strstr(answer.ptr, "\"count\":") + 8));
    buf_free(&answer);
    free(body);
    json_decref(content);
}

// One call is wanted: it is the answer's end, whatever the model would have gone on with.
static void test_one_call(void **state) {
    (void)state;
    Rig r;
    char tokens[64];
    open_chat(&r, TEMPLATE("<tool_call>"), NULL);
    rig_say(&r, CALL "\n" CALL " more");
    tokens_of(&r, "completion_tokens", BEGINNING, tokens);
    ASK(&r, USER, TOOLS ",\"parallel_tool_calls\":false", 200, ARGUMENTS "\"}}]",
        "\"finish_reason\":\"tool_calls\"", tokens);
    ASK(&r, USER, TOOLS ",\"parallel_tool_calls\":false,\"n\":2", 200, ARGUMENTS "\"}}]", ARGUMENTS "\"}}]");
    ASK(&r, USER,
        TOOLS ",\"parallel_tool_calls\":false,\"stream\":true,\"stream_options\":{\"include_usage\":true}",
        200, "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]}", "\"delta\":{}",
        "\"finish_reason\":\"tool_calls\"", tokens, "[DONE]");
    rig_say(&r, "hello");
    ASK(&r, USER, TOOLS ",\"parallel_tool_calls\":false", 200, "\"content\":\"hello\"",
        "\"finish_reason\":\"stop\"");
    rig_close(&r);
}

static void expect_at(const Rig *r, const char *path, const char *body, const char *words) {
    Buf answer = {0};
    int status = rig_ask(r, "POST", path, body, &answer);
    if (status != 200 || !strstr(answer.ptr, words)) fail_msg("%s: no %s in %s", path, words, answer.ptr);
    buf_free(&answer);
}

static void test_thinking(void **state) {
    (void)state;
    Rig r;
    open_chat(&r, TEMPLATE("</think>"), NULL);
    rig_say(&r, "<think>\nhe he\n</think>\n\nhello");
    char all[64], thinking[64];
    tokens_of(&r, "completion_tokens", "<think>\nhe he\n</think>\n\nhello", all);
    tokens_of(&r, "reasoning_tokens", "<think>\nhe he\n</think>", thinking);
    ASK(&r, USER, "", 200, "\"content\":\"hello\"", "\"reasoning_content\":\"he he\"",
        "\"finish_reason\":\"stop\"", all, thinking);
    ASK(&r, USER, "\"stream\":true,\"stream_options\":{\"include_usage\":true}", 200, "\"content\":\"\"",
        "\"delta\":{\"reasoning_content\":\"he\"}", "\"delta\":{\"content\":\"hello\"}",
        "\"finish_reason\":\"stop\"", thinking);
    ASK(&r, USER, "\"max_tokens\":10", 200, "\"finish_reason\":\"length\"", "\"reasoning_tokens\":10");
    ASK(&r, USER, "\"reasoning_format\":\"none\"", 200,
        "\"content\":\"<think>\\nhe he\\n</think>\\n\\nhello\"", "\"reasoning_tokens\":0");
    ASK(&r, USER, "\"reasoning_format\":\"some\"", 400, "auto or none");
    expect_at(&r, "/v1/responses", "{\"input\":\"hello\"}", thinking);
    tokens_of(&r, "thinking_tokens", "<think>\nhe he\n</think>", thinking);
    expect_at(&r, "/v1/messages", "{\"messages\":[" USER "],\"max_tokens\":50}", thinking);
    rig_close(&r);
    rig_defaults(&r);
    r.template_source =
        TEMPLATE("</think>") "<think>\n<|im_start|>"; // not the last, so that the script still follows
    r.config.raw_reasoning = true;
    rig_listen(&r);
    rig_attach(&r);
    rig_say(&r, "<think>he</think>hello");
    ASK(&r, USER, "", 200, "\"content\":\"<think>he</think>hello\"");
    ASK(&r, USER, "\"reasoning_format\":\"auto\"", 200, "\"content\":\"hello\"",
        "\"reasoning_content\":\"he\"");
    rig_close(&r);
}

// A constrained answer is content as it stands, also where the prompt has opened the thinking or tools are
// offered; and the template is told that there is no thinking.
static void test_constrained(void **state) {
    (void)state;
    Rig r;
    open_chat(
        &r,
        TEMPLATE("</think><tool_call>") "{% if enable_thinking is false %}off{% else %}<think>\n{% endif %}",
        NULL);
    ASK(&r, USER, "\"guided_choice\":[\"<tool_call>he\"]", 200, "\"content\":\"<tool_call>he\"",
        "\"finish_reason\":\"stop\"");
    ASK(&r, USER, TOOLS ",\"guided_choice\":[\"he\"]", 200, "\"content\":\"he\"");
    ASK(&r, USER, "\"guided_choice\":[\"he\"],\"enable_thinking\":true", 200, "\"content\":\"he\"",
        "\"prompt_tokens\":10");
    ASK(&r, USER, "\"guided_choice\":[\"he\"]", 200, "\"content\":\"he\"", "\"prompt_tokens\":11");
    ASK(&r, USER, "\"guided_choice\":[\"he\"],\"stream\":true", 200, "\"delta\":{\"content\":\"h",
        "\"finish_reason\":\"stop\"");
    ASK(&r, USER, "\"response_format\":{\"type\":\"json_object\"},\"max_tokens\":2", 200, "\"content\":\"{",
        "\"finish_reason\":\"length\"");
    ASK(&r, USER, "\"grammar\":\"root ::= (\"", 400, "line 1, column", "\"param\":\"grammar\"");
    rig_close(&r);
}

// A mark that is a control token has no text in ordinary answers, and one for who reads the marks.
static void test_marks_are_control_tokens(void **state) {
    (void)state;
    Rig r;
    open_chat(&r, TEMPLATE("[TOOL_CALLS]"), "[TOOL_CALLS]");
    rig_say(&r, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}]");
    ASK(&r, USER, TOOLS, 200, "\"content\":null", "\"name\":\"f\",\"arguments\":\"{}\"");
    ASK(&r, USER, "", 200, "\"content\":\"[{\\\"name\\\"");
    rig_close(&r);
}

// What an answer is held to begins behind the thinking.
static void test_thinking_before_what_is_held(void **state) {
    (void)state;
    Rig r;
    open_chat(&r, TEMPLATE("</think> <tool_call>"), "</think>");
    rig_say(&r, "<think>he {\"he\"</think>\n" CALL);
    ASK(&r, USER, TOOLS ",\"tool_choice\":\"required\"", 200, "\"content\":null",
        "\"reasoning_content\":\"he {\\\"he\\\"\"", "\"name\":\"f\",\"arguments\":\"" ARGUMENTS,
        "\"finish_reason\":\"tool_calls\"");
    rig_say(&r, CALL);
    ASK(&r, USER, TOOLS ",\"tool_choice\":\"required\",\"stream\":true", 200, "\"name\":\"f\"",
        "\"finish_reason\":\"tool_calls\"");
    rig_say(&r, "<think>he</think>\n\"hello\"");
    ASK(&r, USER, "\"guided_json\":{\"type\":\"string\"}", 200, "\"content\":\"\\\"hello\\\"\"",
        "\"reasoning_content\":\"he\"");
    ASK(&r, USER, "\"guided_json\":{\"type\":\"string\"}," TOOLS, 200, "\"content\":\"\\\"hello\\\"\"",
        "\"reasoning_content\":\"he\"");
    rig_say(&r, "\"hello\"");
    ASK(&r, USER, "\"guided_json\":{\"type\":\"string\"}", 200, "\"content\":\"\\\"hello\\\"\"");
    ASK(&r, USER, "\"guided_json\":{\"type\":\"string\"},\"reasoning_format\":\"none\"", 200,
        "\"content\":\"\\\"hello\\\"\"");
    ASK(&r, USER, TOOLS ",\"tool_choice\":\"required\",\"guided_json\":{}", 400,
        "tool_choice: the answer is held to something else");
    rig_close(&r);
}

#define CALLED(id)                                                                                           \
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"" id "\",\"type\":\"function\","     \
    "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]}"
#define RESULT(id) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"42\"}"

// The prompt's length tells what was rendered: the vocabulary has hardly a token of more than a byte ("ll").
static int prompt_tokens(const Rig *r, const char *messages, const char *fields) {
    Buf body = {0}, answer = {0};
    buf_printf(&body, "{\"messages\":[%s],\"max_tokens\":1%s%s}", messages, fields[0] ? "," : "", fields);
    assert_int_equal(rig_ask(r, "POST", "/v1/chat/completions", body.ptr, &answer), 200);
    int n = atoi(strstr(answer.ptr, "\"prompt_tokens\":") + 16);
    buf_free(&body);
    buf_free(&answer);
    return n;
}

static void test_history_is_rendered(void **state) {
    (void)state;
    Rig r;
    open_chat(&r, TEMPLATE("<tool_call>"), NULL);
    int plain = prompt_tokens(&r, USER, "");
    // assistant:[id_1 f {"x": 1}]; and tool:42(id_1 f);
    assert_int_equal(prompt_tokens(&r, USER "," CALLED("id_1") "," RESULT("id_1"), "") - plain, 28 + 16);
    assert_int_equal(prompt_tokens(&r, USER, TOOLS) - plain, 2); // f,
    assert_int_equal(prompt_tokens(&r, USER, TOOLS ",\"tool_choice\":\"none\"") - plain, 0);
    rig_close(&r);
    open_chat(&r, TEMPLATE("[TOOL_CALLS]"), NULL); // ids of nine letters
    assert_int_equal(prompt_tokens(&r, USER "," CALLED("id_1") "," RESULT("id_1"), "") - plain, 28 + 16 + 10);
    rig_close(&r);
}

static void test_template_without_tools(void **state) {
    (void)state;
    Rig r;
    open_chat(&r, "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}<|im_start|>", NULL);
    rig_say(&r, CALL);
    int plain = prompt_tokens(&r, USER, "");
    assert_true(prompt_tokens(&r, USER, TOOLS) > plain + 200);
    ASK(&r, USER "," CALLED("a") "," RESULT("a"), TOOLS, 200, "\"content\":null",
        "\"name\":\"f\",\"arguments\":\"" ARGUMENTS);
    // assistant:<tool_call>\n{"name": "f", "arguments": {"x":1}}\n</tool_call>;
    // user:<tool_response>\n42\n</tool_response>;
    assert_int_equal(prompt_tokens(&r, USER "," CALLED("a") "," RESULT("a"), "") - plain, 71 - 2 + 41);
    rig_close(&r);
}

static void test_refused(void **state) {
    (void)state;
    Rig r;
    open_chat(&r, TEMPLATE("<tool_call>"), NULL);
    static const struct {
        const char *messages, *fields, *words;
    } cases[] = {
        {USER, "\"tools\":5", "tools must be an array"},
        {USER, "\"tools\":[5]", "tools[0] must have type"},
        {USER, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]",
         "tools[0].function.name must be"},
        {USER, "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":[]}}]",
         "tools[0].function.parameters must be"},
        {USER,
         "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]",
         "tools[1].function.name is the name of an earlier tool"},
        {USER, "\"tool_choice\":\"required\"", "cannot be required without tools"},
        {USER, TOOLS ",\"tool_choice\":\"always\"", "tool_choice must be none, auto"},
        {USER, TOOLS ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"g\"}}",
         "not among the tools"},
        {USER, TOOLS ",\"parallel_tool_calls\":1", "parallel_tool_calls must be true or false"},
        {USER "," RESULT("a"), TOOLS, "messages[1].tool_call_id is not the id of a call"},
        {USER ",{\"role\":\"tool\",\"content\":\"42\"}", TOOLS, "messages[1].tool_call_id must be"},
        {"{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":5}", "",
         "messages[0].tool_calls must be an array"},
        {"{\"role\":\"assistant\",\"tool_calls\":[5]}", "", "messages[0].tool_calls[0] must be an object"},
        {"{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}", "",
         "messages[0].tool_calls[0].id must be"},
        {"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\"}]}", "",
         "messages[0].tool_calls[0].function must be"},
        {"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"\"}}]}", "",
         "messages[0].tool_calls[0].function.name must be"},
        {"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{oops\"}}]}",
         "", "messages[0].tool_calls[0].function.arguments must be the text of a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ASK(&r, cases[i].messages, cases[i].fields, 400, cases[i].words);
    rig_close(&r);
}

// The three names that templates have for it, from the fields of all dialects.
static void test_thinking_or_not(void **state) {
    (void)state;
    static const struct {
        const char *fields, *words;
    } cases[] = {
        {"", "[||]"},
        {",\"reasoning_effort\":\"low\"", "[True|True|low]"},
        {",\"reasoning_effort\":\"none\"", "[False|False|]"},
        {",\"reasoning_effort\":null,\"enable_thinking\":false", "[False|False|]"},
        {",\"reasoning_effort\":\"high\",\"enable_thinking\":false", "[False|False|high]"},
        {",\"enable_thinking\":true,\"chat_template_kwargs\":{\"thinking\":false,\"reasoning_effort\":\"x\"}",
         "[True|False|x]"},
        {",\"chat_template_kwargs\":{\"enable_thinking\":false}", "[False||]"},
    };
    Rig r;
    open_chat(&r, "{{ messages[0].content }}[{{ enable_thinking }}|{{ thinking }}|{{ reasoning_effort }}]",
              NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf body = {0}, answer = {0};
        buf_printf(&body, "{\"messages\":[" USER "]%s}", cases[i].fields);
        assert_int_equal(rig_ask(&r, "POST", "/apply-template", body.ptr, &answer), 200);
        if (!strstr(answer.ptr, cases[i].words)) fail_msg("%s: %s", body.ptr, answer.ptr);
        buf_free(&body);
        buf_free(&answer);
    }
    rig_close(&r);
}

SUITE(server_chat, cmocka_unit_test_setup(test_call, quiet), cmocka_unit_test_setup(test_one_call, quiet),
      cmocka_unit_test_setup(test_thinking, quiet), cmocka_unit_test_setup(test_constrained, quiet),
      cmocka_unit_test_setup(test_marks_are_control_tokens, quiet),
      cmocka_unit_test_setup(test_history_is_rendered, quiet),
      cmocka_unit_test_setup(test_thinking_before_what_is_held, quiet),
      cmocka_unit_test_setup(test_thinking_or_not, quiet),
      cmocka_unit_test_setup(test_template_without_tools, quiet), cmocka_unit_test_setup(test_refused, quiet))
