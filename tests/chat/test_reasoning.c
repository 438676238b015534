#include "harness.h"

#include "chat/reasoning.h"

// Parts as one line: thinking in braces.
static void log_part(void *user, bool is_reasoning, Str text) {
    Buf *out = user;
    assert_true(text.len > 0);
    buf_puts(out, is_reasoning ? "{" : "");
    buf_put(out, text);
    buf_puts(out, is_reasoning ? "}" : "");
}

static void split(const ReasoningMarks *m, bool open, Str text, size_t cut, Buf *out) {
    ReasoningSplitter s;
    buf_clear(out);
    reasoning_init(&s, m, open, log_part, out);
    assert_true(reasoning_push(&s, str_sub(text, 0, cut)));
    assert_true(reasoning_push(&s, str_skip(text, cut)));
    assert_true(reasoning_finish(&s));
    reasoning_free(&s);
    size_t n = 0; // pieces of one kind are one part
    for (size_t i = 0; i < out->len; i++) {
        if (i + 1 < out->len && out->ptr[i] == '}' && out->ptr[i + 1] == '{')
            i++;
        else
            out->ptr[n++] = out->ptr[i];
    }
    out->len = n;
    buf_puts(out, "");
}

static void check(const char *sign, bool open, const char *text, const char *parts) {
    Buf out = {0};
    const ReasoningMarks *m = reasoning_detect(str_from(sign));
    assert_non_null(m);
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        split(m, open, str_from(text), cut, &out);
        assert_string_equal(buf_str(&out).ptr, parts);
    }
    buf_free(&out);
}

static void test_split(void **state) {
    (void)state;
    check("<think>", false, "<think>\nHm, <b>.\n\nSo.\n</think>\n\nFour.\n", "{Hm, <b>.\n\nSo.}Four.\n");
    check("<think>", false, "Four.", "Four.");
    check("<think>", false, "\n <thin", "\n <thin");
    check("<think>", false, "It is <think>x</think>", "It is <think>x</think>");
    check("<think>", false, "<think>\n\n</think>\n\nFour.", "Four.");
    check("<think>", false, "<think>never done </thi", "{never done </thi}");
    check("<think>", false, "<think>a</think>b<think>c</think>", "{a}b<think>c</think>");
    check("<think>", false, "<think>a<</think>b", "{a<}b");
    check("<think>", false, "<think>", "");
    check("</think>", true, "Hm.\n</think>Four.", "{Hm.}Four.");
    check("</think>", true, "\n<think>\nHm.\n</think>Four.", "{Hm.}Four.");
    check("</think>", true, "</think>\nFour.", "Four.");
    check("</think>", true, "", "");
}

static void test_variants(void **state) {
    (void)state;
    check("[THINK]", false, "[THINK]Hm.[/THINK]Four.", "{Hm.}Four.");
    check("<|START_THINKING|>", false, "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Four.",
          "{Hm.}<|START_RESPONSE|>Four.");
    check("<seed:think>", false, "<seed:think>Hm.</seed:think>Four.", "{Hm.}Four.");
    check("Here is my thought process:", false,
          "Here is my thought process: Hm.\n\nHere is my response: Four.", "{Hm.}Four.");
    check("<|channel|>analysis", false,
          "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>analysis<|message|> So."
          "<|end|><|start|>assistant<|channel|>final<|message|>Four.",
          "{Hm.So.}<|start|>assistant<|channel|>final<|message|>Four.");
}

static void test_detect(void **state) {
    (void)state;
    assert_null(reasoning_detect(STR("<|im_start|> {{ messages }} <|end|>")));
    const ReasoningMarks *m = reasoning_detect(STR("x</think>y"));
    assert_string_equal(m->name, "think");
    assert_true(reasoning_is_open(m, STR("<|Assistant|><think>\n")));
    assert_false(reasoning_is_open(m, STR("<think>\n\n</think>\n\n")));
    assert_false(reasoning_is_open(m, STR("")));
}

static void test_unfinished(void **state) {
    (void)state;
    const ReasoningMarks *m = reasoning_detect(STR("<think>"));
    assert_true(reasoning_is_unfinished(m, STR("<think>\nHm, ")));
    assert_true(reasoning_is_unfinished(m, STR("\n<think>")));
    assert_false(reasoning_is_unfinished(m, STR("<think>Hm.</think>\nFour")));
    assert_false(reasoning_is_unfinished(m, STR("Four <think>")));
    assert_false(reasoning_is_unfinished(m, STR("")));
}

SUITE(reasoning, cmocka_unit_test(test_split), cmocka_unit_test(test_variants), cmocka_unit_test(test_detect),
      cmocka_unit_test(test_unfinished))
