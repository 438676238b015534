// An answer of a chat, taken apart while it comes: thinking, text and tool calls.
//
// reasoning.h and tool_call.h in line, with ids for the calls. What a request wants to have told apart is its
// ChatForm; with an empty one everything is text.
//
// Thread: a form is immutable once made; one reader belongs to one thread.
#ifndef CLLM_CHAT_CHAT_READER_H
#define CLLM_CHAT_CHAT_READER_H

#include "chat/reasoning.h"
#include "chat/tool_call.h"

typedef struct ChatForm {
    const ReasoningMarks *reasoning; // NULL: thinking is text
    bool reasoning_open;             // the prompt has opened the thinking
    bool has_tools;                  // calls are told apart …
    ToolFormat format;               // … in this format
    json_t *tools;                   // owned; NULL: none are known by name
    bool one_call;                   // what follows the first call is dropped
} ChatForm;

void chat_form_free(ChatForm *f);

typedef enum ChatPartKind {
    CHAT_TEXT,
    CHAT_REASONING,
    CHAT_CALL,      // begins: id, and its name in text
    CHAT_ARGUMENTS, // of call number `call`: the next piece of its JSON text
} ChatPartKind;

typedef struct ChatPart {
    ChatPartKind kind;
    int call;       // from 0
    const char *id; // CHAT_CALL: "call_…"
    Str text;       // valid during the call back only
} ChatPart;

typedef void ChatPartSink(void *user, const ChatPart *part);

typedef struct ChatReader ChatReader;

// form: borrowed. NULL: no memory.
ChatReader *chat_reader_new(const ChatForm *form, ChatPartSink *sink, void *user);
void chat_reader_free(ChatReader *r); // NULL is allowed
// Whole code points. false: out of memory.
bool chat_reader_push(ChatReader *r, Str text);
bool chat_reader_finish(ChatReader *r);
int chat_reader_n_calls(const ChatReader *r);
bool chat_reader_thinks(const ChatReader *r);  // the thinking has begun and not ended
bool chat_reader_is_done(const ChatReader *r); // the only call that is wanted has ended: nothing more is told

// A whole answer, put together of its parts. It begins zeroed.
typedef struct ChatAnswer {
    Buf text, reasoning;
    json_t *calls; // [{"id", "name", "arguments": text}]; NULL or empty: none

    // chat_reader.c only:
    Buf arguments; // of the latest call
    bool failed;
} ChatAnswer;

void chat_answer_add(ChatAnswer *a, const ChatPart *part);
bool chat_answer_finish(ChatAnswer *a); // there are no more parts; false: out of memory
void chat_answer_free(ChatAnswer *a);

#endif
