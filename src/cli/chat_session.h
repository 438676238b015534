// A model, a conversation with it, and how its answers reach the terminal.
//
// Thread: one; interrupts.h must be open while it answers.
#ifndef CLLM_CLI_CHAT_SESSION_H
#define CLLM_CLI_CHAT_SESSION_H

#include "chat/reasoning.h"
#include "cli/conversation.h"
#include "cli/runtime_options.h"

typedef struct Session {
    Options *o; // sampler and limits may change between answers
    Runtime runtime;
    PromptEncoder *prompts;
    Conversation chat;
    const ReasoningMarks *reasoning; // NULL: the model does not think aloud
    bool to_terminal;                // the answer goes to a terminal
    bool colour;
    bool interrupted; // Ctrl-C ended the last answer
} Session;

// What was opened before a failure stays, for session_close. *code: the exit code if Ctrl-C ended it.
bool session_open(Session *s, Options *o, int *code, Err *err);
void session_close(Session *s);

// Streams the answer to stdout; in a chat it then belongs to the conversation, which a turn that fails leaves
// as it was. With --raw the text is continued as it is. Ctrl-C ends an answer early, which is no failure.
bool session_answer(Session *s, Str text, Err *err);

// Text that may come from anywhere, to stdout; to a terminal without what would steer it.
void session_show(const Session *s, Str text);

#endif
