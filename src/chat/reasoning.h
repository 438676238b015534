// The thinking in an answer, apart from the answer.
//
// clang-format off
//   think     <think>…</think>                                    Qwen 3, DeepSeek R1, SmolLM3, GLM, Phi-4, …
//   brackets  [THINK]…[/THINK]                                    Magistral
//   command   <|START_THINKING|>…<|END_THINKING|>                 Command A, R7B
//   seed      <seed:think>…</seed:think>                          Seed-OSS
//   channels  <|channel|>analysis<|message|>…<|end|>              gpt-oss, several times
//   granite   Here is my thought process:…Here is my response:    Granite 3.2
// clang-format on
//
// Thinking stands at the beginning of an answer; the opening mark may already be the last of the prompt.
// The white space around both marks belongs to neither part. Marks later in the answer are text. Thinking
// that does not end is thinking to its end. As in chat/tool_call.h the result does not depend on how the text
// was cut into pieces, and nothing is held back but what may still be white space before a mark, or a mark.
//
// Thread: one splitter belongs to one thread.
#ifndef CLLM_CHAT_REASONING_H
#define CLLM_CHAT_REASONING_H

#include "base/buf.h"

typedef struct ReasoningMarks {
    const char *name;
    Str open[2]; // either; the second may be empty
    Str close;
    bool again; // after the end of one block another may follow
} ReasoningMarks;

// What the template's text shows; NULL: it knows nothing of thinking.
const ReasoningMarks *reasoning_detect(Str template_source);
// Does this prompt (its last bytes are enough) end with an opening mark?
bool reasoning_is_open(const ReasoningMarks *m, Str prompt_end);
// Does this beginning of an answer end in its thinking?
bool reasoning_is_unfinished(const ReasoningMarks *m, Str text);

typedef void ReasoningSink(void *user, bool is_reasoning, Str text); // text: valid during the call only

typedef struct ReasoningSplitter {
    const ReasoningMarks *marks;
    ReasoningSink *sink;
    void *user;
    enum { REASONING_BEFORE, REASONING_OPENED, REASONING_INSIDE, REASONING_AFTER, REASONING_TEXT } state;
    Buf held;    // white space, and what may become a mark
    size_t mark; // where in held a mark may begin
    Buf out;
} ReasoningSplitter;

// open: the prompt has opened the thinking.
void reasoning_init(ReasoningSplitter *s, const ReasoningMarks *m, bool open, ReasoningSink *sink,
                    void *user);
void reasoning_free(ReasoningSplitter *s);
// Pieces of whole code points. false: out of memory.
bool reasoning_push(ReasoningSplitter *s, Str text);
bool reasoning_finish(ReasoningSplitter *s);
bool reasoning_is_inside(const ReasoningSplitter *s); // behind an opening mark, before the closing one

#endif
