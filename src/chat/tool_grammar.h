// The texts that are calls, as a shape: what an answer that must call is held to.
//
// A shape is JSON (constrain/shape.h compiles it): a string is itself; {"seq": […]}, {"any": […]} and
// {"repeat": shape, "min": n} put shapes together; {"schema": S} is the text of any value that fits S, with
// "at": pointer only of the part of S there; {"regex": R} any text that R matches. Names and syntax are
// literals, arguments come from the functions' schemas. Where a format has its arguments in no JSON
// (tags, Python), each value is held to its own schema, and strings in tags to nothing but enum and const.
//
// Thread: pure.
#ifndef CLLM_CHAT_TOOL_GRAMMAR_H
#define CLLM_CHAT_TOOL_GRAMMAR_H

#include "chat/chat_style.h"

#include <jansson.h>

typedef struct ToolGrammar {
    const json_t *tools; // OpenAI's array, checked, not empty
    Str only;            // of these the one with this name; len 0: all
    bool once;           // exactly one call; or one and more
} ToolGrammar;

json_t *tool_grammar_shape(const ChatStyle *style, const ToolGrammar *g); // NULL: no memory

#endif
