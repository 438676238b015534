// The choices of a chat while they are answered, for all dialects that have chats: the text of each is taken
// apart into thinking, text and tool calls.
//
// A dialect whose requests look otherwise translates them to the body of a chat completion (OpenAI's), which
// chat_choices_read gives to the one reader of those. What its answers must know beside that hangs on the
// plan as ChatOwn.
//
// Thread: reading is pure; the rest is the loop's.
#ifndef CLLM_SERVER_CHAT_CHOICES_H
#define CLLM_SERVER_CHAT_CHOICES_H

#include "chat/chat_reader.h"
#include "server/generation.h"

// What a dialect wants to know of a request while it is answered.
typedef struct ChatOwn {
    void *data;
    void (*free)(void *data); // NULL: there is nothing to free
} ChatOwn;

typedef struct ChatChoice {
    ChatReader *reader;  // from its first text on
    ChatAnswer answer;   // of a whole answer: what it has said
    int32_t n_reasoning; // tokens up to the end of its thinking
} ChatChoice;

// A GenPlan.state, of n choices to come.
typedef struct ChatChoices {
    ChatForm form;
    ChatOwn own;
    int32_t n;
    ChatChoice of[];
} ChatChoices;

ChatChoices *chat_choices_new(int32_t n); // NULL: no memory
void chat_choices_free(void *choices);    // GenDialect.free_state

// Reads a body that was translated, which becomes the plan's. `chat` may be NULL: the translation failed, and
// *e says why. Takes `chat` and `own` in any case.
bool chat_choices_read(const Served *served, json_t *chat, GenPlan *plan, ChatOwn own, ApiError *e);
// The same for the body of a completion: what is answered then is text and nothing else.
bool chat_choices_read_text(const Served *served, json_t *text, GenPlan *plan, ChatOwn own, ApiError *e);
void *chat_choices_own(const Generation *g); // ChatOwn.data

// A stream: gives the parts of what the choice says next to the sink, whose user is the Request, and when it
// has ended all that is left. When all that was wanted has come the choice has enough. false: out of memory;
// the answer has been ended.
bool chat_choice_push(Generation *g, Request *choice, Str text, ChatPartSink *sink);
void chat_choice_hear(Generation *g, Request *choice, Str text);                  // GenDialect.hear
const ChatAnswer *chat_choice_answer(const Generation *g, const Request *choice); // heard, after its end
size_t chat_choice_n_calls(const Generation *g, const Request *choice);           // begun so far
int64_t chat_choices_n_reasoning(const Generation *g); // tokens of all choices' thinking, its marks included

#endif
