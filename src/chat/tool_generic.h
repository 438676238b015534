// Tools for templates that know nothing of them: everything is said in words.
//
// The functions and how to call them go to the end of the system message (one is made where there is none),
// past calls into the assistant's text, and results into user messages, those that follow one another into
// one, since many of these templates want user and assistant to take turns.
#ifndef CLLM_CHAT_TOOL_GENERIC_H
#define CLLM_CHAT_TOOL_GENERIC_H

#include <jansson.h>
#include <stdbool.h>

// messages: OpenAI's, checked, with arguments as text; changed in place. tools: NULL: none. false: no memory.
bool tool_generic_apply(json_t *messages, const json_t *tools);

#endif
