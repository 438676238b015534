// The chat template engine: renderings, error messages with their lines, bounds. What Jinja makes
// of hundreds of snippets and conversations is compared in test_jinja_equal.py.
#include "harness.h"

#include "chat/template.h"

#include <pthread.h>
#include <stdlib.h>

// ---- helpers

static json_t *parse_vars(const char *vars) {
    json_t *v = json_loads(vars ? vars : "{}", 0, NULL);
    assert_non_null(v);
    return v;
}

static bool render(Str source, json_t *vars, Buf *out, Err *err) {
    ChatTemplate *t = chat_template_parse(source, err);
    bool ok = t && chat_template_render(t, vars, out, err);
    chat_template_free(t);
    return ok;
}

static void gives(const char *source, const char *vars, const char *expected) {
    Err err = {0};
    Buf out = {0};
    json_t *v = parse_vars(vars);
    if (!render(str_from(source), v, &out, &err)) fail_msg("%s: %s", source, err.msg);
    assert_string_equal(out.ptr ? out.ptr : "", expected);
    buf_free(&out);
    json_decref(v);
}

// Every part must be in the message.
static void fails_str(Str source, const char *vars, const char *part, const char *other) {
    Err err = {0};
    Buf out = {0};
    json_t *v = parse_vars(vars);
    if (render(source, v, &out, &err)) fail_msg("%.200s: rendered", source.ptr);
    assert_int_equal(err.code, ERR_INVALID);
    if (!strstr(err.msg, part) || !strstr(err.msg, other)) fail_msg("%.200s: %s", source.ptr, err.msg);
    assert_int_equal(out.len, 0);
    buf_free(&out);
    json_decref(v);
}

static void fails(const char *source, const char *part, const char *other) {
    fails_str(str_from(source), NULL, part, other);
}

// `head`, n times `body`, `tail`.
static Buf repeated(const char *head, const char *body, int n, const char *tail) {
    Buf b = {0};
    buf_puts(&b, head);
    for (int i = 0; i < n; i++) buf_puts(&b, body);
    buf_puts(&b, tail);
    return b;
}

// ---- renderings

static void test_chatml(void **state) {
    (void)state;
    gives("{% for m in messages %}\n{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}\n"
          "{% endfor %}\n{% if add_generation_prompt %}\n{{ '<|im_start|>assistant\\n' }}\n{% endif %}\n",
          "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"add_generation_prompt\": true}",
          "<|im_start|>user\nHi<|im_end|>\n\n<|im_start|>assistant\n\n");
}

static void test_tools(void **state) {
    (void)state;
    gives("{% for t in tools %}{{ t | tojson }}{% endfor %}",
          "{\"tools\": [{\"name\": \"f\", \"n\": 1.0, \"l\": [true, null, \"\\u00fc<\"]}]}",
          "{\"name\": \"f\", \"n\": 1.0, \"l\": [true, null, \"\xC3\xBC<\"]}");
}

static void test_nothing(void **state) {
    (void)state;
    gives("", NULL, "");
    gives("\n", NULL, "");
    gives("{# only a comment #}", NULL, "");
    gives("plain", NULL, "plain");
}

static void test_undefined_prints_nothing(void **state) {
    (void)state;
    gives("[{{ nobody }}{{ {}.x }}{{ [][0] }}]", NULL, "[]");
}

// The data that came in is a copy: a second render sees what the first saw.
static void test_render_twice(void **state) {
    (void)state;
    Err err = {0};
    Buf out = {0};
    json_t *v = parse_vars("{\"l\": [1]}");
    ChatTemplate *t = chat_template_parse(STR("{% set _ = l.append(2) %}{{ l }}"), &err);
    assert_non_null(t);
    for (int i = 0; i < 2; i++) assert_true(chat_template_render(t, v, &out, &err));
    assert_string_equal(out.ptr, "[1, 2][1, 2]");
    chat_template_free(t);
    buf_free(&out);
    json_decref(v);
}

