// Chat templates: the model's own Jinja template turns a conversation into the prompt text.
//
// A template is hostile input (it comes with the model file): depth, steps and output size are
// bounded, nothing in it reaches files, the network or the process. Thread: a parsed template is
// immutable; render may run in several threads at once.
#ifndef CLLM_CHAT_TEMPLATE_H
#define CLLM_CHAT_TEMPLATE_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

typedef struct ChatTemplate ChatTemplate;

// Parses a template; the source is copied. Errors name the line.
ChatTemplate *chat_template_parse(Str source, Err *err);
void chat_template_free(ChatTemplate *t); // NULL is allowed
Str chat_template_source(const ChatTemplate *t);

// Renders with the given variables: a JSON object with "messages", "add_generation_prompt",
// "bos_token", "eos_token", "tools", … Appends to out. `raise_exception('…')` in the template and
// every other failure give ERR_INVALID with the template's words.
bool chat_template_render(const ChatTemplate *t, json_t *variables, Buf *out, Err *err);

#endif
