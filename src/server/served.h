// A model that is served: the configuration, the model's parts and what follows from them.
//
// It is filled when the model has been loaded, and does not change until it is unloaded. So reading a
// request (JSON, template, tokens) needs nothing else and may run on any thread.
#ifndef CLLM_SERVER_SERVED_H
#define CLLM_SERVER_SERVED_H

#include "chat/chat_style.h"
#include "server/api_error.h"
#include "server/prompt.h"
#include "server/server.h"

enum { SERVED_MAX_ID = 128 };

typedef struct Served {
    const ServerConfig *config;
    const ModelSpec *spec;
    char model_id[SERVED_MAX_ID]; // `model` in replies
    ModelInfo model; // zeroed before the model was there, or when the service has none (tests)
    // While the model is there:
    Service service;
    PromptEncoder *prompts;
    Pooling pooling;  // of embeddings
    ChatStyle style;  // zeroed without a chat template
    TokenList marks;  // control tokens that the style's syntax is written with
    int32_t context;  // tokens that a request may have
    int32_t max_live; // requests that may be computed or wait at once
} Served;

void served_init(Served *s, const ServerConfig *config, const ModelSpec *spec); // both are borrowed
bool served_attach(Served *s, const Service *service, Err *err);
void served_detach(Served *s); // the parts go; what is known of the model stays

// Could a text of so many bytes be a prompt at all? Asked before it is rendered or encoded, which
// takes time: *e says 400 with both numbers when it has surely more tokens than a request may have.
// `what` names it in the message and is the error's param.
bool served_admits_text(const Served *s, const char *what, size_t n_bytes, ApiError *e);

// The id of a model that is given none: its name as a word in URLs and on command lines, with dashes for
// blanks.
void served_id_of_name(Str name, char id[SERVED_MAX_ID]);

// Does a client's `model` field mean this model? Its id, name or file name.
bool served_knows_model(const Served *s, Str name);

#endif