static void test_appends_only_on_success(void **state) {
    (void)state;
    Err err = {0};
    Buf out = {0};
    json_t *v = parse_vars(NULL);
    buf_puts(&out, "before ");
    assert_false(render(STR("text {{ nobody.x }}"), v, &out, &err));
    assert_string_equal(out.ptr, "before ");
    assert_true(render(STR("text"), v, &out, &err));
    assert_string_equal(out.ptr, "before text");
    buf_free(&out);
    json_decref(v);
}

static void test_variables_must_be_object(void **state) {
    (void)state;
    Err err = {0};
    Buf out = {0};
    json_t *v = json_array();
    assert_false(render(STR("x"), v, &out, &err));
    assert_false(render(STR("x"), NULL, &out, &err));
    assert_int_equal(err.code, ERR_INVALID);
    json_decref(v);
}

static void test_null_err_and_free(void **state) {
    (void)state;
    assert_null(chat_template_parse(STR("{{"), NULL));
    assert_null(chat_template_parse(STR("\xFF"), NULL));
    chat_template_free(NULL);
}

static void *render_many(void *arg) {
    const ChatTemplate *t = arg;
    json_t *v = json_loads("{\"l\": [1, 2, 3]}", 0, NULL);
    bool same = true;
    for (int i = 0; i < 200; i++) {
        Buf out = {0};
        same = chat_template_render(t, v, &out, NULL) && strcmp(out.ptr, "1:a2:b3:a") == 0 && same;
        buf_free(&out);
    }
    json_decref(v);
    return same ? arg : NULL;
}

static void test_threads(void **state) {
    (void)state;
    Err err = {0};
    pthread_t threads[4];
    ChatTemplate *t = chat_template_parse(
        STR("{% macro m(x) %}{{ x }}:{% endmacro %}{% for i in l %}{{ m(i) }}{{ loop.cycle('a', 'b') }}{% endfor %}"),
        &err);
    assert_non_null(t);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, render_many, t), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, t);
    }
    chat_template_free(t);
}

// ---- messages

