// What the templates of the families tell of their models.
#include "harness.h"

#include "chat/chat_style.h"
#include "chat/tool_events.h"
#include "chat/tool_grammar.h"
#include "constrain/automaton.h"
#include "constrain/shape.h"

#include <stdio.h>

static ChatTemplate *open_family(const char *name) {
    char path[128], piece[4096];
    Buf source = {0};
    Err err;
    snprintf(path, sizeof path, "tests/chat/templates/%s.jinja", name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s (the tests run in the repository's root)", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_put(&source, (Str){piece, n});
    fclose(f);
    ChatTemplate *t = chat_template_parse(buf_str(&source), &err);
    if (!t) fail_msg("%s: %s", path, err.msg);
    buf_free(&source);
    return t;
}

static void test_families(void **state) {
    (void)state;
    static const struct {
        const char *family;
        ToolFormat tools;
        const char *reasoning;
        bool text_arguments;
    } cases[] = {
        {"qwen2_5", TOOL_FORMAT_HERMES, "", false},
        {"qwen3", TOOL_FORMAT_HERMES, "think", false},
        {"qwen3_coder", TOOL_FORMAT_XML, "", false},
        {"llama3_1", TOOL_FORMAT_LLAMA3, "", false},
        {"smollm2", TOOL_FORMAT_GENERIC, "", false},
        {"smollm3", TOOL_FORMAT_HERMES, "think", false},
        {"gemma2", TOOL_FORMAT_GENERIC, "", false},
        {"gemma3", TOOL_FORMAT_GENERIC, "", false},
        {"mistral_v3", TOOL_FORMAT_MISTRAL, "", false},
        {"mistral_v7", TOOL_FORMAT_MISTRAL, "", false},
        {"phi3", TOOL_FORMAT_GENERIC, "", false},
        {"phi4", TOOL_FORMAT_GENERIC, "", false},
        {"phi4_mini", TOOL_FORMAT_GRANITE, "", false},
        {"deepseek_r1", TOOL_FORMAT_DEEPSEEK, "think", true},
        {"deepseek_v3_1", TOOL_FORMAT_DEEPSEEK, "think", false},
        {"granite3", TOOL_FORMAT_GRANITE, "think", false},
        {"command_r7b", TOOL_FORMAT_COMMAND, "command", false},
        {"hermes", TOOL_FORMAT_HERMES, "", false},
        {"yi", TOOL_FORMAT_GENERIC, "", false},
        {"olmo2", TOOL_FORMAT_GENERIC, "", false},
        {"glm4_5", TOOL_FORMAT_ARG_TAGS, "think", false},
        {"gpt_oss", TOOL_FORMAT_CHANNELS, "channels", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ChatTemplate *t = open_family(cases[i].family);
        ChatStyle s = chat_style_of(t);
        const char *reasoning = s.reasoning ? s.reasoning->name : "";
        if (s.tools != cases[i].tools || s.text_arguments != cases[i].text_arguments ||
            strcmp(reasoning, cases[i].reasoning) != 0)
            fail_msg("%s: %s '%s' %d", cases[i].family, tool_format_syntax(s.tools)->name, reasoning,
                     s.text_arguments);
        chat_template_free(t);
    }
}

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": \"a\"}],"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": \"c\", \"parameters\": {\"type\":"
    "  \"object\", \"properties\": {\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"integer\"}}}}}],"
    " \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"tools_in_user_message\": false, \"add_generation_prompt\": true}";
static const char arguments[] = "{\"s\": \"x \\\"y\\\" ü\", \"n\": 3}";

static void render(const ChatTemplate *t, const char *family, json_t *variables, Buf *out) {
    Err err;
    if (!chat_template_render(t, variables, out, &err)) fail_msg("%s: %s", family, err.msg);
}

// What an assistant's turn with the call adds to the prompt that asks for it. Where the two part in the
// middle of a mark it begins with that.
static Str turn_of(Str prompt, Str whole) {
    size_t n = 0;
    while (n < prompt.len && n < whole.len && prompt.ptr[n] == whole.ptr[n]) n++;
    if (n == prompt.len) return str_skip(whole, n);
    while (n > 0 && !strchr(">\n]", whole.ptr[n - 1])) n--;
    return str_skip(whole, n);
}

static void test_content_beside_a_call(void **state) {
    (void)state;
    static const struct {
        const char *source;
        bool needs_content;
    } cases[] = {
        {"{% for m in messages %}{{ m.content }}{% endfor %}", true}, // None
        {"{% for m in messages %}{{ 'x' + m.content }}{% endfor %}", true},
        {"{% for m in messages %}{% if '</think>' in m.content %}y{% endif %}{% endfor %}", true},
        {"{% for m in messages %}{{ m.content or '' }}{% endfor %}", false},
        {"{% for m in messages %}{% if m.content is string %}{{ m.content }}{% endif %}{% endfor %}", false},
        {"{{ raise_exception('no') }}", false}, // neither will do
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ChatTemplate *t = chat_template_parse(str_from(cases[i].source), NULL);
        assert_non_null(t);
        if (chat_style_of(t).needs_content != cases[i].needs_content) fail_msg("%s", cases[i].source);
        chat_template_free(t);
    }
}

// The length of the longest text of the grammar that s begins with; 0: none.
static size_t longest_text(Automaton *a, Str s) {
    size_t longest = 0;
    int32_t state = automaton_start(a);
    for (size_t i = 0; i < s.len && state != AUTOMATON_DEAD; i++) {
        state = automaton_next(a, state, (uint8_t)s.ptr[i]);
        if (state != AUTOMATON_DEAD && automaton_accepts(a, state)) longest = i + 1;
    }
    return longest;
}

// The grammar that holds a model to calls lets it write them as its template does.
static void check_grammar(const char *family, const ChatStyle *style, const json_t *tools, Str turn,
                          int n_calls) {
    ToolGrammar wanted = {.tools = tools};
    json_t *shape = tool_grammar_shape(style, &wanted);
    Rules *rules = shape_rules(shape, NULL);
    assert_non_null(rules);
    Grammar *g = grammar_compile(rules, NULL);
    Automaton *a = g ? automaton_new(g, NULL) : NULL;
    assert_non_null(a);
    size_t n = 0;
    for (; turn.len && (n = longest_text(a, turn)) == 0; turn = str_skip(turn, 1))
        continue; // empty thinking before
    Buf events = {0};
    tool_log_parse(style->tools, tools, str_sub(turn, 0, n), 0, 0, &events);
    int found = 0;
    for (const char *at = buf_str(&events).ptr; (at = strstr(at, "[f|")); at++) found++;
    if (found != n_calls)
        fail_msg("%s: %d calls in %.*s of %.*s", family, found, (int)n, turn.ptr, (int)turn.len, turn.ptr);
    buf_free(&events);
    automaton_free(a);
    grammar_free(g);
    rules_free(rules);
    json_decref(shape);
}

// A call as the template writes it into the past is one as the parser reads it from the model.
static void read_back(const char *family, bool list) {
    Buf prompt = {0}, whole = {0}, events = {0};
    ChatTemplate *t = open_family(family);
    ChatStyle style = chat_style_of(t);
    json_t *variables = json_loads(conversation, 0, NULL), *given = json_loads(arguments, 0, NULL), *tools;
    json_t *call =
        json_pack("{s:s, s:s, s:{s:s, s:o}}", "id", "call00001", "type", "function", "function", "name", "f",
                  "arguments", style.text_arguments ? json_string(arguments) : json_incref(given));
    assert_true(variables && given && call);
    tools = json_object_get(variables, "tools");
    render(t, family, variables, &prompt);
    json_array_append_new(
        json_object_get(variables, "messages"),
        json_pack("{s:s, s:s, s:[O]}", "role", "assistant", "content", "", "tool_calls", call));
    if (list)
        json_array_append(
            json_object_get(json_array_get(json_object_get(variables, "messages"), 2), "tool_calls"), call);
    json_object_set_new(variables, "add_generation_prompt", json_false());
    render(t, family, variables, &whole);
    tool_log_parse(style.tools, tools, turn_of(buf_str(&prompt), buf_str(&whole)), 0, 0, &events);
    check_grammar(family, &style, tools, turn_of(buf_str(&prompt), buf_str(&whole)), 1 + list);
    const char *at = buf_str(&events).ptr;
    for (int i = 0; i <= list; i++) {
        at = strstr(at, "[f|");
        json_t *read = at ? json_loads(at + 3, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
        if (!json_equal(read, given)) fail_msg("%s: %s", family, buf_str(&events).ptr);
        json_decref(read);
        at += 3;
    }
    json_decref(call);
    json_decref(given);
    json_decref(variables);
    chat_template_free(t);
    buf_free(&prompt);
    buf_free(&whole);
    buf_free(&events);
}

static void test_calls_are_read_back(void **state) {
    (void)state;
    static const char *const families[] = {"qwen2_5",     "qwen3",       "qwen3_coder",   "mistral_v3",
                                           "mistral_v7",  "deepseek_r1", "deepseek_v3_1", "granite3",
                                           "command_r7b", "hermes",      "glm4_5",        "phi4_mini"};
    static const char *const single[] = {"llama3_1", "gpt_oss"}; // one call a turn
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        read_back(families[i], false);
        read_back(families[i], true);
    }
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) read_back(single[i], false);
}

SUITE(chat_style, cmocka_unit_test(test_families), cmocka_unit_test(test_content_beside_a_call),
      cmocka_unit_test(test_calls_are_read_back))
