// Log-probabilities in OpenAI's two forms.
//
// They are the model's own, before bias, penalties and temperature (as vLLM has them; OpenAI does not say),
// in natural logarithms; what is impossible is -9999, since JSON has no infinity. Tokens are shown with
// the texts of control tokens. A token that is no valid UTF-8 by itself is "bytes:\xe4\xbd" in
// completions, so that different ones differ, and in chats a replacement character beside its `bytes`.
#ifndef CLLM_SERVER_OPENAI_LOGPROBS_H
#define CLLM_SERVER_OPENAI_LOGPROBS_H

#include "server/token_log.h"
#include "text/tokenizer.h"

#include <jansson.h>

// Tokens first … end-1 of a log. A new reference.
json_t *openai_chat_logprobs(const Tokenizer *t, const TokenLog *log, int32_t first, int32_t end);

// The same of a completion: the arrays are appended to. openai_text_logprobs_new makes the object.
json_t *openai_text_logprobs_new(void);
// `base`: the code points before the log's text. first_is_null: the log begins with a prompt, whose first
// token has no probability.
void openai_text_logprobs_add(json_t *object, const Tokenizer *t, const TokenLog *log, int32_t first,
                              int32_t end, size_t base, bool first_is_null);

#endif
