// What a model's chat template tells about its answers and about what it wants to be given.
#ifndef CLLM_CHAT_CHAT_STYLE_H
#define CLLM_CHAT_CHAT_STYLE_H

#include "chat/reasoning.h"
#include "chat/template.h"
#include "chat/tool_format.h"

typedef struct ChatStyle {
    ToolFormat tools;
    const ReasoningMarks *reasoning; // NULL: the model does not think aloud
    bool text_arguments;             // the template glues the arguments of past calls in as text;
                                     // the others read an object
    bool needs_content;              // beside a call, too: an empty text instead of null
    bool newer_syntax; // of two syntaxes of calls that a family has had (Mistral's name[ARGS]{…},
                       // DeepSeek's without a code fence)
} ChatStyle;

// Looks for the words of formats, and renders a conversation with a call a few times to see which form of
// its arguments comes out right, and whether its content may be null.
ChatStyle chat_style_of(const ChatTemplate *t);

#endif
