// Which tokens end a generation.
#ifndef CLLM_TEXT_END_TOKENS_H
#define CLLM_TEXT_END_TOKENS_H

#include "text/vocab.h"

// Appends eos_token_id, eot_token_id, eom_token_id and the well-known end-of-turn texts that the
// vocabulary has as control tokens; each once. False: a key is wrong or memory ran out.
bool end_tokens_collect(const Vocab *v, const Gguf *g, TokenList *out, Err *err);

#endif
