// Tools of a chat request, in OpenAI's form, whatever dialect it came in: what the client offers, what it
// wants of the answer, and the calls and results in its messages.
#ifndef CLLM_SERVER_CHAT_TOOLS_H
#define CLLM_SERVER_CHAT_TOOLS_H

#include "chat/chat_style.h"
#include "server/parse.h"

enum { CHAT_MAX_TOOLS = 512, CHAT_MAX_TOOL_NAME = 128 };

typedef enum ToolChoice {
    TOOL_CHOICE_AUTO,
    TOOL_CHOICE_NONE,     // the model is not told of the tools
    TOOL_CHOICE_REQUIRED, // at least one call, of any tool
    TOOL_CHOICE_NAMED,    // a call of this one
} ToolChoice;

typedef struct ChatTools {
    const json_t
        *list;       // [{"type": "function", "function": {"name", "description", "parameters"}}]; NULL: none
    json_t *allowed; // owned: the list, where tool_choice allows only some of the tools; else NULL
    ToolChoice choice;
    Str name;  // TOOL_CHOICE_NAMED
    bool once; // one call at most
} ChatTools;

// Reads tools, tool_choice and parallel_tool_calls and checks them. Failures stick in f; *out is to be freed
// then, too.
void chat_tools_read(Fields *f, ChatTools *out);
void chat_tools_free(ChatTools *t);

// What of earlier messages must be known to check the next.
typedef struct ToolHistory {
    const ChatStyle *style;
    json_t *names;   // id of a call → its function
    bool any;        // there were calls
    size_t n_values; // in the JSON texts of all arguments
} ToolHistory;

// A message on its way to the template, changed in place: tool_calls and tool_call_id are checked, and made
// what the template expects (arguments as object or text, content null or empty, ids of nine letters
// for Mistral's, the function's name beside a result). Failures name the place, messages[i].
bool chat_tools_prepare(ToolHistory *h, json_t *message, size_t i, ApiError *e);
void tool_history_free(ToolHistory *h);

#endif
