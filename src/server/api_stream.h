// The stream of an answer, whatever its dialect: server-sent events, or lines of JSON.
//
// The stream starts with its first event, so that a failure before the first token still has its
// true HTTP status. A send that finds the reader too slow, or no memory, abandons the generation; the
// exchange is then gone and the caller just returns.
#ifndef CLLM_SERVER_API_STREAM_H
#define CLLM_SERVER_API_STREAM_H

#include "server/generation.h"

// Appends `data: {json}\n\n`: one line, valid UTF-8 by itself. false: no memory.
bool sse_format(const json_t *value, Buf *out);

// Sends one event; takes the reference. false: it has been abandoned.
bool stream_event(Generation *g, json_t *value);
// The same under a name, `event: name`, before the data.
bool stream_named_event(Generation *g, const char *name, json_t *value);
// One value a line, of a dialect whose stream_type is no SSE.
bool stream_line(Generation *g, json_t *value);
// An event that is a constant, "[DONE]".
bool stream_word(Generation *g, const char *word);
// A comment, which readers of SSE pass over: the `ping` of dialects that have no event for it.
void stream_comment(Generation *g);
// What was to be sent next could not be made. Ends the stream; always returns false.
bool stream_no_memory(Generation *g);
// Ends the reply; x is gone. After a failure the connection is closed.
void stream_end(Generation *g, bool failed);

#endif
