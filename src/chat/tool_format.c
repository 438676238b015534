#include "chat/tool_format.h"

#define BODY(t) {STR(t), TOOL_MARKER_BODY}
#define BARE(t) {STR(t), TOOL_MARKER_BARE}
#define PREFIX(t) {STR(t), TOOL_MARKER_PREFIX}
#define END(t) {STR(t), TOOL_MARKER_END}
#define FRAME(t) {STR(t), TOOL_MARKER_FRAME}

static const ToolSyntax syntaxes[TOOL_N_FORMATS] = {
    [TOOL_FORMAT_GENERIC] = {.name = "generic",
                             .body = TOOL_BODY_JSON,
                             .markers = {BODY("<tool_call>"), END("</tool_call>")}},
    [TOOL_FORMAT_HERMES] = {.name = "hermes",
                            .body = TOOL_BODY_JSON,
                            .markers = {BODY("<tool_call>"), END("</tool_call>")}},
    [TOOL_FORMAT_XML] = {.name = "xml",
                         .body = TOOL_BODY_TAGS,
                         .markers = {PREFIX("<tool_call>"), BODY("<function="), END("</tool_call>")},
                         .tags = {.key_open = STR("<parameter="),
                                  .key_end = STR(">"),
                                  .value_open = STR(""),
                                  .value_end = STR("</parameter>"),
                                  .call_end = STR("</function>"),
                                  .name_end = '>',
                                  .lines = true}},
    [TOOL_FORMAT_ARG_TAGS] = {.name = "arg-tags",
                              .body = TOOL_BODY_TAGS,
                              .markers = {BODY("<tool_call>")},
                              .tags = {.key_open = STR("<arg_key>"),
                                       .key_end = STR("</arg_key>"),
                                       .value_open = STR("<arg_value>"),
                                       .value_end = STR("</arg_value>"),
                                       .call_end = STR("</tool_call>"),
                                       .name_end = '\n'}},
    [TOOL_FORMAT_LLAMA3] = {.name = "llama3",
                            .body = TOOL_BODY_JSON,
                            .markers = {BARE("{"), PREFIX("<|python_tag|>"), PREFIX("<|python_start|>"),
                                        END("<|python_end|>"), END(";")}},
    [TOOL_FORMAT_PYTHONIC] = {.name = "pythonic",
                              .body = TOOL_BODY_PYTHON,
                              .markers = {BARE("["), PREFIX("<|python_start|>"), END("<|python_end|>"),
                                          PREFIX("<|tool_call_start|>"), END("<|tool_call_end|>")}},
    [TOOL_FORMAT_MISTRAL] = {.name = "mistral",
                             .body = TOOL_BODY_NAMED,
                             .markers = {BODY("[TOOL_CALLS]")},
                             .separator = STR("[ARGS]")},
    [TOOL_FORMAT_DEEPSEEK] = {.name = "deepseek",
                              .body = TOOL_BODY_NAMED,
                              .markers = {PREFIX("<｜tool▁calls▁begin｜>"), BODY("<｜tool▁call▁begin｜>"),
                                          END("```"), END("<｜tool▁call▁end｜>"),
                                          END("<｜tool▁calls▁end｜>")},
                              .separator = STR("<｜tool▁sep｜>")},
    [TOOL_FORMAT_GRANITE] = {.name = "granite",
                             .body = TOOL_BODY_JSON,
                             .markers = {BODY("<|tool_call|>"), BODY("<tool_call>"), END("<|/tool_call|>"),
                                         END("</tool_call>")}},
    [TOOL_FORMAT_COMMAND] = {.name = "command",
                             .body = TOOL_BODY_JSON,
                             .markers = {BODY("<|START_ACTION|>"), END("<|END_ACTION|>"),
                                         BODY("Action: ```json"), END("```"), FRAME("<|START_RESPONSE|>"),
                                         FRAME("<|END_RESPONSE|>")}},
    [TOOL_FORMAT_CHANNELS] = {.name = "channels",
                              .body = TOOL_BODY_NAMED,
                              .markers = {PREFIX("<|start|>assistant"), BODY("<|channel|>commentary to="),
                                          BARE("to=functions."), FRAME("<|channel|>commentary<|message|>"),
                                          FRAME("<|channel|>final<|message|>"), FRAME("<|end|>")},
                              .separator = STR("<|message|>")},
};

const ToolSyntax *tool_format_syntax(ToolFormat f) {
    return &syntaxes[f];
}

bool tool_format_by_name(Str name, ToolFormat *out) {
    for (int f = 0; f < TOOL_N_FORMATS; f++) {
        if (!str_eq(name, str_from(syntaxes[f].name))) continue;
        *out = (ToolFormat)f;
        return true;
    }
    return false;
}

bool tool_format_has_frames(ToolFormat f) {
    for (size_t i = 0; i < TOOL_MAX_MARKERS; i++)
        if (syntaxes[f].markers[i].role == TOOL_MARKER_FRAME) return true;
    return false;
}

// What a template that writes calls in a format contains; the first line whose words all occur wins.
static const struct {
    ToolFormat format;
    const char *words[2];
} signs[] = {
    {TOOL_FORMAT_CHANNELS, {"<|channel|>", "commentary"}},
    {TOOL_FORMAT_MISTRAL, {"[TOOL_CALLS]"}},
    {TOOL_FORMAT_DEEPSEEK, {"<｜tool▁call▁begin｜>"}},
    {TOOL_FORMAT_COMMAND, {"<|START_ACTION|>"}},
    {TOOL_FORMAT_COMMAND, {"Action: ```json"}},
    {TOOL_FORMAT_XML, {"<function=", "<parameter="}},
    {TOOL_FORMAT_ARG_TAGS, {"<arg_key>"}},
    {TOOL_FORMAT_PYTHONIC, {"<|tool_call_start|>"}},
    {TOOL_FORMAT_PYTHONIC, {"func_name1("}},
    {TOOL_FORMAT_GRANITE, {"<|tool_call|>"}},
    {TOOL_FORMAT_HERMES, {"<tool_call>"}},
    {TOOL_FORMAT_LLAMA3, {"<|python_tag|>"}},
    {TOOL_FORMAT_LLAMA3, {"ipython", "\"parameters\""}},
    {TOOL_FORMAT_HERMES, {"tools"}},
};

ToolFormat tool_format_detect(Str source) {
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        bool all = true;
        for (size_t w = 0; w < 2 && signs[i].words[w]; w++)
            all = all && str_contains(source, str_from(signs[i].words[w]));
        if (all) return signs[i].format;
    }
    return TOOL_FORMAT_GENERIC;
}
