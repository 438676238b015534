// From the text of an answer to text and tool calls, while it comes.
//
// The parser goes through the answer byte by byte, so what it tells does not depend on how the text was
// cut into pieces. Text goes out at once, except for what may still be the beginning of a marker (and the
// white space before it, which belongs to a call if one follows). A call begins when its name is known and
// what follows looks like arguments; from then on the arguments go out as they come, as JSON text: where
// the format is no JSON, translated. What begins like a call and turns out not to be one becomes text, byte
// for byte. What goes wrong later ends the call where it does, and the rest becomes text; a client then
// finds arguments that are no JSON, as it does when an answer is cut off by its length.
//
// Raw line ends and the like inside JSON strings, which models write, are escaped. A format without a marker
// of its own (a bare JSON object, a bare [) takes only names that are in `tools`.
//
// Thread: one parser belongs to one thread.
#ifndef CLLM_CHAT_TOOL_CALL_H
#define CLLM_CHAT_TOOL_CALL_H

#include "base/err.h"
#include "chat/tool_format.h"

#include <jansson.h>

typedef enum ToolEventKind {
    TOOL_TEXT,      // text: of the answer
    TOOL_BEGIN,     // text: the function's name
    TOOL_ARGUMENTS, // text: the next piece of the JSON text
    TOOL_END,       // of the call
} ToolEventKind;

typedef struct ToolEvent {
    ToolEventKind kind;
    int index; // of the call, from 0; of TOOL_TEXT: calls so far
    Str text;  // valid during the call back only
} ToolEvent;

typedef void ToolSink(void *user, const ToolEvent *event);

typedef struct ToolParser ToolParser;

// tools: OpenAI's array, borrowed, or NULL (then no name is known). NULL: no memory.
ToolParser *tool_parser_new(ToolFormat format, const json_t *tools, ToolSink *sink, void *user);
void tool_parser_free(ToolParser *p); // NULL is allowed

// Pieces of whole code points, so that the events' texts are. false: out of memory, all is lost.
bool tool_parser_push(ToolParser *p, Str text);
bool tool_parser_finish(ToolParser *p); // what was held back goes out

// "call_" and 24 random letters and digits.
enum { TOOL_ID_LEN = 29 };
void tool_call_make_id(char id[TOOL_ID_LEN + 1]);

#endif
