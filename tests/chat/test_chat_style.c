// What the templates of the families tell of their models.
#include "harness.h"

#include "chat/chat_style.h"

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

SUITE(chat_style, cmocka_unit_test(test_families))
