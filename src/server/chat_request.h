// A conversation on its way to a prompt, whatever dialect it came in.
//
// Messages are OpenAI's, which is also what templates read: role (system, developer, user, assistant,
// tool), content (a string, an array of text parts, or null beside tool_calls), and whatever else a
// template may look at. A dialect that has them in another form translates them to this one.
#ifndef CLLM_SERVER_CHAT_REQUEST_H
#define CLLM_SERVER_CHAT_REQUEST_H

#include "server/served.h"

typedef struct ChatRequest { // all borrowed
    const json_t *messages;
    const json_t *variables; // an object for the template, below the server's own; NULL: none
    bool add_generation_prompt;
} ChatRequest;

// Checks, renders by the model's own template, encodes; appends the prompt's tokens. Pure. Errors name
// the place in `messages`.
bool chat_request_encode(const Served *served, const ChatRequest *chat, TokenList *out, ApiError *e);

#endif
