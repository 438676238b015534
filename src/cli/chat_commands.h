// What a user says to the program in a chat, and not to the model: /help, /set, /save and so on.
#ifndef CLLM_CLI_CHAT_COMMANDS_H
#define CLLM_CLI_CHAT_COMMANDS_H

#include "cli/chat_session.h"

extern const char *const chat_command_words[]; // "/help", …, ended by NULL: for completion

typedef enum ChatCommandResult {
    CHAT_NO_COMMAND, // the text is for the model
    CHAT_DONE,
    CHAT_LEAVE,
} ChatCommandResult;

// A command is "/", letters, and nothing or a space behind them; so "/usr/bin" is text, and so is "//help".
// Failures are shown and end nothing.
ChatCommandResult chat_command(Session *s, const char *text);

#endif
