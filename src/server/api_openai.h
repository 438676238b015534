// OpenAI's API: /v1/completions and /v1/chat/completions, whole and streamed.
//
// Supported: sampling with logit_bias, penalties, seed, and the extensions top_k, min_p,
// repetition_penalty, timeout_ms, ignore_eos; stop (up to 16); n = 1. What is not supported and
// would change the result is refused with 400 and its name in `param`; unknown fields are ignored.
#ifndef CLLM_SERVER_API_OPENAI_H
#define CLLM_SERVER_API_OPENAI_H

#include "server/api_gen.h"
#include "server/app.h"

void api_completions(App *app, HttpExchange *x, Str tail);
void api_chat_completions(App *app, HttpExchange *x, Str tail); // api_chat.c

// ---- shared by the two

// How a route's answers differ.
typedef struct OpenAiKind {
    const char *id_prefix;    // "cmpl-"
    const char *object;       // of a whole answer
    const char *chunk_object; // of a stream's chunks
    // The choice's fields beside index and finish_reason, new references: of a chunk before all
    // text (NULL: there is none), of a chunk with some text (empty: the last), of a whole answer.
    json_t *(*opening)(void);
    json_t *(*piece)(Str text);
    json_t *(*whole)(Str text);
} OpenAiKind;

// A field with a value that would change the result in a way this server does not do.
typedef struct Unsupported {
    const char *name;
    bool (*neutral)(const json_t *value); // is this value without effect? NULL: none is
} Unsupported;
void openai_refuse(Fields *f, const Unsupported *list, size_t n);
bool openai_is_empty(const json_t *value); // false, 0, "", [] and {}: nothing is asked for

// Reads and checks the common fields: model, n, sampling, stream_options. Failures stick in f.
void openai_read_common(App *app, Fields *f, GenParams *p);
// Submits; kind stays with the request.
bool openai_start(App *app, HttpExchange *x, const OpenAiKind *kind, const GenParams *p,
                  const TokenList *prompt, ApiError *e);

#endif
