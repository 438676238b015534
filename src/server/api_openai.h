// OpenAI's API: /v1/completions and /v1/chat/completions, whole and streamed.
//
// What is not supported and would change the result is refused with 400 and its name in `param`;
// unknown fields are ignored. docs/api.md has the fields.
#ifndef CLLM_SERVER_API_OPENAI_H
#define CLLM_SERVER_API_OPENAI_H

#include "server/api_gen.h"
#include "server/generation.h"

void api_completions(App *app, HttpExchange *x, Str tail);      // api_completions.c
void api_chat_completions(App *app, HttpExchange *x, Str tail); // api_chat.c

// Bodies of both: GenDialect.read, also for what other dialects' requests are translated to.
bool openai_read_completion(const Served *served, const json_t *body, GenPlan *plan, ApiError *e);
bool openai_read_chat(const Served *served, const json_t *body, GenPlan *plan, ApiError *e);
// Only the prompt of a chat, as tokens or as text; what the answer would be is not looked at.
bool openai_encode_chat(const Served *served, const json_t *body, TokenList *out, ApiError *e);
bool openai_render_chat(const Served *served, const json_t *body, Buf *out, ApiError *e);

// ---- shared by the two

enum { OPENAI_MAX_N = 128 };

// A part of an answer: what its opening has, and tokens first … end-1 of the choice's log.
typedef struct OpenAiPart {
    bool opening;
    int32_t first, end;
} OpenAiPart;

// How a route's answers differ.
typedef struct OpenAiKind {
    const char *object;       // of a whole answer
    const char *chunk_object; // of a stream's chunks
    // A choice's fields beside index and finish_reason, a new reference: of a whole answer, which may tell
    // another *finish than the outcome's word.
    json_t *(*whole)(const Generation *g, const Request *choice, const char **finish);
    json_t *(*logprobs)(const Generation *g, Request *choice, OpenAiPart part); // a new reference; NULL: none
    int64_t (*n_reasoning)(const Generation *g); // tokens of the thinking; NULL: there is none to tell
} OpenAiKind;

// What a GenDialect of OpenAI's answers by.
json_t *openai_whole(const Generation *g, const OpenAiKind *kind);
// A chunk of one choice; takes the reference of its own fields. It tells the log-probabilities of the tokens
// that are shown and have not been told yet; the first one of a choice, before `opened`, tells those of its
// opening. finish: NULL before the last.
bool openai_send(Generation *g, const OpenAiKind *kind, Request *choice, json_t *own, const char *finish);
void openai_end(Generation *g, const OpenAiKind *kind);
void openai_fail(Generation *g, const ApiError *e);

// A field with a value that would change the result in a way this server does not do.
typedef struct Unsupported {
    const char *name;
    bool (*neutral)(const json_t *value); // is this value without effect? NULL: none is
} Unsupported;
void openai_refuse(Fields *f, const Unsupported *list, size_t n);
bool openai_is_empty(const json_t *value); // false, 0, "", [] and {}: nothing is asked for
// Reads and checks the common fields: model, n, sampling, stream_options. Failures stick in f.
void openai_read_common(const Served *served, Fields *f, GenParams *p);

#endif
