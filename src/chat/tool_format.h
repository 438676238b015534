// How a model writes tool calls: one syntax a family, told from its chat template.
//
//   hermes    <tool_call>{"name": "f", "arguments": {…}}</tool_call>            Hermes, Qwen 2.5, Qwen 3,
//   SmolLM3 xml       <tool_call><function=f><parameter=a>1</parameter></function></tool_call> Qwen3-Coder
//   arg-tags  <tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>                   GLM 4.5
//   llama3    {"name": "f", "parameters": {…}}, perhaps after <|python_tag|>                       Llama 3.x
//   pythonic  [f(a=1), g()]                                                          Llama 4, LFM2
//   mistral   [TOOL_CALLS][{"name": "f", "arguments": {…}}], or [TOOL_CALLS]f[ARGS]{…}
//   deepseek  <｜tool▁call▁begin｜>function<｜tool▁sep｜>f … {…} … <｜tool▁call▁end｜>
//   granite   <|tool_call|>[{"name": "f", "arguments": {…}}]                        Granite 3, Phi-4-mini
//   command   <|START_ACTION|>[{"tool_name": "f", "parameters": {…}}]<|END_ACTION|>         Command R
//   channels  <|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>    gpt-oss
//   generic   as hermes, for templates that know nothing of tools (tool_generic.h tells the model)
//
// A syntax is a few markers and the kind of body that follows them; chat/tool_call.h reads them. Facts are
// those of the families' published templates and model cards.
#ifndef CLLM_CHAT_TOOL_FORMAT_H
#define CLLM_CHAT_TOOL_FORMAT_H

#include "base/str.h"

typedef enum ToolFormat {
    TOOL_FORMAT_GENERIC,
    TOOL_FORMAT_HERMES,
    TOOL_FORMAT_XML,
    TOOL_FORMAT_ARG_TAGS,
    TOOL_FORMAT_LLAMA3,
    TOOL_FORMAT_PYTHONIC,
    TOOL_FORMAT_MISTRAL,
    TOOL_FORMAT_DEEPSEEK,
    TOOL_FORMAT_GRANITE,
    TOOL_FORMAT_COMMAND,
    TOOL_FORMAT_CHANNELS,
    TOOL_N_FORMATS
} ToolFormat;

typedef enum ToolBody {
    TOOL_BODY_JSON,   // a call object or a list of them
    TOOL_BODY_NAMED,  // a name in a header, then its arguments as a JSON object; or as TOOL_BODY_JSON
    TOOL_BODY_TAGS,   // a name, then keys and values in tags
    TOOL_BODY_PYTHON, // f(a=1), g()]
} ToolBody;

typedef enum ToolMarkerRole {
    TOOL_MARKER_NONE,   // the end of a list of markers
    TOOL_MARKER_BODY,   // a body follows
    TOOL_MARKER_BARE,   // the body's own first bytes; only at the start, after a prefix or after a call
    TOOL_MARKER_PREFIX, // may stand before the other two
    TOOL_MARKER_END,    // after a call: means nothing more
    TOOL_MARKER_FRAME,  // never part of the text
} ToolMarkerRole;

enum { TOOL_MAX_MARKERS = 8 };

// No marker is the beginning of another of its format, and the first byte of those that begin something
// stands nowhere else in them: so text that turns out to be no marker holds no other marker's beginning,
// except in its last byte.
typedef struct ToolMarker {
    Str text;
    ToolMarkerRole role;
} ToolMarker;

// Of TOOL_BODY_TAGS: NAME name_end (key_open KEY key_end value_open VALUE value_end)* call_end
typedef struct ToolTags {
    Str key_open, key_end, value_open, value_end, call_end;
    char name_end;
    bool lines; // a newline after value_open and one before value_end are not the value's
} ToolTags;

typedef struct ToolSyntax {
    const char *name; // as --tool-format has it
    ToolBody body;
    ToolMarker markers[TOOL_MAX_MARKERS];
    Str separator; // TOOL_BODY_NAMED: in the header, between name and arguments
    ToolTags tags;
} ToolSyntax;

const ToolSyntax *tool_format_syntax(ToolFormat f);
bool tool_format_by_name(Str name, ToolFormat *out); // false: there is none of that name
bool tool_format_has_frames(ToolFormat f);           // marks around plain text, too
ToolFormat tool_format_detect(Str template_source);

#endif
