// A conversation on its way to a prompt, whatever dialect it came in.
//
// Messages are OpenAI's, which is also what templates read: role (system, developer, user, assistant,
// tool), content (a string, an array of text parts, or null beside tool_calls), tool_calls with ids and
// arguments as text, tool_call_id of results, reasoning_content, and whatever else a template may look at. A
// dialect that has them in another form translates them to this one.
#ifndef CLLM_SERVER_CHAT_REQUEST_H
#define CLLM_SERVER_CHAT_REQUEST_H

#include "chat/chat_reader.h"
#include "server/chat_tools.h"
#include "server/request.h"
#include "server/served.h"

typedef struct ChatRequest { // all borrowed
    const json_t *messages;
    const json_t *variables; // an object for the template, below the server's own; NULL: none
    ChatTools tools;
    json_t *text; // the shape that the text must have where the answer is no call; NULL: any
    bool add_generation_prompt;
    bool continue_final_message; // the answer goes on where the last message, the assistant's, ends
    bool raw_reasoning;          // thinking stays in the text
} ChatRequest;

// Is the last message the assistant's words, so that it can be continued?
bool chat_messages_continue(const json_t *messages);

// What a request has of the server's: its reasoning format. The rest is zeroed.
ChatRequest chat_request_default(const Served *served);

// Checks, renders by the model's own template, encodes; appends the prompt's tokens. Pure. Errors name
// the place in `messages`.
bool chat_request_encode(const Served *served, const ChatRequest *chat, TokenList *out, ApiError *e);

// The text of it, for people to look at: see prompt_render_chat.
bool chat_request_render(const Served *served, const ChatRequest *chat, Buf *out, ApiError *e);

// How the answers to such a prompt are to be read; *shown gets the control tokens that must have a text
// for that (NULL: none). false: out of memory.
bool chat_request_form(const Served *served, const ChatRequest *chat, const TokenList *prompt, ChatForm *out,
                       const TokenList **shown);

// Holds the answers by p->grammar to what tool_choice demands, or to calls or chat->text where calls are free,
// unless the client has asked for something else; and lets a model think before what its answer is held to.
bool chat_request_hold(const Served *served, const ChatRequest *chat, ChatForm *form, GenParams *p,
                       ApiError *e);

#endif