static void test_syntax_errors(void **state) {
    (void)state;
    static const struct {
        const char *source, *line, *words;
    } table[] = {
        {"a\nb {{ x", "line 2", "expected '}}'"},
        {"a\n{% if x", "line 2", "expected '%}'"},
        {"{% if true %}\nx", "line 1", "expected {% endif %}"},
        {"\n\n{% for i in l %}\nx", "line 3", "expected {% endfor %}"},
        {"{% for i in l %}{% endif %}", "line 1", "unexpected 'endif'"},
        {"\n{% set x = %}", "line 2", "expected an expression"},
        {"{% for 5 in l %}{% endfor %}", "line 1", "expected a name"},
        {"{% for i l %}{% endfor %}", "line 1", "expected 'in'"},
        {"{{ [1, 2 }}", "line 1", "unexpected '}', expected ']'"},
        {"{{ (1 }}", "line 1", "unexpected '}', expected ')'"},
        {"{{ 'abc }}", "line 1", "a string has no end"},
        {"{{ a b }}", "line 1", "unexpected 'b', expected '}}'"},
        {"{{ a.'b' }}", "line 1", "expected a name or a number"},
        {"{% frob %}", "line 1", "unexpected 'frob', expected a statement"},
        {"\n{# x", "line 2", "expected '#}'"},
        {"{% raw %}x", "line 1", "expected {% endraw %}"},
        {"{% break %}", "line 1", "inside a for loop"},
        {"{% include 'x' %}", "line 1", "cannot use other templates"},
        {"{{ f(a=1, 2) }}", "line 1", "before named ones"},
        {"{{ $ }}", "line 1", "unexpected character '$'"},
        {"{{ '\\ud800' }}", "line 1", "not a character"},
        {"{{ 99999999999999999999 }}", "line 1", "too large"},
        {"\xFF\xFE", "line 1", "not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        fails(table[i].source, table[i].line, table[i].words);
}

static void test_runtime_errors(void **state) {
    (void)state;
    static const struct {
        const char *source, *line, *words;
    } table[] = {
        {"\n\n{{ nobody.x }}", "line 3", "'nobody' is undefined"},
        {"\n{{ {}.a.b }}", "line 2", "a dict has no attribute or item 'a'"},
        {"{{ 1 + 'a' }}", "line 1", "'+' is not possible between int and str"},
        {"{{ 1 < 'a' }}", "line 1", "'<' is not possible between int and str"},
        {"{{ 1 // 0 }}", "line 1", "division by zero"},
        {"{{ x | frob }}", "line 1", "there is no filter 'frob'"},
        {"{{ x is frob }}", "line 1", "there is no test 'frob'"},
        {"{{ 'a'.replace('b') }}", "line 1", "replace needs an argument 'new'"},
        {"{{ 'a'.upper(1) }}", "line 1", "upper takes at most 0 arguments"},
        {"{{ 'a'|trim(x=1) }}", "line 1", "trim takes no argument 'x'"},
        {"{% for i in 5 %}{% endfor %}", "line 1", "a int cannot be walked"},
        {"{{ 5() }}", "line 1", "a int cannot be called"},
        {"{% macro m() %}\n{{ no.x }}\n{% endmacro %}\n{{ m() }}", "line 2", "'no' is undefined"},
        {"{{ 9223372036854775807 + 1 }}", "line 1", "too large"},
        {"{{ 10 ** 30 }}", "line 1", "too large"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        fails(table[i].source, table[i].line, table[i].words);
}

// The template's words, on one line whatever they hold.
static void test_refusal(void **state) {
    (void)state;
    fails("{{ raise_exception('Roles must\\nalternate') }}", "refuses: Roles must alternate", "");
    fails("{{ raise_exception('\xC3\xBC' * 1000) }}", "refuses: \xC3\xBC", "\xC3\xBC");
}

// ---- bounds

static void repeated_fails(const char *head, const char *body, int n, const char *tail, const char *words) {
    Buf b = repeated(head, body, n, tail);
    fails_str(buf_str(&b), NULL, words, "");
    buf_free(&b);
}

static void test_nesting(void **state) {
    (void)state;
    repeated_fails("{{ ", "(", 5000, "", "are open");
    repeated_fails("{{ ", "not ", 5000, "1 }}", "nested deeper");
    repeated_fails("{{ ", "- ", 5000, "1 }}", "nested deeper");
    repeated_fails("{{ x", ".a", 5000, " }}", "nested deeper");
    repeated_fails("{{ x", "|e", 5000, " }}", "nested deeper");
    repeated_fails("{{ ", "1 if 1 else ", 5000, "1 }}", "nested deeper");
    repeated_fails("", "{% if 1 %}", 5000, "", "nested deeper");
    repeated_fails("{% for ", "(", 5000, "", "are open");
    repeated_fails("{% filter e", "|e", 5000, "%}{% endfilter %}", "nested deeper");
}

// Long is not deep.
static void test_long_chains(void **state) {
    (void)state;
    Buf b = repeated("{{ 0", " + 1", 5000, " }}");
    gives(b.ptr, NULL, "5000");
    buf_free(&b);
    b = repeated("{{ 'a'", " ~ 'b'", 3, " }}");
    gives(b.ptr, NULL, "abbb");
    buf_free(&b);
    b = repeated("{% if 0 %}", "{% elif 0 %}x", 2000, "{% else %}y{% endif %}");
    gives(b.ptr, NULL, "y");
    buf_free(&b);
}

static void test_recursion(void **state) {
    (void)state;
    fails("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper", "line 1");
    fails("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "nested deeper", "");
    fails("{% set l = [] %}{% set _ = l.append(l) %}{{ l | tojson }}", "nested deeper", "");
    fails("{% set l = [] %}{% set m = [] %}{% set _ = l.append(m) %}{% set _ = m.append(l) %}{{ l == m }}",
          "nested deeper", "");
    gives("{% macro m(n) %}{{ n }}{% if n %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(9) }}", NULL,
          "9876543210");
}

static void test_steps(void **state) {
    (void)state;
    fails("{% set r = range(100000) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
          "too much work", "");
    fails("{% for i in range(10000) %}{% set x = range(100000) | sum %}{% endfor %}", "too much", "");
}

static void test_memory(void **state) {
    (void)state;
    fails("{% set l = [0] %}{% for i in range(30) %}{% set _ = l.extend(l) %}{% endfor %}", "too much", "");
    fails("{% set ns = namespace(s='x') %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
          "beyond 16 MiB", "");
    fails("{{ 'x' * 999999999999 }}", "beyond 16 MiB", "");
    fails("{{ ['x'] * 999999999999 }}", "too much", "");
    fails("{{ 'x'.center(999999999999) }}", "more than", "");
    fails("{{ '%99999999d' % 1 }}", "more than", "");
    fails("{{ 'a' | indent(99999999) }}", "more than", "");
    fails("{{ ('x' * 1000000).replace('x', 'y' * 1000) }}", "beyond 16 MiB", "");
    fails("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "too much", "");
}

static void test_range(void **state) {
    (void)state;
    fails("{{ range(100001) }}", "more than 100000", "");
    fails("{{ range(-9223372036854775807, 9223372036854775807) }}", "more than 100000", "");
    gives("{{ range(9223372036854775806, 9223372036854775807) | list }}", NULL, "[9223372036854775806]");
    gives("{{ range(5, -5, -9223372036854775807) | list }}{{ 'abc'[::9223372036854775807] }}", NULL, "[5]a");
}

static void test_source_size(void **state) {
    (void)state;
    Buf b = repeated("", "0123456789abcdef", (1 << 16) + 1, "");
    fails_str(buf_str(&b), NULL, "larger than", "");
    buf_free(&b);
}

static void test_deep_data(void **state) {
    (void)state;
    Buf b = repeated("{\"x\": ", "[", 500, "");
    for (int i = 0; i < 500; i++) buf_putc(&b, ']');
    buf_putc(&b, '}');
    fails_str(STR("{{ x }}"), b.ptr, "nested deeper", "");
    buf_free(&b);
}

// A long conversation stays well inside the limits: 64-byte pieces are steps, copies are shared.
static void test_long_conversation(void **state) {
    (void)state;
    Err err = {0};
    Buf out = {0}, text = repeated("", "All work and no play. ", 1000, "");
    json_t *messages = json_array(), *v = json_object();
    for (int i = 0; i < 200; i++)
        json_array_append_new(messages,
                              json_pack("{ssss}", "role", i % 2 ? "assistant" : "user", "content", text.ptr));
    json_object_set_new(v, "messages", messages);
    bool ok = render(
        STR("{% for m in messages %}{{ '<' + m.role + '>\\n' + m.content.split('</think>')[-1].lstrip('\\n') "
            "+ '<end>' + '\\n' }}{% endfor %}"),
        v, &out, &err);
    if (!ok) fail_msg("%s", err.msg);
    assert_true(out.len > 200 * 22000);
    buf_free(&out);
    buf_free(&text);
    json_decref(v);
}

SUITE(chat_template, cmocka_unit_test(test_chatml), cmocka_unit_test(test_tools),
      cmocka_unit_test(test_nothing), cmocka_unit_test(test_undefined_prints_nothing),
      cmocka_unit_test(test_render_twice), cmocka_unit_test(test_appends_only_on_success),
      cmocka_unit_test(test_variables_must_be_object), cmocka_unit_test(test_null_err_and_free),
      cmocka_unit_test(test_threads), cmocka_unit_test(test_syntax_errors),
      cmocka_unit_test(test_runtime_errors), cmocka_unit_test(test_refusal), cmocka_unit_test(test_nesting),
      cmocka_unit_test(test_long_chains), cmocka_unit_test(test_recursion), cmocka_unit_test(test_steps),
      cmocka_unit_test(test_memory), cmocka_unit_test(test_range), cmocka_unit_test(test_source_size),
      cmocka_unit_test(test_deep_data), cmocka_unit_test(test_long_conversation))
