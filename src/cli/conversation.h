// A chat as a list of messages, and the tokens of the prompt that asks for the next answer.
//
// Thread: one.
#ifndef CLLM_CLI_CONVERSATION_H
#define CLLM_CLI_CONVERSATION_H

#include "base/err.h"
#include "base/str.h"
#include "chat/template.h"
#include "server/prompt.h"

#include <jansson.h>

typedef struct Conversation {
    json_t *messages; // array of {"role", "content"}
} Conversation;

// system: "" for none.
bool conversation_start(Conversation *c, const char *system, Err *err);
void conversation_end(Conversation *c); // a zeroed one is allowed

// content: any bytes; what is not UTF-8 becomes U+FFFD.
bool conversation_add(Conversation *c, const char *role, Str content, Err *err);
void conversation_drop_last(Conversation *c);

// The system message becomes this; "": there is none. Everything else stays.
bool conversation_set_system(Conversation *c, const char *system, Err *err);
const char *conversation_system(const Conversation *c); // "": none; lives until the next change

// Takes over a list of messages as conversation_start and _add make them, after checking that it is one. The
// conversation stays as it was when it is not.
bool conversation_replace(Conversation *c, json_t *messages, Err *err);

// Appends the tokens of the rendered conversation, up to where the assistant's answer begins. think: "on" or
// "off" is told to the template (enable_thinking), "auto" leaves it to the template.
bool conversation_encode(const Conversation *c, const ChatTemplate *t, const PromptEncoder *prompts,
                         const char *think, TokenList *out, Err *err);

#endif
