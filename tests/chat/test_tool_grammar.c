// What the grammar of a format lets through is what its parser reads: random texts of it, parsed.
#include "harness.h"

#include "base/rng.h"
#include "chat/tool_events.h"
#include "chat/tool_grammar.h"
#include "constrain/automaton.h"
#include "constrain/shape.h"

enum { N_WALKS = 16, MAX_WALK = 4000 };

static const char tools_text[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\", \"properties\": {"
    "\"s\": {\"type\": \"string\", \"maxLength\": 5}, \"n\": {\"type\": \"integer\"}, \"b\": {\"$ref\": \"#/$defs/yes\"},"
    "\"e\": {\"type\": \"string\", \"enum\": [\"a b\", \"c\"]}}, \"required\": [\"n\", \"e\"], \"$defs\": {\"yes\": {\"type\": \"boolean\"}}}}},"
    " {\"type\": \"function\", \"function\": {\"name\": \"any.thing\", \"parameters\": {\"type\": \"object\", \"properties\": {"
    "\"x\": {\"type\": [\"number\", \"null\"]}, \"l\": {\"type\": \"array\", \"items\": {\"type\": \"string\", \"maxLength\": 2}, \"maxItems\": 2}}}}},"
    " {\"type\": \"function\", \"function\": {\"name\": \"now\"}}]";

static Grammar *compile(const json_t *shape) {
    Err err;
    Rules *r = shape_rules(shape, &err);
    Grammar *g = r ? grammar_compile(r, &err) : NULL;
    if (!g) fail_msg("%s", err.msg);
    rules_free(r);
    return g;
}

// A byte that may follow: at random, but rather the end of a thing than more of it, so that walks end.
static int next_byte(Automaton *a, int32_t state, Rng *rng) {
    static const char ends[] = "\"}]<)\n";
    int allowed[256], n = 0;
    for (size_t i = 0; i < sizeof ends - 1 && rng_next(rng) % 3; i++)
        if (automaton_next(a, state, (uint8_t)ends[i]) != AUTOMATON_DEAD) return (uint8_t)ends[i];
    for (int b = 0; b < 256; b++)
        if (automaton_next(a, state, (uint8_t)b) != AUTOMATON_DEAD) allowed[n++] = b;
    return n ? allowed[rng_next(rng) % (unsigned)n] : -1;
}

// false: it did not end in time.
static bool walk(Automaton *a, Rng *rng, Buf *out) {
    int32_t state = automaton_start(a);
    while (out->len < MAX_WALK) {
        if (automaton_accepts(a, state) && (automaton_is_final(a, state) || rng_next(rng) % 2)) return true;
        state = automaton_keep(a, state);
        int byte = next_byte(a, state, rng);
        assert_true(byte >= 0);
        buf_putc(out, (char)byte);
        state = automaton_next(a, state, (uint8_t)byte);
    }
    return false;
}

// The events of a text that is nothing but calls: [name|{…}][name|{…}]
static int check_calls(const char *events) {
    int n = 0;
    for (; *events; n++) {
        json_error_t at;
        const char *bar = strchr(events, '|');
        assert_true(events[0] == '[' && bar);
        Str name = {events + 1, (size_t)(bar - events - 1)};
        json_t *arguments = json_loads(bar + 1, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &at);
        if (!json_is_object(arguments)) fail_msg("%s: %s", events, at.text);
        assert_true(str_eq(name, STR("f")) || str_eq(name, STR("any.thing")) || str_eq(name, STR("now")));
        if (str_eq(name, STR("f"))) {
            assert_true(json_is_integer(json_object_get(arguments, "n")));
            assert_non_null(json_object_get(arguments, "e"));
            const json_t *b = json_object_get(arguments, "b"), *s = json_object_get(arguments, "s");
            assert_true((!b || json_is_boolean(b)) && (!s || json_is_string(s)));
        }
        json_decref(arguments);
        events = bar + 1 + at.position;
        assert_true(*events++ == ']');
    }
    return n;
}

static void check_format(ToolFormat f, bool newer, bool once, const json_t *tools) {
    ChatStyle style = {.tools = f, .newer_syntax = newer};
    ToolGrammar wanted = {.tools = tools, .once = once};
    Rng rng = {(uint64_t)f + 100};
    int n_ended = 0;
    json_t *shape = tool_grammar_shape(&style, &wanted);
    assert_non_null(shape);
    Grammar *g = compile(shape);
    Automaton *a = automaton_new(g, NULL);
    assert_non_null(a);
    for (int i = 0; i < N_WALKS; i++) {
        Buf text = {0}, events = {0};
        if (walk(a, &rng, &text)) {
            n_ended++;
            tool_log_parse(f, tools, buf_str(&text), 0, 0, &events);
            int n = check_calls(buf_str(&events).ptr);
            if (n < 1 || (once && n > 1)) fail_msg("%s: %s", tool_format_syntax(f)->name, text.ptr);
        }
        buf_free(&text);
        buf_free(&events);
    }
    if (n_ended < N_WALKS / 2) fail_msg("%s: %d of %d ended", tool_format_syntax(f)->name, n_ended, N_WALKS);
    automaton_free(a);
    grammar_free(g);
    json_decref(shape);
}

static void test_formats(void **state) {
    (void)state;
    json_t *tools = json_loads(tools_text, 0, NULL);
    assert_non_null(tools);
    for (int f = 0; f < TOOL_N_FORMATS; f++)
        for (int i = 0; i < 4; i++) check_format((ToolFormat)f, i & 1, i & 2, tools);
    json_decref(tools);
}

SUITE(tool_grammar, cmocka_unit_test(test_formats))
